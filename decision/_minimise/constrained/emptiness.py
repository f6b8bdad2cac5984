"""Why a program has no point: the set is empty, proven by multipliers.

The least t by which all rows can be relaxed is a program with a solution; its multipliers y have G'y = 0, h'y = -t up
to the solver's tolerance. As multipliers of the function 0 over the set they prove a lower bound of it: if that is
above 0, the set has no point.
"""

from __future__ import annotations

import numpy as np

from socicnn.conic._rows import Rows
from socicnn.conic.solvers import Solver
from verify._optimum.extents import Extents
from verify._optimum.interior import relaxed
from verify._optimum.residual import Line, lower_bound
from verify._optimum.weak_duality import WeakDuality, into_dual_cone


def proven_empty(rows: Rows, extents: Extents, solver: Solver) -> bool:
    """Return whether no point satisfies the rows, in real arithmetic; False says nothing.

    Args:
        rows: the set.
        extents: proven bounds of it.
        solver: the solver.
    """
    if (extents.lower > extents.upper).any():
        return True
    y = relaxed(rows, solver)
    if not np.isfinite(y).all():
        return False
    nothing = np.zeros(rows.G.shape[1])
    zero = Line(nothing, nothing, 0.0, nothing)  # of the function that is 0 everywhere
    return lower_bound(zero, into_dual_cone(y, rows.cones), weak=WeakDuality(rows), extents=extents).lower > 0.0
