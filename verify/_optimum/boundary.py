"""Points on the boundary of a cone: where nothing moves, fractions tell whether the cone holds."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._rows import Rows

MOST = 10_000  # entries of a cone's rows up to which fractions are worth their time


def holds(rows: Rows, cone: int, v: Array, radius: Array) -> bool:
    """Return whether s_0 >= ||u|| of a second-order cone at v, in exact arithmetic.

    Whole numbers lie on the boundary of cones, e.g. 5 = ||(3, 4)||, where floats that are rounded up see no slack.

    Args:
        rows: the constraints s = h - G v.
        cone: the number of the cone.
        v: the point, shape `(variables,)`.
        radius: how far it may be from the true one, shape `(variables,)`; the answer is no if the cone moves.
    """
    head, size = int(rows.cones.heads[cone]), rows.cones.second_order[cone]
    G = sparse.csr_array(rows.G[head : head + size])
    if G.nnz > MOST or radius[G.indices[G.data != 0.0]].any():
        return False
    h = rows.h[head : head + size]
    if not (np.isfinite(h).all() and np.isfinite(G.data).all()):
        return False
    s = [Fraction(value) for value in h.tolist()]
    for i, j, entry in zip(np.repeat(np.arange(size), np.diff(G.indptr)), G.indices, G.data.tolist(), strict=True):
        s[i] -= Fraction(entry) * Fraction(float(v[j]))
    return s[0] >= 0 and s[0] ** 2 >= sum(u * u for u in s[1:])
