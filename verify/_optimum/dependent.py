"""Equations that follow from others: a combination is guessed in floats and proven in fractions.

Where rows are sums of others the factors are simple fractions, which floats tell. Rows that are not of this kind are
left to ranks modulo primes, which take longer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from verify._optimum.exact import ContradictionError, residual
from verify._optimum.gram import weak_rows
from verify._optimum.least_norm import scaled_rows
from verify._optimum.ranks import independent, last_follows

SIMPLE = 4096  # largest denominator of the mantissa of a factor
FAINT = 1e-7  # factors below this are 0
SEVERAL = 3  # rows each of which may have a proof by ranks of its own
MOST = 200  # rows that are guessed
LITTLE = 100_000_000  # products that ranks may take, if other points are left to try
LARGEST = 2**40  # common denominator


def without_dependent(M: sparse.csr_array, f: Array, x: Array, room: Array, work: int) -> IntArray | None:
    """Return rows of M z = f that imply the others, None if no row is proven to follow from others.

    Args:
        M: matrix of shape `(rows, variables)`.
        f: shape `(rows,)`.
        x: a point, shape `(variables,)`.
        room: how far each entry of z may be from it, shape `(variables,)`; those with 0 are x.
        work: products that ranks may take.

    Raises:
        ContradictionError: no such z satisfies all of them.
    """
    scaled = scaled_rows(M, room)
    if scaled is not None:
        weak = weak_rows(scaled[0])
        if not len(weak):
            return None
        if len(weak) < min(len(f), MOST):
            keep, known = np.setdiff1d(np.arange(len(f)), weak), np.where(room > 0, np.nan, x)
            factors = list(_factors(scaled[0], scaled[3], keep, weak))
            ranked = work if len(weak) <= SEVERAL else 0  # of many weak rows one proof by ranks takes less
            if all(_follows(M, f, known, int(i), keep, own, ranked) for i, own in zip(weak, factors, strict=True)):
                return keep
    kept = independent(M, f, np.where(room > 0, np.nan, x), work)
    return kept if kept is not None and len(kept) < len(f) else None


def _factors(S: sparse.csr_array, height: Array, keep: IntArray, weak: IntArray) -> Iterator[Array]:
    """Yield the factors by which each weak row is a combination of the rows that are kept, as floats."""
    from scipy.sparse import linalg

    B = sparse.csr_array(S[keep])
    N = sparse.csc_array(B @ B.T)
    try:
        lu = linalg.splu(sparse.csc_array(N + 1e-15 * sparse.eye_array(len(keep))), permc_spec="MMD_AT_PLUS_A")
    except RuntimeError:  # exactly singular
        yield from np.full((len(weak), len(keep)), np.nan)
        return
    for i in weak.tolist():
        row = S[[i]].toarray()[0]
        factor = np.zeros(len(keep))
        for _ in range(4):
            factor += lu.solve(B @ (row - B.T @ factor))
        yield factor * height[keep] / height[i]


def _follows(M: sparse.csr_array, f: Array, x: Array, i: int, keep: IntArray, factor: Array, work: int) -> bool:
    """Return whether row i is proven to follow from rows that are kept, which have these factors in floats.

    Raises:
        ContradictionError: no point satisfies them all.
    """
    if not (np.isfinite(factor).all() and np.abs(factor).max(initial=0.0) < 2.0**200):
        return False
    used = np.flatnonzero(np.abs(factor) > FAINT * np.abs(factor).max(initial=0.0))
    rows = np.append(keep[used], i)
    part = sparse.csr_array(M[rows])
    return _is_sum(part, f[rows], x, factor[used]) or last_follows(part, f[rows], x, work)


def _is_sum(M: sparse.csr_array, f: Array, x: Array, factor: Array) -> bool:
    """Return whether the last row is the sum of the others times simple fractions next to the factors.

    Raises:
        ContradictionError: the row is, and its right-hand side is not.
    """
    simple = [_simple(value) for value in factor.tolist()]
    times = math.lcm(*(part.denominator // (part.denominator & -part.denominator) for part in simple))  # without twos
    if times > LARGEST:
        return False
    whole = [part * times for part in simple]
    floats = [float(part) for part in whole]
    if any(Fraction(value) != part for value, part in zip(floats, whole, strict=True)):
        return False
    combination = np.array([*floats, -float(times)])
    used = np.isnan(x) | (x != 0.0)  # the others stay 0
    part = sparse.csr_array(M[:, np.flatnonzero(used)].T)
    if residual(part, combination, np.zeros(part.shape[0]))[0].any():
        return False
    if residual(sparse.csr_array(f[None]), combination, np.zeros(1))[0].any():
        raise ContradictionError
    return True


def _simple(factor: float) -> Fraction:
    """Return the fraction next to a float whose mantissa is simple."""
    mantissa, exponent = math.frexp(factor)
    return Fraction(mantissa).limit_denominator(SIMPLE) * Fraction(2) ** exponent
