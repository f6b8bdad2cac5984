"""Sums of products without rounding errors: residuals f - M x to the last bit."""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn._margins import EPS

_SPLIT = 2.0**27 + 1.0  # a float64 is the sum of two halves whose products are exact
MANY = 100  # rows of a kind that are summed side by side


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
    sums = _sums(flat, np.append(starts, len(flat)))
    sums[wrong] = np.nan
    return sums, 2 * EPS * np.abs(sums) + np.where(sums != 0.0, 2.0**-1074, 0.0)


def _sums(values: Array, ends: IntArray) -> Array:
    """Return the sum of each part of `values`, within 2 EPS of its own size, so 0 only if it is 0.

    Of many short parts the floats of sums and their rounding errors are kept apart, twice (Ogita, Rump and Oishi,
    2005): a part is done once its errors, which are summed last, are far below its sum. The others take `math.fsum`.
    """
    sums, left = np.zeros(len(ends) - 1), np.ones(len(ends) - 1, dtype=bool)
    for low, high in ((0, 8), (8, 16), (16, 32)) if len(left) >= MANY else ():
        rows = np.flatnonzero((np.diff(ends) > low) & (np.diff(ends) <= high))
        if len(rows) < MANY:
            continue
        at = ends[rows, None] + np.arange(high)
        parts = np.where(at < ends[rows + 1, None], values[np.minimum(at, len(values) - 1)], 0.0).T.copy()
        with np.errstate(over="ignore", invalid="ignore"):
            for i in [*range(1, high), *range(1, high)]:
                a, b = parts[i - 1], parts[i]
                total = a + b
                near = total - a
                parts[i - 1], parts[i] = (a - (total - near)) + (b - near), total
            most = np.abs(parts[:-1]).sum(axis=0)
            sums[rows] = parts[-1] + parts[:-1].sum(axis=0)
            left[rows] = ~((most == 0.0) | (2 * high * most <= 0.25 * np.abs(sums[rows])))
    for row in np.flatnonzero(left):
        sums[row] = math.fsum(values[ends[row] : ends[row + 1]].tolist())
    return sums


def _products(a: Array, b: Array) -> tuple[Array, Array]:
    """Return what `two_products` does, NaN where an error may not be a float."""
    with np.errstate(over="ignore", invalid="ignore"):
        product, low = two_products(a, b)
    some = (a != 0.0) & (b != 0.0)
    for factor in (a, b):
        size = np.abs(factor)
        product = np.where(some & ~((size > 2.0**-480) & (size < 2.0**480)), np.nan, product)
    return product, low


def two_products(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the floats of products and their rounding errors (Dekker, 1971), of factors within 2^-480 and 2^480."""
    product = a * b
    a_high, b_high = (large - (large - factor) for large, factor in ((_SPLIT * a, a), (_SPLIT * b, b)))
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


class ContradictionError(Exception):
    """Rows of an equation system that no point satisfies."""
