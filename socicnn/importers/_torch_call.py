"""One call of a traced torch module's graph: its operation, its arguments, and the layer that it stands in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from socicnn._arrays import IntArray
from socicnn.errors import ModelError
from socicnn.importers._entries import groups
from socicnn.importers._value import Value

# torch's second names of an operation
ALIASES = {
    **{"add_": "add", "multiply": "mul", "subtract": "sub", "divide": "div", "true_divide": "div"},
    **{"negative": "neg", "absolute": "abs"},
}


@dataclass(frozen=True)
class Call:
    """One node of the graph.

    Args:
        target: the operation.
        words: the layer that it stands in, as the module calls it.
        arguments: tensors, values that depend on x, numbers.
        keywords: the same by name.
    """

    target: Any
    words: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def refused(self, why: str, level: int | None = None) -> ModelError:
        """Return an error that names the layer."""
        return ModelError(f"{self.words} {why}")

    @property
    def name(self) -> str:
        """The operation's name, without its variant."""
        packet = getattr(self.target, "overloadpacket", self.target)
        name = str(getattr(packet, "__name__", packet)).rpartition(".")[2]
        return ALIASES.get(name, name)

    @property
    def values(self) -> list[Value]:
        """The arguments that depend on x."""
        return [part for part in flat(self.arguments) if isinstance(part, Value)]

    def option(self, at: int, name: str, default: Any) -> Any:
        """Return an argument by its place or name."""
        return self.arguments[at] if len(self.arguments) > at else self.keywords.get(name, default)

    def options(self) -> dict[str, Any]:
        """Return all arguments by name, where variants of an operation have theirs in different places."""
        names = [argument.name for argument in self.target._schema.arguments]
        return {**dict(zip(names, self.arguments, strict=False)), **self.keywords}

    def groups(self, at: int) -> tuple[IntArray, tuple[int, ...]]:
        """Return what a reduction reads, over the axes that argument `at` names (all if omitted), and its shape."""
        keep = bool(self.option(at + 1, "keepdim", False))
        return over(self.values[0], self.option(at, "dim", ()), keep=keep)


Handler: TypeAlias = Callable[[Call], Any]


@dataclass(frozen=True)
class First:
    """The first of several results, the only one that is read."""

    value: Value


def flat(arguments: Any) -> list[Any]:
    """Return the arguments, those inside lists too."""
    if isinstance(arguments, list | tuple):
        return [part for argument in arguments for part in flat(argument)]
    return [arguments]


def tensors(parts: Any) -> list[Any]:
    """Return tensors as they are read: constants as arrays."""
    return [part if isinstance(part, Value) else array(part) for part in parts]


def array(part: Any) -> Any:
    """Return a constant as an array."""
    return np.asarray(part.detach().numpy() if isinstance(part, Tensor) else part, dtype=np.float64)


def over(value: Value, axes: Any, *, keep: bool) -> tuple[IntArray, tuple[int, ...]]:
    """Return what a reduction over axes reads, over all of them if none are named, and its shape; see `groups`."""
    rank = len(value.shape)
    reduced = sorted({axis % rank for axis in ([axes] if isinstance(axes, int) else axes or ())})
    return groups(value, reduced or range(rank), keep=keep)
