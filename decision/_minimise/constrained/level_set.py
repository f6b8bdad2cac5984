"""The extents of {v in the set : f(x) <= F}, proven: what a set leaves unbounded, the cost may bound.

The minimum over the set is the one over this part of it, or above F. min f(x) - mu sign v_j over the rows has a dual
point of the network, hence a minorant s'x + o <= f(x), and multipliers y with s + G'y = mu sign e_j up to the solver's
tolerance, so for every v of the level set, whatever the solver claims,

    mu sign v_j <= F - o + h'y - (s + G'y - mu sign e_j)'v.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from decision._minimise.answers import Goal
from decision._minimise.constrained.bound import line_of
from decision._minimise.exact import FreePrograms
from decision._minimise.stack import Stack
from socicnn._arrays import Array, BoolArray, IntArray
from socicnn._margins import EPS, TINY
from socicnn.conic._scaled import power
from verify._optimum.extents import Cuts, Extents, chained
from verify._optimum.weak_duality import WeakDuality, into_dual_cone

SHARES = (2.0**-4, 2.0**-12, 2.0**-20)  # mu, as shares of the size of the slope's terms


@dataclass(frozen=True, eq=False)
class LevelSet:
    """{v in the set : f(x) <= level} of one context.

    Args:
        programs: the exact programs over the rows of `weak`.
        context: the number of the context.
        stack: its network alone.
        weak: the rows.
        level: the value F.
        goal: its deadline is kept.
    """

    programs: FreePrograms
    context: int
    stack: Stack
    weak: WeakDuality
    level: float
    goal: Goal

    def extents(self, start: Extents, wanted: IntArray, needed: BoolArray, sizes: Array) -> Extents:
        """Return the extents of the level set.

        Args:
            start: what is known of them.
            wanted: coordinates to bound, as integers.
            needed: which coordinates must be bounded for the others to be useful; shape `(variables,)`.
            sizes: sizes of the slope's terms, shape `(variables,)`; they choose mu.
        """
        above, below = Cuts.none(len(sizes)), Cuts.none(len(sizes))
        for j in sorted(wanted, key=lambda column: not needed[column]):
            for sign, cuts in ((1.0, above), (-1.0, below)):
                self._bound(cuts, int(j), sign, sizes)
                if needed[j] and not np.isfinite(cuts.most[j]):
                    return start
        return chained(start, above, below)

    def _bound(self, cuts: Cuts, j: int, sign: float, sizes: Array) -> None:
        """Add a cut of sign v_j, with the first mu that gives one."""
        weight = power(np.array([sizes[j] or sizes.max(initial=0.0)]))
        for share in SHARES:
            if self.goal.late or np.isfinite(cuts.most[j]):
                return
            cost = np.zeros(len(sizes))
            cost[j] = -sign * share * weight
            self._cut(cuts, j, cost)

    def _cut(self, cuts: Cuts, j: int, cost: Array) -> None:
        """Add the cut of coordinate j that min f(x) + cost'v gives; cost has one entry, a power of two."""
        solution = self.programs.solve(self.context, self.goal, cost)
        if not (np.isfinite(solution.v).all() and np.isfinite(solution.y).all()):
            return
        x = torch.as_tensor(solution.v[: self.stack.in_features])[None]
        line = line_of(self.stack, self.programs.duals(self.stack, solution.y, x)[0], len(cost))
        proof = self.weak.combine(into_dual_cone(self.programs.set_multipliers(solution.y), self.weak.rows.cones))
        rest = line.slope + proof.sum
        rest[j] += cost[j]
        mu = abs(float(cost[j]))
        error = line.error + proof.error
        error += 4 * EPS * np.where(error > 0, np.abs(line.slope) + np.abs(proof.sum) + np.abs(cost), 0.0)
        most = self.level - line.offset + proof.most
        most += 4 * EPS * (abs(self.level) + abs(line.offset) + abs(proof.most))
        with np.errstate(over="ignore", invalid="ignore"):
            left = (np.abs(rest) + error) * (1.0 + 4 * EPS) / mu
            cuts.put(j, most / mu + TINY, np.where((rest != 0) | (error > 0), left + TINY, 0.0))
