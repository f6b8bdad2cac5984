"""Sums of products without rounding errors: residuals f - M x to the last bit, and dependent rows in rationals."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn._margins import EPS

_SPLIT = 2.0**27 + 1.0
WORK = 3_000_000  # products of whole numbers that an elimination may take
RIGHT = 2**62  # the place of the right-hand side, behind every column
DIGITS = 4000  # bits that a whole number may have


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


def independent(M: sparse.csr_array, f: Array, work: int = WORK) -> IntArray | None:
    """Return rows of M x = f that imply all others, by exact elimination in whole numbers.

    Args:
        M: matrix of shape `(rows, variables)`.
        f: shape `(rows,)`.
        work: products of whole numbers that it may take.

    Returns:
        The indices of the rows; None if the elimination would take too long.

    Raises:
        ContradictionError: no x satisfies all of them.

    >>> independent(sparse.csr_array([[1.0, 2.0], [0.5, 1.0], [0.0, 1.0]]), np.array([1.0, 0.5, 3.0])).tolist()
    [0, 2]
    """
    pivots: dict[int, dict[int, int]] = {}  # by their first column
    kept, done = [], 0
    for i in range(M.shape[0]):
        columns, values = M.indices[M.indptr[i] : M.indptr[i + 1]], M.data[M.indptr[i] : M.indptr[i + 1]]
        row = _whole([*columns.tolist(), RIGHT], [*values.tolist(), float(f[i])])
        if row is None:
            return None
        while row:
            first = min(row)
            pivot = pivots.get(first)
            if pivot is None:
                break
            row = _reduced(row, pivot, first)
            done += len(row) + len(pivot)
            if done > work or any(value.bit_length() > DIGITS for value in row.values()):
                return None
        if row and first == RIGHT:
            raise ContradictionError
        if row:
            pivots[first] = row
            kept.append(i)
    return np.asarray(kept, dtype=np.int64)


def _whole(columns: list[int], values: list[float]) -> dict[int, int] | None:
    """Return a row times a power of two that makes its entries whole."""
    if not all(map(math.isfinite, values)):
        return None
    ratios = [value.as_integer_ratio() for value in values]
    least = max(below for _, below in ratios)
    if least.bit_length() > DIGITS:
        return None
    row: dict[int, int] = {}
    for column, (above, below) in zip(columns, ratios, strict=True):
        row[column] = row.get(column, 0) + above * (least // below)
    return {column: value for column, value in row.items() if value}


def _reduced(row: dict[int, int], pivot: dict[int, int], column: int) -> dict[int, int]:
    """Return the row without that column, divided by what its entries have in common."""
    a, b = row[column], pivot[column]
    common = math.gcd(a, b)
    a, b = a // common, b // common
    made = {name: b * row.get(name, 0) - a * pivot.get(name, 0) for name in row.keys() | pivot.keys()}
    made = {name: value for name, value in made.items() if value}
    common = math.gcd(*made.values()) if made else 1
    return {name: value // common for name, value in made.items()}
