"""Sums of products without rounding errors: residuals f - M x to the last bit."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn._margins import EPS

_SPLIT = 2.0**27 + 1.0


def residual(M: sparse.csr_array, x: Array, f: Array, more: Array | None = None) -> tuple[Array, Array]:
    """Return f - M (x + more) and a bound of its error.

    Each product is split into its float and its rounding error (Dekker, 1971), and their sum is rounded once.

    Args:
        M: matrix of shape `(rows, variables)`.
        x: shape `(variables,)`.
        f: shape `(rows,)`.
        more: what x lacks, far smaller than x, shape `(variables,)`; 0 if omitted.

    Returns:
        Two vectors of shape `(rows,)`; NaN where factors are beyond 2^480 or below 2^-480.
    """
    parts = [x] if more is None else [x, more]
    terms = np.stack([-part for factor in parts for part in _products(M.data, factor[M.indices])], axis=1)
    starts = terms.shape[1] * M.indptr[:-1].astype(np.int64) + np.arange(len(f))
    flat = np.empty(terms.size + len(f))
    behind = np.ones(len(flat), dtype=bool)
    behind[starts] = False
    flat[starts], flat[behind] = f, terms.reshape(-1)
    wrong = np.zeros(len(f), dtype=bool)
    if not np.isfinite(flat).all():
        wrong = np.logical_or.reduceat(~np.isfinite(flat), starts)
        flat[~np.isfinite(flat)] = 0.0
    values = flat.tolist()
    ends = [*starts.tolist(), len(values)]
    sums = np.array([math.fsum(values[start:stop]) for start, stop in pairwise(ends)])
    sums[wrong] = np.nan
    return sums, 2 * EPS * np.abs(sums) + np.where(sums != 0.0, 2.0**-1074, 0.0)


def _products(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the floats of products and their rounding errors, NaN where an error may not be a float."""
    with np.errstate(over="ignore", invalid="ignore"):
        product = a * b
        a_high, b_high = _high(a), _high(b)
        a_low, b_low = a - a_high, b - b_high
        low = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    some = (a != 0.0) & (b != 0.0)
    for factor in (a, b):
        size = np.abs(factor)
        product = np.where(some & ~((size > 2.0**-480) & (size < 2.0**480)), np.nan, product)
    return product, low


def _high(a: Array) -> Array:
    large: Array = _SPLIT * a
    return large - (large - a)


class ContradictionError(Exception):
    """Rows of an equation system that no point satisfies."""
