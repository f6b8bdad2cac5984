"""Unknowns that equations fix at floats, exactly: these equations hold without any box."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray
from verify._optimum.exact import residual

PASSES = 40  # over the equations that may fix an unknown


def pinned(M: sparse.csr_array, f: Array, x: Array, fixed: BoolArray) -> tuple[Array, BoolArray, BoolArray]:
    """Return x, which entries are fixed, and which equations of M x = f are left.

    An equation fixes the one unknown that is not fixed yet, if its residual is then exactly 0.

    Args:
        M: matrix of shape `(equations, unknowns)`.
        f: shape `(equations,)`.
        x: a point, shape `(unknowns,)`.
        fixed: entries of x that stay, shape `(unknowns,)`.
    """
    x, fixed, left = x.copy(), fixed.copy(), np.ones(len(f), dtype=bool)
    E = sparse.csr_array(M)
    E.eliminate_zeros()
    rows = np.repeat(np.arange(len(f)), np.diff(E.indptr))
    checked = np.diff(E.indptr) == 0
    for _ in range(PASSES):
        own = ~fixed[E.indices]
        unknown = np.bincount(rows[own], minlength=len(f))
        settled = np.flatnonzero((unknown == 0) & ~checked)
        if len(settled):
            checked[settled] = True
            left[settled[residual(E[settled], x, f[settled])[0] == 0.0]] = False
        single = np.flatnonzero((unknown == 1) & ~checked)
        if not len(single):
            break
        own &= ((unknown == 1) & ~checked)[rows]
        columns, entries = E.indices[own], E.data[own]
        first = np.sort(np.unique(columns, return_index=True)[1])  # one equation for each unknown
        single, columns, entries = single[first], columns[first], entries[first]
        trial, h, block = np.where(fixed, x, 0.0), f[single], sparse.csr_array(E[single])
        with np.errstate(over="ignore", invalid="ignore"):
            trial[columns] = residual(block, trial, h)[0] / entries
        exact = np.isfinite(trial[columns])
        trial[columns[~exact]] = 0.0
        exact &= residual(block, trial, h)[0] == 0.0
        checked[single] = True
        left[single[exact]] = False
        fixed[columns[exact]] = True
        x[columns[exact]] = trial[columns[exact]]
    return x, fixed, left
