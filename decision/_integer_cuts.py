"""Cases of branch and bound over networks as linear programs with outer cuts, solved by HiGHS, proven by multipliers.

The multipliers of such a program are a dual point of the network and multipliers of the set's rows, as those of any
solver are. The bound is proven from these over the box of the case; only cases that are closed are proven.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch

from decision._minimise.answers import Goal
from decision._minimise.constrained.bound import line_of
from decision._minimise.exact import FreePrograms
from decision._minimise.methods import Exact
from decision._minimise.reference import own_points, own_reach, terms
from decision._minimise.stack import Stack
from decision._outer_cuts import OuterCuts, PlaneSolution
from socicnn._arrays import Array, IntArray
from socicnn.conic._rows import Rows
from socicnn.conic.solvers._highs import Highs
from socicnn.errors import MissingExtra, SolverError
from socicnn.frozen import FrozenNet
from verify._optimum.branching import WHOLE, Relaxed
from verify._optimum.extents import Extents
from verify._optimum.residual import lower_bound
from verify._optimum.weak_duality import WeakDuality, into_dual_cone

ROUNDS = 3  # of cuts in a case whose integers are not whole yet
MANY = 60  # rounds where they are: f itself is wanted
STALL = 0.1  # of what is missing: a round that gains less is the last one
FEW = 1e-2  # of the gap that is asked for: what a cut should gain
SPARE = 0.02  # of it: what the proof of a case may lose
DOUBT = 10  # cases that may be solved in vain before the way is left


@dataclass(frozen=True, eq=False)
class CutCase:
    """A case with its solution over cuts."""

    lower: Array
    upper: Array
    planes: PlaneSolution


class CutCases:
    """The cases of one network over a set.

    Args:
        net: the network.
        stack: the same as tensors.
        rows: the set.
        columns: the integers among its variables.
        extents: proven bounds of its variables, finite for the integers.
        goal: which gap is enough.
    """

    def __init__(
        self, net: FrozenNet, stack: Stack, rows: Rows, columns: IntArray, extents: Extents, goal: Goal
    ) -> None:
        self._stack, self._columns, self._extents, self._goal = stack, columns, extents, goal
        self._programs = FreePrograms(net, rows, Highs(), own_points(stack))
        self._weak = WeakDuality(rows)
        self._cuts = OuterCuts(self._programs.at(0), columns)
        self._room, self._asked = 0.0, 0
        self.failed = 0  # cases that needed the conic program, too

    @classmethod
    def of(
        cls, net: FrozenNet, stack: Stack, rows: Rows, columns: IntArray, extents: Extents, method: Exact, goal: Goal
    ) -> CutCases | None:
        """Return the cases if the program has no exponential cones, the integers are bounded, and HiGHS may be used."""
        free = method.solver == "auto" and not method.settings and find_spec(Highs.package) is not None
        if not free or stack.smooth or not np.isfinite(extents.reach[columns]).all():
            return None
        try:
            return cls(net, stack, rows, columns, extents, goal)
        except (SolverError, MissingExtra):  # entries too small or too large for it; a package that does not load
            return None

    def relax(self, lower: Array, upper: Array, enough: float) -> Relaxed | None:
        """Solve a case over cuts, and add cuts; None if that leads nowhere.

        Args:
            lower: bounds of the integers, shape `(integers,)`.
            upper: the same.
            enough: a value that closes the case.
        """
        self._asked += 1
        if 2 * self.failed > self._asked + DOUBT:
            return None
        self._cuts.bounds(lower, upper)
        before = -np.inf
        for number in range(MANY):
            planes = self._cuts.solve()
            if planes is None:
                return None
            value = planes.value - SPARE * self._wanted(planes)
            point = planes.v[self._columns]
            whole = bool((np.abs(point - np.round(point)) <= WHOLE).all())
            stalled = number > 0 and value - before < STALL * (enough - value)
            if value >= enough or (not whole and (number >= ROUNDS or stalled)):
                break
            before = value
            if not self._cuts.separate(planes, FEW * self._wanted(planes)):
                break
        else:
            self.failed += 1
            return None
        return Relaxed(value, point, 0.0, CutCase(lower, upper, planes))

    def _wanted(self, planes: PlaneSolution) -> float:
        """Return the gap that is asked for, by the terms of f at the first point."""
        if not self._room:
            x = torch.as_tensor(planes.v[: self._stack.in_features])[None]
            self._room = self._goal.rtol * float(terms(self._stack, x, own_reach(self._stack))[0])
        return self._room

    def prove(self, case: CutCase) -> float:
        """Return the lower bound of a case that its multipliers prove."""
        v, y = case.planes.v[: self._weak.rows.G.shape[1]], case.planes.y
        x = torch.as_tensor(v[: self._stack.in_features])[None]
        ends = Extents(self._extents.lower.copy(), self._extents.upper.copy())
        ends.lower[self._columns] = np.maximum(ends.lower[self._columns], case.lower)
        ends.upper[self._columns] = np.minimum(ends.upper[self._columns], case.upper)
        own = into_dual_cone(self._programs.set_multipliers(y), self._weak.rows.cones)
        lines = [line_of(self._stack, dual, len(v)) for dual in self._programs.duals(self._stack, y, x)]
        return max(lower_bound(line, own, weak=self._weak, extents=ends).lower for line in lines)
