"""A box around a point that satisfies many sparse equations exactly: least-norm steps.

The columns of M x = f are scaled by how far they may move and the rows to size 1: S = H M W. If S S' is regular, which
`gram` proves with its least eigenvalue s, the step W S'(S S')^-1 H res of least norm satisfies the equations, and it is
at most ||H res|| / sqrt(s) long in the scaled coordinates. The point is kept as x + e with a second float e, so that
the residual res is of the size of squares of rounding errors and a crude s will do. Nothing is dense.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn._margins import EPS, TINY, relative_margin
from verify._optimum.exact import residual
from verify._optimum.gram import gram

STEPS = 4  # with floats, and as many with their second parts
CROWDED = 500  # entries of a column that stays, for S S' would be dense
DENSE = 4000  # rows up to which S S' may be


def least_norm_box(M: sparse.csr_array, f: Array, x: Array, room: Array, error: Array) -> tuple[Array, Array] | None:
    """Return centre and radius of a box that holds a solution of M x = f; None if none is found.

    Args:
        M: matrix of shape `(equations, variables)`.
        f: shape `(equations,)`.
        x: a point, shape `(variables,)`.
        room: how far each entry may move, shape `(variables,)`; entries with 0 stay.
        error: f is known up to this, shape `(equations,)`.
    """
    some = room[(room > 0.0) & np.isfinite(room)]
    if not len(some):
        return None
    most, least = float(some.max()), float(some.min())
    for largest in (most, 1e2 * least):  # S is far from regular if few may move farther than the others
        scaled = scaled_rows(M, np.minimum(room, largest))
        if scaled is None:
            return None
        S, free, width, height = scaled
        proof = gram(S)
        if proof is not None:
            break
    else:
        return None
    x, more = x.copy(), np.zeros_like(x)
    left, rounding = residual(M, x, f)
    for part, enough in ((x, 1e-14), (more, 1e-12)):
        size = np.inf
        for _ in range(STEPS):
            last, size = size, float(np.abs(height * left).max())
            if size == 0.0 or not size < 0.5 * last:
                break
            part[free] += width * (S.T @ proof.solve(height * left))
            left, rounding = residual(M, x, f, more if part is more else None)
            if float(np.abs(height * left).max()) <= enough * (size if part is more else np.abs(x[free] / width).max()):
                break
    total = x + more  # the same number in two other parts, the second no larger than a rounding error
    moved = total - x
    x, more = total, (x - (total - moved)) + (more - moved)
    far = height * (np.abs(left) + rounding + error) * (1.0 + 4 * EPS)
    far += TINY * ((left != 0.0) | (error > 0.0))
    largest = float(far.max())
    if not (math.isfinite(largest) and np.isfinite(more).all()):
        return None
    length = 0.0
    if largest > 0.0:
        length = largest * float(np.linalg.norm(far / largest)) * (1.0 + relative_margin(len(far) + 8)) + TINY
        length = length / math.sqrt(proof.least) * (1.0 + 8 * EPS) + TINY
    radius = np.zeros_like(x)
    reach = width * length + np.abs(more[free])
    radius[free] = reach * (1.0 + 8 * EPS) + np.where((length > 0.0) | (more[free] != 0.0), TINY, 0.0)
    return (x, radius) if np.isfinite(radius).all() else None


def scaled_rows(M: sparse.csr_array, room: Array) -> tuple[sparse.csr_array, IntArray, Array, Array] | None:
    """Return S, which columns of M it has, and the powers of two that scaled its columns and rows.

    Columns with very many entries are left out, but for rows that hold no others, if these are not too many. None if a
    row has no column that may move.
    """
    count = np.bincount(M.indices, minlength=M.shape[1])
    moves = (room > 0) & np.isfinite(room) & (count > 0)
    usual = moves & (count <= CROWDED)
    if (moves & ~usual).any() and M.shape[0] <= DENSE:
        alone = abs(M) @ usual.astype(np.float64) == 0.0
        usual |= moves & (np.asarray(abs(M[alone]).sum(axis=0)).reshape(-1) > 0.0)
    free = np.flatnonzero(usual)
    width = np.exp2(np.clip(np.round(np.log2(room[free])), -400, 400))
    S = sparse.csr_array(M[:, free])
    S.eliminate_zeros()
    S.data *= width[S.indices]
    if not (S.nnz and np.diff(S.indptr).all() and _exact(S.data)):
        return None
    height = np.exp2(-np.round(np.log2(np.maximum.reduceat(np.abs(S.data), S.indptr[:-1]))))
    S.data *= np.repeat(height, np.diff(S.indptr))
    return (S, free, width, height) if _exact(S.data) and (np.abs(np.log2(height)) < 400).all() else None


def _exact(data: Array) -> bool:
    """Return whether products with powers of two were exact: nothing overflowed, or came near to 0."""
    return bool(np.isfinite(data).all() and np.abs(data).min() > 2.0**-900)
