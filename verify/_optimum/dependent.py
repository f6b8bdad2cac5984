"""Equations that follow from others: a combination is guessed in floats and proven in fractions.

Elimination in whole numbers is slow, but where rows are sums of others the factors are simple fractions, which floats
tell. Rows that are not of this kind are left to the elimination.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from verify._optimum.exact import ContradictionError, independent, residual
from verify._optimum.gram import weak_rows
from verify._optimum.least_norm import scaled_rows

SIMPLE = 4096  # largest denominator of the mantissa of a factor
FAINT = 1e-7  # factors below this are 0
MOST = 200  # rows that are guessed
SMALL = 600  # rows that are eliminated in whole numbers
WORK = 60_000  # products that this may take, if other points are left to try
LARGEST = 2**40  # common denominator


def without_dependent(M: sparse.csr_array, f: Array, room: Array, used: IntArray, work: int = WORK) -> IntArray | None:
    """Return rows of M x = f that imply the others, None if no row is proven to follow from others.

    Args:
        M: matrix of shape `(rows, variables)`.
        f: shape `(rows,)`.
        room: how far each variable may move, shape `(variables,)`.
        used: the variables that are not 0 for sure.
        work: products of whole numbers that the elimination may take.

    Raises:
        ContradictionError: no x satisfies all of them.
    """
    scaled = scaled_rows(M, room)
    weak = np.zeros(0, dtype=np.int64) if scaled is None else weak_rows(scaled[0])
    known = sparse.csr_array(M[:, used])
    if scaled is not None and 0 < len(weak) < min(len(f), MOST):
        keep = np.setdiff1d(np.arange(len(f)), weak)
        factors = _factors(scaled[0], scaled[3], keep, weak)
        if all(_follows(known, f, int(i), keep, own) for i, own in zip(weak, factors, strict=True)):
            return keep
    if len(f) > SMALL or (scaled is not None and not len(weak)):
        return None
    kept = independent(known, f, work=work)
    return kept if kept is not None and len(kept) < len(f) else None


def _factors(S: sparse.csr_array, height: Array, keep: IntArray, weak: IntArray) -> Iterator[Array]:
    """Yield the factors by which each weak row is a combination of the rows that are kept, as floats."""
    from scipy.sparse import linalg

    B = sparse.csr_array(S[keep])
    N = sparse.csc_array(B @ B.T)
    try:
        lu = linalg.splu(sparse.csc_array(N + 1e-15 * sparse.eye_array(len(keep))), permc_spec="MMD_AT_PLUS_A")
    except RuntimeError:
        return
    for i in weak.tolist():
        row = S[[i]].toarray()[0]
        factor = np.zeros(len(keep))
        for _ in range(4):
            factor += lu.solve(B @ (row - B.T @ factor))
        yield factor * height[keep] / height[i]


def _follows(M: sparse.csr_array, f: Array, i: int, keep: IntArray, factor: Array) -> bool:
    """Return whether row i is a combination of the others in exact arithmetic.

    Raises:
        ContradictionError: the row is, and its right-hand side is not.
    """
    if not np.isfinite(factor).all():
        return False
    used = np.flatnonzero(np.abs(factor) > FAINT * np.abs(factor).max(initial=0.0))
    simple = [_simple(value) for value in factor[used].tolist()]
    times = math.lcm(*(part.denominator >> _twos(part.denominator) for part in simple))
    whole = [part * times for part in simple]
    combination = np.array([*map(float, whole), -float(times)])
    if times > LARGEST or any(
        Fraction(value) != part for value, part in zip(combination.tolist(), whole, strict=False)
    ):
        return False
    rows = [*keep[used].tolist(), i]
    part = sparse.csr_array(M[rows].T)
    if residual(part, combination, np.zeros(part.shape[0]))[0].any():
        return False
    if residual(sparse.csr_array(f[rows][None]), combination, np.zeros(1))[0].any():
        raise ContradictionError
    return True


def _simple(factor: float) -> Fraction:
    """Return the fraction next to a float whose mantissa is simple."""
    mantissa, exponent = math.frexp(factor)
    return Fraction(mantissa).limit_denominator(SIMPLE) * Fraction(2) ** exponent


def _twos(number: int) -> int:
    """Return how often 2 divides a number."""
    return (number & -number).bit_length() - 1
