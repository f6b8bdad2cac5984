"""Cases of branch and bound over networks as linear programs with outer cuts, solved by HiGHS, proven by multipliers.

The multipliers of such a program are a dual point of the network and multipliers of the set's rows, as those of any
solver are. The bound is proven from these over the box of the case; only cases that are closed are proven.
"""

from __future__ import annotations

import numpy as np
import torch

from decision._minimise.answers import Goal
from decision._minimise.constrained.bound import line_of
from decision._minimise.exact import FreePrograms
from decision._minimise.methods import Exact
from decision._minimise.reference import Within, own_points
from decision._minimise.stack import Stack
from socicnn._arrays import Array, IntArray
from socicnn.conic._rows import Rows
from socicnn.conic.solvers._highs import Highs
from socicnn.frozen import FrozenNet
from verify._optimum.branching import Relaxed
from verify._optimum.extents import Extents
from verify._optimum.outer_cuts import CutCase, OuterCuts
from verify._optimum.residual import lower_bound
from verify._optimum.weak_duality import WeakDuality, into_dual_cone


class CutCases:
    """The cases of one network over a set.

    Args:
        stack: the network.
        programs: its conic program.
        rows: the set.
        columns: the integers among its variables.
        extents: proven bounds of its variables, finite for the integers.
        cuts: the program over cuts.
        goal: which gap is enough.
    """

    def __init__(
        self,
        stack: Stack,
        programs: FreePrograms,
        rows: Rows,
        columns: IntArray,
        extents: Extents,
        cuts: OuterCuts,
        goal: Goal,
    ) -> None:
        self._stack, self._columns, self._extents, self._goal = stack, columns, extents, goal
        self._programs, self._weak, self.cuts = programs, WeakDuality(rows), cuts
        self._within = Within.of(*(end[: stack.in_features] for end in (extents.lower, extents.upper)))
        self._gap = 0.0

    @classmethod
    def of(
        cls, net: FrozenNet, stack: Stack, rows: Rows, columns: IntArray, extents: Extents, method: Exact, goal: Goal
    ) -> CutCases | None:
        """Return the cases if the integers are bounded and neither the program nor the user rules out HiGHS."""
        if method.solver != "auto" or method.settings or not np.isfinite(extents.reach[columns]).all():
            return None
        typical = own_points(stack, extents.reach[: stack.in_features])
        programs = FreePrograms(net, rows, Highs(), typical)
        cuts = OuterCuts.of(programs.at(0), columns)
        return None if cuts is None else cls(stack, programs, rows, columns, extents, cuts, goal)

    def relax(self, lower: Array, upper: Array, enough: float) -> Relaxed | None:
        """Solve a case over cuts; None if that leads nowhere.

        Args:
            lower: bounds of the integers, shape `(integers,)`.
            upper: the same.
            enough: a value that closes the case.
        """
        planes = self.cuts.case(lower, upper, enough, self._gap) if self.cuts.useful else None
        if planes is None:
            return None
        if not self._gap:
            x = torch.as_tensor(planes.v[: self._stack.in_features])[None]
            self._gap = self._goal.rtol * float(self._within.scale(self._stack, x, self._stack.value(x))[0])
        return Relaxed(planes.value, planes.v[self._columns], 0.0, CutCase(lower, upper, planes))

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
