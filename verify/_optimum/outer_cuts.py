"""Outer cuts: a conic program as a linear one over boxes, in one model of HiGHS that gets better from case to case.

Each cone s_0 >= ||u|| is held by cuts s_0 >= d'u, ||d|| = 1, that are added where a solution violates it; they hold in
every case. The multipliers w of a cone's cuts add up to a point of it, sum_i w_i (1, -d_i), so those of the linear
program are feasible for the conic one, too. Proofs start from these and read no right-hand side of a cut: a wrong cut
may mislead the search, but not a bound. Source: Kelley, The cutting-plane method for solving convex programs (1960).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn._margins import TINY
from socicnn.conic._cones import Cones
from socicnn.conic._conic_data import ConicData
from socicnn.conic.solvers._highs import Highs, model
from socicnn.errors import MissingExtra, SolverError
from verify._optimum.branching import WHOLE
from verify._optimum.lengths import norms, spread

ROUNDS = 3  # of cuts in a case whose integers are not whole yet
MANY = 60  # rounds where they are: the cost itself is wanted
STALL = 0.1  # of what is missing: a round that gains less is the last one
FEW = 1e-2  # of the gap that is asked for: what a cut should gain
SPARE = 0.02  # of it: what the proof of a case may lose
FAINT = 1e-3  # of the largest price of a cone: a cone counts with no less
DOUBT = 10  # cases that may be solved in vain before the way is left
AGE = 60  # solves after which a cut that did not matter is dropped


@dataclass(frozen=True, eq=False)
class PlaneSolution:
    """A solution of a linear program.

    Args:
        value: its value, as HiGHS says.
        v: shape `(variables,)`.
        y: multipliers of the conic program, those of cones inside their cones, shape `(rows,)`.
    """

    value: float
    v: Array
    y: Array


@dataclass(frozen=True, eq=False)
class CutCase:
    """A case, the bounds of its integers, with its solution over cuts."""

    lower: Array
    upper: Array
    planes: PlaneSolution


class OuterCuts:
    """A conic program over boxes of some of its variables.

    Args:
        program: with linear rows and second-order cones.
        columns: the variables that have bounds.
    """

    def __init__(self, program: ConicData, columns: IntArray) -> None:
        cones, A = program.cones, sparse.csr_array(program.A)
        self._cut = cones.zero + cones.nonnegative
        linear = Cones(cones.zero, cones.nonnegative)
        self._cones = Cones(0, 0, cones.second_order)
        self._unit = float(np.exp2(np.round(np.log2(np.abs(program.c).max(initial=TINY)))))  # tolerances are absolute
        cost = program.c / self._unit
        part = ConicData(sparse.csc_array(A[: self._cut]), program.b[: self._cut], cost, 0.0, linear)
        self._offset = program.offset
        self._highspy, self._solver = model(Highs(), part)
        self._A, self._b = sparse.csr_array(A[self._cut :]), program.b[self._cut :]
        self._columns = columns.astype(np.int32)
        self._rotated = self._rotations()
        self._directions = sparse.csr_array((0, len(self._b)))  # (1, -d) of each cut
        self._used = np.zeros(0, dtype=np.int64)
        self._solves = 0
        self.failed = 0  # cases that needed the conic program, too
        every = np.arange(len(cones.second_order))
        for sign in (1.0, -1.0):
            first = np.zeros(len(self._b))
            heads, sizes = self._cones.heads, np.asarray(cones.second_order)
            first[heads[sizes > 1] + 1] = sign
            self._add(every, first)

    @classmethod
    def of(cls, program: ConicData, columns: IntArray) -> OuterCuts | None:
        """Return the program if it has no exponential cones and HiGHS takes it."""
        if program.cones.exponential or find_spec(Highs.package) is None:
            return None
        try:
            return cls(program, columns)
        except (SolverError, MissingExtra):  # entries too small or too large for it; a package that does not load
            return None

    def case(self, lower: Array, upper: Array, enough: float, gap: float) -> PlaneSolution | None:
        """Solve a case with more and more cuts, which stay for others; None if that leads nowhere.

        Args:
            lower: bounds of the variables, shape `(columns,)`.
            upper: the same.
            enough: a value that closes the case.
            gap: which gap is enough; values are lowered by a share of it for what a proof loses.
        """
        self._solver.changeColsBounds(len(lower), self._columns, lower, upper)
        before = -np.inf
        for number in range(MANY):
            planes = self.solve()
            if planes is None:
                return None
            planes = replace(planes, value=planes.value - SPARE * gap)
            point = planes.v[self._columns]
            whole = bool((np.abs(point - np.round(point)) <= WHOLE).all())
            stalled = number > 0 and planes.value - before < STALL * (enough - planes.value)
            if planes.value >= enough or (not whole and (number >= ROUNDS or stalled)):
                return planes
            before = planes.value
            if not self.separate(planes, FEW * gap):
                return planes
        self.failed += 1
        return None

    @property
    def useful(self) -> bool:
        """Whether few cases needed the conic program, too."""
        return 2 * self.failed <= self._solves + DOUBT

    def solve(self) -> PlaneSolution | None:
        """Return a solution with the cuts so far, from the last basis; None if HiGHS has none."""
        self._solver.run()
        self._solves += 1
        if self._solver.getModelStatus() != self._highspy.HighsModelStatus.kOptimal:
            self._solver.clearSolver()
            return None
        solution = self._solver.getSolution()
        y = -self._unit * np.array(solution.row_dual)
        w = np.maximum(y[self._cut :], 0.0)
        self._used[w > 0.0] = self._solves
        v = np.array(solution.col_value)
        value = self._unit * self._solver.getInfo().objective_function_value + self._offset
        return PlaneSolution(value, v, np.concatenate([y[: self._cut], self._directions.T @ w]))

    def separate(self, planes: PlaneSolution, gain: float) -> int:
        """Add cuts where a solution leaves its cones, if at its prices a cut gains at least `gain`; return how many."""
        s = self._b - self._A @ planes.v
        heads = self._cones.heads
        price = planes.y[self._cut + heads]
        least = gain / np.maximum(price, max(FAINT * price.max(initial=0.0), TINY))
        point = self._touched(s)
        far = norms(self._cones, s) - s[heads]
        some = np.flatnonzero(far > np.maximum(least, 1e-10 * np.abs(s[heads])))
        self._drop()
        if len(some):
            self._add(some, point)
        return len(some)

    def _rotations(self) -> Array:
        """Return s_0 + s_1 of each cone where no variable moves it, as in the cones of quadratics; otherwise 0."""
        heads, sizes = self._cones.heads, np.asarray(self._cones.second_order)
        both = np.zeros(len(heads))
        some = sizes > 2
        rows = self._A[heads[some]] + self._A[heads[some] + 1]
        still = abs(rows).sum(axis=1) == 0.0
        both[some] = np.where(still, self._b[heads[some]] + self._b[heads[some] + 1], 0.0)
        return np.maximum(both, 0.0)

    def _touched(self, s: Array) -> Array:
        """Return the tails of the points of the cones at which planes are to touch: of quadratics above the same x."""
        heads, both = self._cones.heads, self._rotated
        some = both > 0.0
        tails = s.copy()
        tails[heads] = 0.0
        tails[heads[some] + 1] = 0.0
        square = norms(self._cones, tails) ** 2
        tails[heads[some] + 1] = (both[some] - square[some] / both[some]) / 2
        return tails

    def _add(self, some: IntArray, tails: Array) -> None:
        """Add a cut for some cones; each touches its cone along a tail."""
        heads = self._cones.heads
        tails[heads] = 0.0
        length = spread(self._cones, norms(self._cones, tails))
        unit = -np.divide(tails, length, out=np.zeros_like(tails), where=length > 0.0)
        unit[heads] = 1.0
        at = np.flatnonzero(np.isin(spread(self._cones, np.arange(len(heads))), some))
        starts = np.concatenate([[0], np.cumsum(np.asarray(self._cones.second_order)[some])])
        D = sparse.csr_array((unit[at], at, starts), shape=(len(some), len(self._b)))
        rows = sparse.csr_array(D @ self._A)
        least, starts = np.full(len(some), -self._highspy.kHighsInf), rows.indptr[:-1].astype(np.int32)
        taken = self._solver.addRows(
            len(some), least, D @ self._b, rows.nnz, starts, rows.indices.astype(np.int32), rows.data
        )
        if taken == self._highspy.HighsStatus.kError:  # numbers that are too large for it
            return
        self._directions = sparse.csr_array(sparse.vstack([self._directions, D], format="csr"))
        self._used = np.concatenate([self._used, np.full(len(some), self._solves)])

    def _drop(self) -> None:
        """Drop cuts that have not mattered for long; the first ones stay, as they bound the program."""
        first = 2 * len(self._cones.second_order)
        old = np.flatnonzero(self._used < self._solves - AGE)
        old = old[old >= first]
        if len(old) < 20 or 2 * len(old) < len(self._used):
            return
        self._solver.deleteRows(len(old), (self._cut + old).astype(np.int32))
        keep = np.ones(len(self._used), dtype=bool)
        keep[old] = False
        self._directions, self._used = sparse.csr_array(self._directions[keep]), self._used[keep]
