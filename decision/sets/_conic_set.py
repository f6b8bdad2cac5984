"""Sets given by conic rows whose right-hand sides may move with the context."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decision.sets._base import FeasibleSet
from decision.sets._moving import Moving
from socicnn._arrays import Array, IntArray, as_float64
from socicnn._integers import as_integer
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.errors import ProgramError


@final
@dataclass(frozen=True, eq=False)
class Span:
    """How far some coordinates reach, as h tells: sign h_centre - factor h_radius <= v <= sign h_centre + ...

    Args:
        columns: the coordinates.
        centre: row of each centre; None for the origin.
        radius: row of the radius.
        sign: of the centres.
        factor: of the radius, for each coordinate, rounded up.
    """

    columns: IntArray
    centre: IntArray | None
    radius: int
    sign: float
    factor: Array

    def bounds(self, h: Array) -> tuple[Array, Array]:
        """Return the bounds, rounded outward."""
        middle = np.zeros(len(self.columns)) if self.centre is None else self.sign * h[self.centre]
        width = np.nextafter(h[self.radius] * self.factor, np.inf)
        return np.nextafter(middle - width, -np.inf), np.nextafter(middle + width, np.inf)

    def moved(self, rows: IntArray) -> Span:
        """Return the same with each row at its new place."""
        centre = None if self.centre is None else rows[self.centre]
        return replace(self, centre=centre, radius=int(rows[self.radius]))


@final
@dataclass(frozen=True, eq=False)
class ConicSystem:
    """The rows G [x | u] + s = h, s in K, with helper variables u; h may move with the context.

    Args:
        G: shape `(rows, n + helpers)`.
        h: right-hand sides, size rows.
        cones: the cone K.
        reach: bounds of coordinates that follow from the rows, where no row of one entry says them.
    """

    G: sparse.csr_array
    h: Moving
    cones: Cones
    reach: tuple[Span, ...] = ()

    @classmethod
    def of(cls, rows: Rows) -> ConicSystem:
        """Return rows that do not move."""
        return cls(rows.G, Moving(torch.tensor(rows.h)[None]), rows.cones)

    @classmethod
    def equalities(cls, E: Any, f: Moving) -> ConicSystem:
        """Return E x = f."""
        return cls(sparse.csr_array(E), f, Cones(zero=f.size))

    @classmethod
    def inequalities(cls, A: Any, b: Moving) -> ConicSystem:
        """Return A x <= b."""
        return cls(sparse.csr_array(A), b, Cones(nonnegative=b.size))

    @classmethod
    def stacked(cls, parts: Sequence[ConicSystem]) -> ConicSystem:
        """Return all rows of systems with the same columns, in the order of the cones."""
        if not parts:
            raise ProgramError("a set needs at least one row")
        starts = np.cumsum([0, *(part.cones.rows for part in parts)])
        groups: list[list[Any]] = [[], [], []]
        for start, part in zip(starts, parts, strict=False):
            cuts = (part.cones.zero, part.cones.zero + part.cones.nonnegative)
            for group, places in zip(groups, np.split(start + np.arange(part.cones.rows), cuts), strict=True):
                group.append(places)
        order = np.concatenate([places for group in groups for places in group]).astype(np.int64)
        cones = Cones(
            sum(part.cones.zero for part in parts),
            sum(part.cones.nonnegative for part in parts),
            tuple(size for part in parts for size in part.cones.second_order),
        )
        G = sparse.csr_array(sparse.vstack([part.G for part in parts], format="csr"))[order]
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        reach = tuple(
            bound.moved(places[start:]) for start, part in zip(starts, parts, strict=False) for bound in part.reach
        )
        return cls(sparse.csr_array(G), Moving.joined([part.h for part in parts]).take(order), cones, reach)

    def spread(self, columns: Any, width: int) -> ConicSystem:
        """Return the same rows with each column moved to its place among `width` columns."""
        entries, target = sparse.coo_array(self.G), np.asarray(columns)
        places = target[entries.col]
        G = sparse.csr_array(sparse.coo_array((entries.data, (entries.row, places)), shape=(self.G.shape[0], width)))
        return ConicSystem(
            G, self.h, self.cones, tuple(replace(bound, columns=target[bound.columns]) for bound in self.reach)
        )


class ConicSet(ABC):
    """A closed convex set X in R^n given by conic rows; its right-hand sides may move with the context.

    x is in X at a context if some helper variables u have G [x | u] + s = h, s in K. G and K never move.

    Args:
        n: length of x, at least 1.
    """

    name: str
    detached: tuple[str, ...] = ()  # arguments that require gradients, of which decisions have none in them

    def __init__(self, n: int) -> None:
        self._n = as_integer(f"n of a {type(self).__name__}", n, error=ProgramError)

    @property
    def n(self) -> int:
        """Length of x."""
        return self._n

    @abstractmethod
    def build(self) -> ConicSystem:
        """Return the rows."""

    @cached_property
    def system(self) -> ConicSystem:
        """The rows, x first among the columns; with the graph of what they were made from, whoever asks first."""
        with torch.enable_grad():
            return self.build()

    def fresh(self) -> ConicSystem:
        """Return the rows, built again if they have a graph: one that was gone through backwards is used up."""
        if not self.system.h.graph:
            return self.system
        with torch.enable_grad():
            return self.build()

    def fixed(self) -> FeasibleSet | None:
        """Return the same set with exact oracles; None if it moves with the context or has none."""
        return None

    @property
    def moves(self) -> bool:
        """Whether the set depends on the context."""
        return not self.system.h.fixed

    @property
    def contexts(self) -> int | None:
        """Number of contexts that the set has right-hand sides for; None if any number will do."""
        return self.system.h.contexts

    def right_hand_sides(self, context: Any = None, count: int | None = None) -> Tensor:
        """Return h of each context, shape `(contexts, rows)`, differentiable in what it was made from.

        Args:
            context: shape `(contexts, p)`; needed if the set moves with theta.
            count: number of contexts; defaults to what `context` or the set says, else 1.

        Raises:
            ProgramError: the contexts do not fit the set, a right-hand side is NaN or infinite, or a tensor with
                gradients that it was made from has been written to since.
        """
        theta = context if isinstance(context, Tensor) or context is None else torch.tensor(as_float64(context))
        if count is None:
            count = (self.contexts or 1) if theta is None else len(theta)
        h = self.fresh().h.at(theta, count)
        bad = ~h.isfinite()
        if bool(bad.any()):
            row = int(bad.any(dim=1).nonzero()[0])
            raise ProgramError(
                f"the set has {int(bad.sum())} right-hand sides that are not finite, the first in context {row}; a "
                "bound is finite in all contexts or infinite in all"
            )
        return h

    def rows(self, context: Any = None, index: int = 0) -> Rows:
        """Return the rows of one context as arrays, x first among the columns.

        Args:
            context: shape `(contexts, p)`, if the set moves with theta.
            index: which context.
        """
        h = self.right_hand_sides(context)[index]
        return Rows(self.system.G, h.detach().numpy().copy(), self.system.cones)

    def each(self, context: Tensor | None, count: int) -> RowsOfContexts:
        """Return the rows of each of `count` contexts, made when they are asked for."""
        return RowsOfContexts(self, self.right_hand_sides(context, count).detach().numpy())

    def violation(self, x: Any, context: Any = None) -> Tensor:
        """Return the worst violation of one row or cone at each point, shape `(*batch,)`.

        Args:
            x: shape `(*batch, n)`; if the set moves `(contexts, n)` or `(contexts, points, n)`, or any shape for one
                context.
            context: shape `(contexts, p)`.

        Raises:
            ProgramError: x does not fit, or the set has helper variables; whether x can be completed is a problem of
                its own.
        """
        rows_of_x = torch.tensor(as_float64(x, "x"))
        if not rows_of_x.ndim or rows_of_x.shape[-1] != self.n:
            raise ProgramError(f"x must have shape (*batch, {self.n}); received {tuple(rows_of_x.shape)}")
        points = rows_of_x.reshape(-1, self.n)
        if self.system.G.shape[1] != self.n:
            raise ProgramError(f"a {type(self).__name__} with helper variables cannot be measured at x alone")
        sides = self.right_hand_sides(context).detach() if self.moves else self.right_hand_sides()
        if len(sides) not in (1, len(rows_of_x)) or (len(sides) > 1 and rows_of_x.ndim == 1):
            raise ProgramError(
                f"x must have one row, or one group of points, for each of {len(sides)} contexts; received shape "
                f"{tuple(rows_of_x.shape)}"
            )
        h = sides.repeat_interleave(len(points) // len(sides), dim=0).detach().numpy()
        slack = h - (self.system.G @ points.numpy().T).T
        worst = [float(self.system.cones.violation(row).max(initial=0.0)) for row in slack]
        return torch.tensor(worst, dtype=torch.float64).reshape(rows_of_x.shape[:-1])

    def constraints(self, x: Any, context: Any = None, index: int = 0) -> list[Any]:
        """Return CVXPY constraints x in X at one context for an affine expression x of shape `(n,)`."""
        import cvxpy as cp

        rows = self.rows(context, index)
        helpers = rows.G.shape[1] - self.n
        v = cp.hstack([x, cp.Variable(helpers)]) if helpers else x
        slack = rows.h - rows.G @ v
        cut, end = rows.cones.zero, rows.cones.zero + rows.cones.nonnegative
        constraints = [slack[:cut] == 0] if cut else []
        constraints += [slack[cut:end] >= 0] if end > cut else []
        for head, size in zip(rows.cones.heads, rows.cones.second_order, strict=True):
            constraints.append(cp.SOC(slack[int(head)], slack[int(head) + 1 : int(head) + size]))
        return constraints

    def __repr__(self) -> str:
        moves = ", moves with the context" if self.moves else ""
        return f"{type(self).__name__}(n={self.n}{moves})"


@final
class RowsOfContexts:
    """The rows of each context, made when they are asked for; those of a set that does not move are one object."""

    def __init__(self, owner: ConicSet, h: Array) -> None:
        self._system, self._h = owner.system, h
        self._rows: Rows | None = None
        self._place = -1

    def __len__(self) -> int:
        return len(self._h)

    def __getitem__(self, index: int) -> Rows:
        place = 0 if self._system.h.fixed else index
        if self._rows is None or self._place != place:
            self._place, self._rows = place, Rows(self._system.G, self._h[place].copy(), self._system.cones)
        return self._rows

    def bounds(self, index: int) -> tuple[Array, Array]:
        """Return proven bounds of each coordinate, infinite where none is known, each of shape `(n + helpers,)`."""
        h, width = self._h[index], self._system.G.shape[1]
        lower, upper = np.full(width, -np.inf), np.full(width, np.inf)
        for reach in self._system.reach:
            low, high = reach.bounds(h)
            lower[reach.columns] = np.maximum(lower[reach.columns], low)
            upper[reach.columns] = np.minimum(upper[reach.columns], high)
        return lower, upper
