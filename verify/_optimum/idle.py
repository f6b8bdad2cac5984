"""Multipliers of programs whose dual has no interior, as some of its inequalities never have slack.

A free variable that is split into two, v = v' - v'', gives two multipliers y', y'' >= 0 with y' = -y'': both are 0.
With these left out the rest may have an interior.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._rows import Rows
from socicnn.conic.solvers import Solver
from verify._optimum.interior import deepest, dual_rows, interior, towards

NONE = 1e-7  # of the largest multiplier: one that is smaller where all are as large as they can be is always 0


def idle_multipliers(rows: Rows, slope: Array, y: Array, solver: Solver) -> Iterator[Array]:
    """Yield multipliers next to y; those of inequalities that never have slack are 0.

    Args:
        rows: the constraints.
        slope: of the cost, shape `(variables,)`.
        y: a solver's multipliers, shape `(rows,)`.
        solver: the solver.
    """
    dual = dual_rows(rows, slope)
    size = abs(dual.G) @ np.abs(y) + np.abs(dual.h)
    deep = deepest(dual, np.full(len(size), float(size.max(initial=0.0))), solver)
    if not np.isfinite(deep).all():
        return
    planes = np.arange(rows.cones.zero, rows.cones.zero + rows.cones.nonnegative)
    idle = planes[deep[planes] <= NONE * float(np.abs(deep).max(initial=0.0))]
    if not len(idle):
        return
    keep = np.setdiff1d(np.arange(len(y)), idle)
    cones = replace(rows.cones, nonnegative=rows.cones.nonnegative - len(idle))
    rest = dual_rows(Rows(sparse.csr_array(rows.G[keep]), rows.h[keep], cones), slope)
    inner = interior(rest, y[keep], solver)
    if inner is None:
        return
    for point in towards(rest, y[keep], inner):
        full = np.zeros(len(y))
        full[keep] = point
        yield full
