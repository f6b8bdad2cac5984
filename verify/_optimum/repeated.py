"""Equations that repeat others times a power of two, e.g. those of a free variable that is split into two.

Programs without free variables write v = v' - v'', and both have the same equation for the multipliers, up to its sign.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from verify._optimum.exact import ContradictionError


def distinct(M: sparse.csr_array, f: Array) -> IntArray:
    """Return the rows of M x = f that repeat no earlier one times +-2^k.

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
