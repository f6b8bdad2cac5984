"""The cases of branch and bound over networks: the rows of a set with bounds of its integers, solved one by one.

What a solver is set up for is a matrix: it is set up again where other integers are fixed, as an interior-point method
needs equalities where both bounds are one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from decision._minimise.answers import Goal
from decision._minimise.constrained.solve import Repeated, RowsSource
from decision._minimise.judging import Judged
from decision._minimise.stack import Stack
from socicnn._arrays import Array, BoolArray, IntArray
from socicnn.conic._rows import Rows
from socicnn.conic._scaled import tight
from socicnn.conic.solvers import Solver
from socicnn.frozen import FrozenNet
from verify._optimum.extents import Extents


class CaseRows(RowsSource):
    """The rows of one case, with proven bounds of its coordinates."""

    def __init__(self, rows: Rows, extents: Extents) -> None:
        self._rows, self._extents = rows, extents

    def __getitem__(self, index: int) -> Rows:
        """Return the rows."""
        return self._rows

    def bounds(self, index: int) -> tuple[Array, Array]:
        """Return the bounds."""
        return self._extents.lower, self._extents.upper


class _CaseMaker:
    """Makes the rows of cases.

    Args:
        rows: the set.
        columns: the integers among its variables.
        extents: proven bounds of its variables.
    """

    def __init__(self, rows: Rows, columns: IntArray, extents: Extents) -> None:
        self._rows, self._columns, self._extents = rows, columns, extents
        self._last: tuple[bytes, Rows] | None = None

    def __call__(self, lower: Array, upper: Array) -> CaseRows:
        """Return the rows with these bounds of the integers, of the same matrix as before where they are alike."""
        fixed = lower == upper
        below, above = np.isfinite(lower) & ~fixed, np.isfinite(upper) & ~fixed
        cut, end = self._rows.cones.zero, self._rows.cones.zero + self._rows.cones.nonnegative
        own = self._rows.h
        h = np.concatenate([own[:cut], lower[fixed], own[cut:end], -lower[below], upper[above], own[end:]])
        key = b"".join(part.tobytes() for part in (fixed, below, above))
        if self._last is None or self._last[0] != key:
            self._last = key, self._made(fixed, below, above, h)
        ends = Extents(self._extents.lower.copy(), self._extents.upper.copy())
        ends.lower[self._columns] = np.maximum(ends.lower[self._columns], lower)
        ends.upper[self._columns] = np.minimum(ends.upper[self._columns], upper)
        return CaseRows(replace(self._last[1], h=h), ends)

    def _made(self, fixed: BoolArray, below: BoolArray, above: BoolArray, h: Array) -> Rows:
        G, cones = self._rows.G, self._rows.cones
        cut, end = cones.zero, cones.zero + cones.nonnegative
        equal, least, most = (self._units(part, sign) for part, sign in ((fixed, 1.0), (below, -1.0), (above, 1.0)))
        blocks = [G[:cut], equal, G[cut:end], least, most, G[end:]]
        matrix = sparse.csr_array(sparse.vstack([block for block in blocks if block.shape[0]] or [G], format="csr"))
        zero, planes = int(fixed.sum()), int(below.sum() + above.sum())
        return Rows(matrix, h, replace(cones, zero=cones.zero + zero, nonnegative=cones.nonnegative + planes))

    def _units(self, part: BoolArray, sign: float) -> sparse.csr_array:
        at = self._columns[part]
        shape = (len(at), self._rows.G.shape[1])
        return sparse.csr_array((np.full(len(at), sign), (np.arange(len(at)), at)), shape=shape)


class Cases:
    """The cases of one network over a set.

    Args:
        net: the network.
        stack: the same as tensors.
        rows: the set.
        columns: the integers among its variables.
        extents: proven bounds of its variables.
        solver: the solver.
        goal: which gap is enough, without a deadline.
    """

    def __init__(
        self, net: FrozenNet, stack: Stack, rows: Rows, columns: IntArray, extents: Extents, solver: Solver, goal: Goal
    ) -> None:
        self.solver = tight(solver)
        self._made = _CaseMaker(rows, columns, extents)
        self._solved = Repeated(net, stack, self.solver, goal)

    def rows(self, lower: Array, upper: Array) -> CaseRows:
        """Return the rows of a case."""
        return self._made(lower, upper)

    def solve(self, lower: Array, upper: Array) -> Judged:
        """Return the decision of a case, whole numbers or not, and what is proven of it."""
        return self._solved(self._made(lower, upper))
