"""A node of a graph with its inputs, as the functions that read it see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from socicnn._arrays import Array
from socicnn.errors import ModelError
from socicnn.importers._value import Value


@dataclass(frozen=True)
class Node:
    """A node with its inputs: tensors that depend on x (`Value`), constants (arrays), or None if left out.

    Args:
        words: its kind and name, for messages.
        inputs: the inputs.
        settings: the attributes.
        evaluate: runs the node on arrays.
    """

    words: str
    inputs: list[Any]
    settings: dict[str, Any] = field(default_factory=dict)
    evaluate: Callable[[Sequence[Any]], list[Any]] = lambda inputs: []

    def refused(self, why: str, level: int | None = None) -> ModelError:
        """Return an error that names this node, and the layer that it would be part of."""
        return ModelError(f"{self.words} {why}" if level is None else f"{self.words} (layer {level}) {why}")

    def constant(self, position: int, what: str) -> Array:
        """Return an input that must not depend on x."""
        entry = self.inputs[position]
        if isinstance(entry, Value):
            raise self.refused(f"has {what} that depends on x; only a constant one keeps the network convex")
        return np.asarray(entry)

    def first(self) -> Value:
        """Return the first input, which depends on x."""
        entry = self.inputs[0]
        if not isinstance(entry, Value):
            raise self.refused("has a constant first input and a second one that depends on x")
        return entry
