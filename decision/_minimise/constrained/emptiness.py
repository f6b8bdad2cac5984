"""Why a program has no point: the set is empty, proven by multipliers.

The least t by which all rows can be relaxed is a program with a solution; its multipliers y have G'y = 0, h'y = -t up
to the solver's tolerance. As multipliers of the function 0 over the set they prove a lower bound of it: if that is
above 0, the set has no point.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._cones import Cones
from socicnn.conic._program import ConicProgram
from socicnn.conic._rows import Rows
from socicnn.conic._scaled import Scaled
from socicnn.conic.solvers import Solver
from verify._optimum.extents import Extents
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
    y = _multipliers(rows, solver)
    if y is None:
        return False
    nothing = np.zeros(rows.G.shape[1])
    zero = Line(nothing, nothing, 0.0, nothing)  # of the function that is 0 everywhere
    return lower_bound(zero, into_dual_cone(y, rows.cones), weak=WeakDuality(rows), extents=extents).lower > 0.0


def _multipliers(rows: Rows, solver: Solver) -> Array | None:
    """Return multipliers of min t s.t. the rows relaxed by t, in the order of the rows; None without an answer."""
    cones, zero = rows.cones, rows.cones.zero
    cut = zero + cones.nonnegative
    relax = np.zeros(len(rows.h))
    relax[zero:cut] = 1.0
    relax[cones.heads] = 1.0
    ones = sparse.csr_array(np.ones((zero, 1)))
    E, f = rows.G[:zero], rows.h[:zero]
    column = sparse.csr_array(-relax[zero:, None])
    least = sparse.csr_array(([-1.0], ([0], [rows.G.shape[1]])), shape=(1, rows.G.shape[1] + 1))
    blocks = [least, sparse.hstack([E, -ones]), sparse.hstack([-E, -ones]), sparse.hstack([rows.G[zero:], column])]
    A = sparse.csc_array(sparse.vstack([block for block in blocks if block.shape[0]], format="csc"))
    h = np.concatenate([[0.0], f, -f, rows.h[zero:]])
    c = np.zeros(A.shape[1])
    c[-1] = 1.0
    program = ConicProgram(A, h, c, 0.0, Cones(0, 1 + 2 * zero + cones.nonnegative, cones.second_order))
    y = Scaled(solver, program).solve(h, c, 0.0).y
    if not np.isfinite(y).all():
        return None
    return np.concatenate([y[1 : 1 + zero] - y[1 + zero : 1 + 2 * zero], y[1 + 2 * zero :]])
