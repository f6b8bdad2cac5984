"""How a network is made: its recipe, law, type and place, as values and as JSON."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from socicnn.integers import is_integer
from socicnn.positivity.base import Recipe
from socicnn.positivity.initial import Initialiser


@dataclass(frozen=True, eq=False)
class Means:
    """How a network is made, apart from its architecture.

    Args:
        positivity: recipe of its non-negative weights.
        readout: recipe whose `emit` reads what a context network emits; that of `positivity` where None.
        initialiser: law of its weights.
        generator: source of the initial values; torch's own where None.
        dtype: floating type; torch's default where None.
        device: where its tensors live; torch's default where None.
    """

    positivity: Recipe | str = "projected"
    readout: Recipe | str | None = None
    initialiser: Initialiser | str = "principled"
    generator: torch.Generator | None = None
    dtype: torch.dtype | None = None
    device: torch.device | str | None = None


@final
class Blank(Initialiser):
    """Constant weights that mean nothing, for a network whose tensors are about to be loaded."""

    name = "blank"

    def weight(self, shape: Sequence[int], fan_in: int, activation: str, generator: torch.Generator | None) -> Tensor:
        """Return one half everywhere."""
        return torch.full(tuple(shape), 0.5, dtype=torch.float64, device="cpu")

    def bias(self, fan_in: int, activation: str) -> float:
        """Return zero."""
        return 0.0

    def input_variances(self, fans: Sequence[int], activations: Sequence[str]) -> list[float]:
        """Return zeros."""
        return [0.0] * len(fans)


def described(strategy: Recipe | Initialiser) -> dict[str, Any]:
    """Return a recipe or an initialiser as JSON values."""
    return {"name": strategy.name, **strategy.config()}


def plain(value: Any) -> Any:
    """Return a configuration as JSON has it: NumPy's integers as Python's, tuples as lists.

    >>> import numpy as np
    >>> plain({"hidden_features": (np.int64(4), 8), "passthrough": True})
    {'hidden_features': [4, 8], 'passthrough': True}
    """
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return operator.index(value) if is_integer(value) else value


def named(description: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that make it again: `recipe(**named(described(r)))`."""
    return {"given": description["name"], **{k: v for k, v in description.items() if k != "name"}}
