"""The cases of branch and bound over networks: the rows of a set with bounds of its integers, solved one by one.

What a solver is set up for is a matrix: it is set up again where other integers are fixed, as an interior-point method
needs equalities where both bounds are one.
"""

from __future__ import annotations

import numpy as np

from decision._minimise.answers import Goal
from decision._minimise.constrained.solve import Repeated, RowsSource
from decision._minimise.judging import Judged
from decision._minimise.stack import Stack
from socicnn._arrays import Array, IntArray
from socicnn.conic._rows import Rows
from socicnn.conic._scaled import tight
from socicnn.conic.solvers import Solver
from socicnn.frozen import FrozenNet
from verify._optimum.extents import Extents
from verify._optimum.mixed import bounded


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
        self._rows, self._columns, self._extents = rows, columns, extents
        self._solved = Repeated(net, stack, self.solver, goal)

    def rows(self, lower: Array, upper: Array) -> CaseRows:
        """Return the rows of a case."""
        ends = Extents(self._extents.lower.copy(), self._extents.upper.copy())
        ends.lower[self._columns] = np.maximum(ends.lower[self._columns], lower)
        ends.upper[self._columns] = np.minimum(ends.upper[self._columns], upper)
        return CaseRows(bounded(self._rows, self._columns, lower, upper), ends)

    def solve(self, lower: Array, upper: Array) -> Judged:
        """Return the decision of a case, whole numbers or not, and what is proven of it."""
        return self._solved(self.rows(lower, upper))
