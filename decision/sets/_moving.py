"""Numbers of a set that move with the context: an array per context, an affine map of theta, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from socicnn._arrays import as_float64
from socicnn.errors import ProgramError


@final
class Affine:
    """The map theta -> bias + weight theta: numbers of a set that move with the context.

    Args:
        bias: shape `(size,)`, or a number.
        weight: shape `(size, p)`, or `(p,)` where size is 1.

    Raises:
        ProgramError: shapes that disagree, or an entry that is not finite.

    >>> Affine([1.0, 0.0], [[2.0], [3.0]])([[10.0]]).tolist()
    [[21.0, 30.0]]
    """

    def __init__(self, bias: Any, weight: Any) -> None:
        self.sources = _sources(bias, weight)
        self.bias, self.weight = torch.atleast_1d(as_tensor(bias, "bias")), as_tensor(weight, "weight")
        if self.weight.ndim == 1:
            self.weight = self.weight[None]
        if self.bias.ndim != 1 or self.weight.ndim != 2 or len(self.bias) != len(self.weight):
            raise ProgramError(
                "an Affine needs a bias of shape (size,) and a weight of shape (size, p); received "
                f"{tuple(self.bias.shape)} and {tuple(self.weight.shape)}"
            )
        if not (self.bias.isfinite().all() and self.weight.isfinite().all()):
            raise ProgramError("the bias and weight of an Affine must be finite; remove or replace the other entries")

    @property
    def size(self) -> int:
        """Number of outputs."""
        return len(self.bias)

    def __call__(self, context: Any) -> Tensor:
        """Return the numbers of each context, shape `(contexts, size)`, for contexts of shape `(contexts, p)`."""
        theta = torch.atleast_2d(as_tensor(context, "context"))
        if theta.shape[-1] != self.weight.shape[1]:
            raise ProgramError(
                f"the set moves with {self.weight.shape[1]} context features; received contexts of shape "
                f"{tuple(theta.shape)}"
            )
        return self.bias + theta @ self.weight.T

    def __repr__(self) -> str:
        return f"Affine(size={len(self.bias)}, context_features={self.weight.shape[1]})"


def as_tensor(values: Any, name: str) -> Tensor:
    """Return float64 numbers on the CPU; a tensor keeps its graph, so that right-hand sides can be differentiated."""
    if isinstance(values, Tensor) and values.requires_grad and values.is_floating_point():
        return values.to("cpu", torch.float64)
    return torch.tensor(as_float64(values, name))


def with_gradients(owner: Any, **values: Any) -> tuple[str, ...]:
    """Return which arguments of a set require gradients, of which decisions have none in them: `DecisionLayer` asks."""
    return tuple(
        f"{name} of the {type(owner).__name__}"
        for name, value in values.items()
        if isinstance(value, Tensor) and value.requires_grad
    )


@final
class GradientSource:
    """A tensor that numbers with a graph were made from: an optimiser's step changes it, but not the set."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor: Tensor | None = tensor
        self._version = tensor._version

    def __reduce__(self) -> Any:
        """Leave the tensor behind: it does not change in another process."""
        return _still, ()

    @property
    def changed(self) -> bool:
        """Whether it has been written to."""
        return self._tensor is not None and self._tensor._version != self._version


def _still() -> GradientSource:
    source = GradientSource(torch.zeros(0))
    source._tensor = None
    return source


def _sources(*values: Any) -> tuple[GradientSource, ...]:
    return tuple(GradientSource(part) for part in values if isinstance(part, Tensor) and part.requires_grad)


@final
@dataclass(frozen=True, eq=False)
class Moving:
    """A vector that may move with the context: table_i + weight theta_i in context i.

    Args:
        table: shape `(1, size)`, or `(contexts, size)` if each context has its own.
        weight: shape `(size, p)`, or None if theta does not matter.
        sources: what both were made from, if they have a graph.
    """

    table: Tensor
    weight: Tensor | None = None
    sources: tuple[GradientSource, ...] = ()

    @classmethod
    def of(cls, values: Any, size: int, name: str) -> Moving:
        """Return what a user gave: a number, shape `(size,)`, shape `(contexts, size)`, or an `Affine`.

        Raises:
            ProgramError: another shape, or NaN.
        """
        if isinstance(values, Moving):
            return values
        if isinstance(values, Affine):
            if len(values.bias) not in (1, size):
                raise ProgramError(f"{name} needs an Affine with {size} outputs; received {len(values.bias)}")
            return cls(values.bias.expand(size)[None], values.weight.expand(size, -1), values.sources)
        table = as_tensor(values, name)
        if table.ndim == 0:
            table = table.expand(size)
        if table.ndim not in (1, 2) or table.shape[-1] != size:
            wanted = f"({size},), (contexts, {size})"
            raise ProgramError(f"{name} must have shape {wanted} or be an Affine; received {tuple(table.shape)}")
        if bool(table.isnan().any()):
            raise ProgramError(f"{name} holds NaN; give finite numbers (infinite bounds say nothing)")
        return cls(torch.atleast_2d(table), None, _sources(values))

    @classmethod
    def joined(cls, parts: Sequence[Moving]) -> Moving:
        """Return one vector after the other.

        Raises:
            ProgramError: they are for different numbers of contexts, or take contexts of different length.
        """
        counts = {len(part.table) for part in parts} - {1}
        widths = {part.weight.shape[1] for part in parts if part.weight is not None}
        if len(counts) > 1 or len(widths) > 1:
            what = f"{sorted(counts)} contexts" if len(counts) > 1 else f"{sorted(widths)} context features"
            raise ProgramError(f"parts of a set must move with the same contexts; received {what}")
        rows, sources = max(counts, default=1), tuple(source for part in parts for source in part.sources)
        table = torch.cat([part.table.expand(rows, -1) for part in parts], dim=1)
        if not widths:
            return cls(table, None, sources)
        p = widths.pop()
        weights = [table.new_zeros(part.size, p) if part.weight is None else part.weight for part in parts]
        return cls(table, torch.cat(weights), sources)

    def made_from(self, values: Any) -> Moving:
        """Return the same vector, which was made from these values."""
        return replace(self, sources=_sources(values))

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.table.shape[1]

    @property
    def contexts(self) -> int | None:
        """Number of contexts that have rows of their own; None if all share one."""
        return None if len(self.table) == 1 else len(self.table)

    @property
    def fixed(self) -> bool:
        """Whether every context has the same numbers."""
        return len(self.table) == 1 and self.weight is None

    @property
    def graph(self) -> bool:
        """Whether gradients are asked for in what it was made from."""
        return self.table.requires_grad or (self.weight is not None and self.weight.requires_grad)

    def at(self, context: Tensor | None, count: int) -> Tensor:
        """Return the numbers of `count` contexts theta, shape `(count, size)`.

        Raises:
            ProgramError: the contexts do not fit, or what the numbers were made from has been written to.
        """
        if any(source.changed for source in self.sources):
            raise ProgramError(
                "a tensor that the set was made from has changed since, by a step of an optimiser perhaps; make the "
                "set anew for each step, e.g. layer(context, Polytope(A, b))"
            )
        if self.contexts not in (None, count):
            raise ProgramError(f"the set has right-hand sides for {self.contexts} contexts; {count} are to be decided")
        if self.weight is None:
            return self.table.expand(count, -1)
        if context is None:
            raise ProgramError("the set moves with the context: give contexts")
        theta = context.to(self.table)
        if theta.ndim != 2 or theta.shape[1] != self.weight.shape[1]:
            raise ProgramError(
                f"the set moves with contexts of shape (contexts, {self.weight.shape[1]}); received "
                f"{tuple(theta.shape)}"
            )
        return self.table + theta @ self.weight.T

    def times(self, factor: float) -> Moving:
        """Return the vector times a number."""
        return Moving(factor * self.table, None if self.weight is None else factor * self.weight, self.sources)

    def mapped(self, matrix: Any) -> Moving:
        """Return matrix times the vector; matrix of shape `(rows, size)`, dense."""
        M = torch.as_tensor(matrix, dtype=torch.float64)
        return Moving(self.table @ M.T, None if self.weight is None else M @ self.weight, self.sources)

    def take(self, places: Any) -> Moving:
        """Return some of the entries."""
        index = torch.as_tensor(places)
        return Moving(self.table[:, index], None if self.weight is None else self.weight[index], self.sources)

    def rows(self, contexts: Any) -> Moving:
        """Return the vector for some of the contexts."""
        return self if len(self.table) == 1 else Moving(self.table[contexts], self.weight, self.sources)


def radius_of(values: Any, owner: str) -> Moving:
    """Return a radius; one that does not move must be a finite number >= 0."""
    radius = Moving.of(values, 1, "radius")
    table = radius.table.detach()
    if radius.weight is None and not bool(((table >= 0) & table.isfinite()).all()):
        raise ProgramError(f"radius of {owner} must be a finite number >= 0; received {table.reshape(-1).tolist()}")
    return radius


def refuse_infinite(moving: Moving, name: str) -> None:
    """Raise a ProgramError if a vector that infinite entries say nothing about has some."""
    bad = int((~moving.table.detach().isfinite()).sum())
    if bad:
        raise ProgramError(f"{name} has {bad} non-finite entries; remove or replace them")
