"""The extents of {v in the set : f(x) <= F}, proven: what a set leaves unbounded, the cost may bound.

The minimum over the set is the one over this part of it, or above F. min f(x) - mu sign v_j over the rows has a dual
point of the network, hence a minorant s'x + o <= f(x), and multipliers y with s + G'y = mu sign e_j up to the solver's
tolerance, so for every v of the level set, whatever the solver claims,

    mu sign v_j <= F - o + h'y - (s + G'y - mu sign e_j)'v.
"""

from __future__ import annotations

import numpy as np
import torch

from decision.minimise.answers import Goal
from decision.minimise.constrained.bound import Line
from decision.minimise.constrained.extents import Cuts, Extents, chained
from decision.minimise.constrained.weak_duality import WeakDuality, into_dual_cone
from decision.minimise.exact import FreePrograms
from decision.minimise.scaled import power
from decision.minimise.stack import Stack
from socicnn.arrays import Array, IntArray
from socicnn.margins import EPS, TINY

SHARES = (2.0**-4, 2.0**-12, 2.0**-20)  # mu, as shares of the size of the slope's terms


def level_extents(
    programs: FreePrograms,
    stack: Stack,
    context: int,
    weak: WeakDuality,
    start: Extents,
    wanted: IntArray,
    level: float,
    sizes: Array,
    goal: Goal,
) -> Extents:
    """Return extents of the part of the set where f is at most `level`.

    Args:
        programs: the exact programs over the rows of `weak`.
        stack: the network of this context alone.
        context: its number.
        weak: the rows.
        start: what is known of the extents.
        wanted: coordinates to bound, as integers.
        level: the value F.
        sizes: sizes of the slope's terms, shape `(variables,)`; they choose mu.
        goal: its deadline is kept.
    """
    variables = len(sizes)
    sides = []
    for sign in (1.0, -1.0):
        cuts = Cuts.none(variables)
        for j in wanted:
            weight = power(np.array([sizes[j] or sizes.max(initial=0.0)]))
            for share in SHARES:
                if goal.late or np.isfinite(cuts.most[j]):
                    break
                cost = np.zeros(variables)
                cost[j] = -sign * share * weight
                _cut(cuts, programs, stack, context, weak, level, int(j), cost, goal)
        sides.append(cuts)
    return chained(start, sides[0], sides[1])


def _cut(
    cuts: Cuts,
    programs: FreePrograms,
    stack: Stack,
    context: int,
    weak: WeakDuality,
    level: float,
    j: int,
    cost: Array,
    goal: Goal,
) -> None:
    """Add the cut of coordinate j that min f(x) + cost'v gives; cost has one entry, a power of two."""
    solution = programs.solve(context, goal, cost)
    if not (np.isfinite(solution.v).all() and np.isfinite(solution.y).all()):
        return
    x = torch.as_tensor(solution.v[: stack.in_features])[None]
    line = Line.of(stack, programs.dual(stack, solution.y, x), len(cost))
    proof = weak.combine(into_dual_cone(programs.set_multipliers(solution.y), weak.rows.cones))
    rest = line.slope + proof.sum
    rest[j] += cost[j]
    mu = abs(float(cost[j]))
    error = line.error + proof.error
    error += 4 * EPS * np.where(error > 0, np.abs(line.slope) + np.abs(proof.sum) + np.abs(cost), 0.0)
    most = level - line.offset + proof.most
    most += 4 * EPS * (abs(level) + abs(line.offset) + abs(proof.most))
    with np.errstate(over="ignore", invalid="ignore"):
        left = (np.abs(rest) + error) * (1.0 + 4 * EPS) / mu
        cuts.put(j, most / mu + TINY, np.where((rest != 0) | (error > 0), left + TINY, 0.0))
