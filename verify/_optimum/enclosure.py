"""A point that satisfies equations exactly, in a small box around a point that a solver returned.

Of M x = f a basis of columns B moves, the others stay. With R near the inverse of M_B and E = I - R M_B, the step d
that satisfies M_B d = f - M x =: res obeys d = R res + E d, so if ||E||_inf = a < 1 it exists and

    |d_i| <= |R res|_i + (sum_j |E_ij|) ||R res||_inf / (1 - a).

The residual is exact, and every other number is rounded outward. Source: Krawczyk, Computing 4 (1969).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from socicnn._arrays import Array, IntArray
from socicnn._margins import EPS, TINY, relative_margin
from verify._optimum.dependent import without_dependent
from verify._optimum.exact import ContradictionError, residual
from verify._optimum.least_norm import least_norm_box
from verify._optimum.ranks import WORK

FEW = 100  # equations, for which dense matrices are the fastest
DENSE = 400  # equations, for which a dense inverse takes less than the proof that a row follows from others
LARGEST = 1000  # equations, for which a dense inverse is worth a try
RANK = 1e-11  # pivots below this share of the largest mean dependent rows


@dataclass(frozen=True, eq=False)
class Enclosure:
    """All x with |x - centre| <= radius; one of them satisfies the equations.

    Args:
        centre: shape `(variables,)`.
        radius: shape `(variables,)`, 0 outside the basis.
    """

    centre: Array
    radius: Array


def enclose(
    M: sparse.csr_array, f: Array, x: Array, room: Array, f_error: Array | None = None, work: int = WORK
) -> Enclosure | None:
    """Return a box around a point near x that holds a solution of M x = f; None if none is found.

    Args:
        M: matrix of shape `(equations, variables)`.
        f: shape `(equations,)`.
        x: a point, shape `(variables,)`.
        room: how far each entry may move, shape `(variables,)`; entries with 0 stay.
        f_error: f is known up to this; exact if omitted.
        work: products that the search for dependent equations may take.

    Raises:
        ContradictionError: no x satisfies M x = f with 0 in the entries that are 0 and stay.
    """
    error = np.zeros(len(f)) if f_error is None else f_error
    stays = np.zeros_like(x)
    used = np.bincount(np.repeat(np.arange(len(f)), np.diff(M.indptr)), M.data != 0.0, len(f)) > 0
    idle = ~used & (f == 0.0) & (error == 0.0)
    if idle.any():  # equations 0 = 0
        M, f, error = sparse.csr_array(M[~idle]), f[~idle], error[~idle]
    if not len(f):
        return Enclosure(x, stays)
    if not np.isfinite(x).all():
        return None
    box = _first_box(M, f, x, room, error)
    if box is None and FEW < len(f) <= DENSE:
        box = _box(M, f, x, room, error)
    if box is None and not error.any():  # perhaps a row repeats another
        own = distinct(sparse.csr_array(M[:, np.flatnonzero((room > 0) | (x != 0.0))]), f)
        if len(own) < len(f):
            M, f, error = sparse.csr_array(M[own]), f[own], error[own]
            box = _first_box(M, f, x, room, error)
    if box is None and not error.any():  # perhaps a row follows from the others
        rows = without_dependent(M, f, x, room, work)
        if rows is not None:
            M, f, error = sparse.csr_array(M[rows]), f[rows], error[rows]
            box = _first_box(M, f, x, room, error) if len(rows) else Enclosure(x, stays)
    return box if box is not None or not DENSE < len(f) <= LARGEST else _box(M, f, x, room, error)


def _first_box(M: sparse.csr_array, f: Array, x: Array, room: Array, error: Array) -> Enclosure | None:
    """Return the box for independent equations: of few by a dense inverse, of many by least-norm steps."""
    if len(f) <= FEW:
        return _box(M, f, x, room, error)
    box = least_norm_box(M, f, x, room, error)
    return None if box is None else Enclosure(*box)


def _box(M: sparse.csr_array, f: Array, x: Array, room: Array, error: Array) -> Enclosure | None:
    """Return the box for independent equations."""
    k = len(f)
    free = np.flatnonzero((room > 0) & np.isfinite(room))
    if len(free) < k:
        return None
    width = np.exp2(np.clip(np.round(np.log2(room[free])), -400, 400))
    S = M.toarray()[:, free] * width
    largest = np.abs(S).max(axis=1)
    if not (np.isfinite(S).all() and (largest > 0).all()):
        return None
    height = np.exp2(-np.round(np.log2(largest)))
    S *= height[:, None]
    triangle, order = linalg.qr(S, mode="r", pivoting=True, check_finite=False)
    pivots = np.abs(np.diag(triangle))[:k]
    if not pivots.min() > RANK * pivots.max():
        return None
    basis, S = order[:k], S[:, order[:k]]
    R = np.linalg.inv(S)
    moved, step = free[basis], width[basis]
    x = x.copy()
    left, more = residual(M, x, f)
    for _ in range(3):
        last = float(np.abs(height * left).max())
        x[moved] += step * (R @ (height * left))
        left, more = residual(M, x, f)
        if not float(np.abs(height * left).max()) < 0.25 * last:
            break
    radius = _radius(R, S, height * left, height * (more + error) * (1.0 + 4 * EPS))
    if radius is None:
        return None
    full = np.zeros_like(x)
    full[moved] = step * radius * (1.0 + 4 * EPS) + TINY  # the product may underflow
    return Enclosure(x, full) if np.isfinite(full).all() else None


def _radius(R: Array, S: Array, left: Array, error: Array) -> Array | None:
    """Return the bound of |d|, rounded up; None unless S is invertible for sure."""
    size = np.abs(R)
    margin = relative_margin(2 * len(left) + 8)
    E = np.abs(np.eye(len(left)) - R @ S) + margin * (size @ np.abs(S) + 1.0) * 2.0
    sums = E.sum(axis=1) * (1.0 + margin)
    most = float(sums.max())
    if not most < 0.5:
        return None
    d = np.abs(R @ left) + (margin * (size @ np.abs(left)) + size @ error) * (1.0 + 2 * margin) + TINY
    radius: Array = (d + sums * float(d.max()) / (1.0 - most)) * (1.0 + 2 * margin)
    return radius


def distinct(M: sparse.csr_array, f: Array) -> IntArray:
    """Return the rows of M x = f that repeat no earlier one times +-2^k, e.g. where v = v' - v'' stands for a variable.

    Args:
        M: matrix of shape `(equations, variables)`.
        f: right-hand sides, shape `(equations,)`.

    Raises:
        ContradictionError: two rows are alike, and their right-hand sides are not.
    """
    S = sparse.csr_array(M, copy=True)
    S.sum_duplicates()
    S.eliminate_zeros()
    length = np.diff(S.indptr)
    some = np.flatnonzero(length)
    first = np.ones(len(f))
    first[some] = S.data[S.indptr[some]]
    exponent = np.frexp(first)[1]
    with np.errstate(over="ignore", under="ignore"):
        data = np.copysign(1.0, np.repeat(first, length)) * np.ldexp(S.data, -np.repeat(exponent, length))
        right = np.copysign(1.0, first) * np.ldexp(f, -exponent)
        sums = sparse.csr_array((data, S.indices, S.indptr), shape=S.shape) @ np.sqrt(np.arange(2.0, S.shape[1] + 2.0))
    alike = np.unique(sums, return_inverse=True, return_counts=True)
    several = np.flatnonzero((alike[2][alike[1]] > 1) & (length > 0))
    known, repeated = dict[bytes, int](), list[int]()
    for i in several.tolist():
        at = slice(S.indptr[i], S.indptr[i + 1])
        if not _exact(data[at]) or not (f[i] == 0.0 or _exact(right[i : i + 1])):
            continue
        key = S.indices[at].tobytes() + data[at].tobytes()
        if known.setdefault(key, i) == i:
            continue
        if right[i] != right[known[key]]:
            raise ContradictionError
        repeated.append(i)
    return np.setdiff1d(np.arange(len(f)), repeated)


def _exact(values: Array) -> bool:
    """Return whether powers of two have scaled numbers without loss."""
    return bool((np.isfinite(values) & (np.abs(values) > 2.0**-1000)).all())
