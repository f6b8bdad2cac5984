"""The extents of a set by solving for them: two linear costs a coordinate, each answer proven by weak duality.

min -sign v_j over the rows has multipliers y with G'y = sign e_j up to the solver's tolerance, so
sign v_j <= h'y - (G'y - sign e_j)'v on the set, whatever the solver claims.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from decision._minimise.answers import Goal
from socicnn._arrays import Array, BoolArray, IntArray
from socicnn._margins import EPS
from socicnn.conic._program import ConicProgram
from socicnn.conic._rows import Rows
from socicnn.conic._scaled import Scaled
from socicnn.conic.solvers import Solver
from verify._optimum.extents import Cuts, Extents, chained, single_bounds
from verify._optimum.weak_duality import WeakDuality, into_dual_cone

LARGEST = 1000  # open coordinates up to which two solves for each, and a square matrix of rests, are worth it


Multipliers = dict[tuple[int, float], Array]  # (coordinate, side) -> y


def support_extents(
    rows: Rows,
    keep: BoolArray,
    near: Rows,
    solver: Solver,
    goal: Goal,
    known: Extents | None = None,
    multipliers: Multipliers | None = None,
) -> Extents:
    """Return proven extents of a set.

    Args:
        rows: the set.
        keep: which rows the solver is given, shape `(rows,)`.
        near: these rows; a coordinate that its single rows bound needs no solve.
        solver: the solver.
        goal: its deadline is kept.
        known: proven bounds that need no solve.
        multipliers: those found before for the same matrix and cones, which are used again, as G'y = sign e_j does not
            depend on h: a bound that is proven, if not the nearest; new ones are added.
    """
    variables = rows.G.shape[1]
    start = single_bounds(near)
    if known is not None:
        start = start.within(known)
    open_coordinates = np.flatnonzero(~np.isfinite(start.reach))
    if 0 < len(open_coordinates) <= LARGEST and near.G.shape[0]:
        weak, pairs = WeakDuality(near), {} if multipliers is None else multipliers
        _find(pairs, near, open_coordinates, solver, goal)
        sides = []
        for sign in (1.0, -1.0):
            cuts = Cuts.none(variables)
            for j in open_coordinates.tolist():
                if (j, sign) in pairs:
                    put(cuts, weak, pairs[j, sign], j, sign)
            sides.append(cuts)
        start = chained(start, sides[0], sides[1])
    return start.within(single_bounds(rows)) if not keep.all() else start


def _find(known: Multipliers, near: Rows, coordinates: IntArray, solver: Solver, goal: Goal) -> None:
    """Add the multipliers of the coordinates that have none yet, in the dual cone."""
    variables = near.G.shape[1]
    wanted = [(int(j), sign) for sign in (1.0, -1.0) for j in coordinates if (int(j), sign) not in known]
    if not wanted:
        return
    program = ConicProgram(sparse.csc_array(near.G), near.h, np.zeros(variables), 0.0, near.cones)
    scaled = Scaled(solver, program)
    for j, sign in wanted:
        if goal.late:
            break
        cost = np.zeros(variables)
        cost[j] = -sign
        y = scaled.solve(near.h, cost, 0.0).y
        if np.isfinite(y).all():
            known[j, sign] = into_dual_cone(y, near.cones)


def put(cuts: Cuts, weak: WeakDuality, y: Array, j: int, sign: float) -> None:
    """Add the cut sign v_j <= h'y - (G'y - sign e_j)'v."""
    proof = weak.combine(y)
    rest = proof.sum.copy()
    rest[j] -= sign
    error = proof.error.copy()
    error[j] += 2 * EPS * abs(rest[j])
    cuts.put(j, proof.most, (np.abs(rest) + error) * (1.0 + 4 * EPS))
