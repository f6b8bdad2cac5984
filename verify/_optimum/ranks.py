"""Rows of equations that imply all others, proven by ranks modulo primes.

With rows of whole numbers, a rank modulo any prime is at most the true rank. If the rank modulo several primes is at
most r, every minor of r + 1 rows is a multiple of their product: once that exceeds Hadamard's bound of these minors,
all of them are 0, and the true rank is at most r. Floats are whole numbers times powers of two, which no odd prime
divides, so that their residues will do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from verify._optimum.exact import ContradictionError

WORK = 1_500_000_000  # products modulo primes that a proof may take
BITS = 30  # each prime exceeds 2^30


def independent(M: sparse.csr_array, f: Array, x: Array | None = None, work: int = WORK) -> IntArray | None:
    """Return rows of M z = f that imply all others.

    Args:
        M: matrix of shape `(rows, variables)`.
        f: shape `(rows,)`.
        x: values of the variables that are given, NaN for the others, shape `(variables,)`; none if omitted.
        work: products that it may take.

    Returns:
        The indices of the rows; None if the proof would take too long.

    Raises:
        ContradictionError: no z satisfies all of them.

    >>> independent(sparse.csr_array([[1.0, 2.0], [0.5, 1.0], [0.0, 1.0]]), np.array([1.0, 0.5, 3.0])).tolist()
    [0, 2]
    """
    system = _Residues.of(M, f, np.full(M.shape[1], np.nan) if x is None else x)
    if system is None or system.once > work:
        return None
    kept, raised = _eliminated(system.modulo(_prime(0)), _prime(0))
    if len(kept) == len(f):
        return np.asarray(kept, dtype=np.int64)
    count = math.ceil(system.bits(len(kept) + 1) / BITS) + 1
    if count * system.once > work:
        return None
    for number in range(1, count):
        others, more = _eliminated(system.modulo(_prime(number)), _prime(number))
        if len(others) > len(kept):
            return None  # the first prime was an unlucky one
        raised = raised or (more and len(others) == len(kept))
    if raised:
        raise ContradictionError
    return np.asarray(kept, dtype=np.int64)


def last_follows(M: sparse.csr_array, f: Array, x: Array, work: int = WORK) -> bool:
    """Return whether the last of the rows is proven to follow from the others, which are independent.

    Args:
        M: matrix of shape `(rows, variables)`.
        f: shape `(rows,)`.
        x: values of the variables that are given, NaN for the others, shape `(variables,)`.
        work: products that it may take.

    Raises:
        ContradictionError: no z satisfies all of them.
    """
    others = _Residues.of(sparse.csr_array(M[:-1]), f[:-1], x)
    if others is None or others.once > work:
        return False
    if len(_eliminated(others.modulo(_prime(0)), _prime(0))[0]) < len(f) - 1:
        return False
    kept = independent(M, f, x, work)
    return kept is not None and len(kept) == len(f) - 1


@dataclass(frozen=True, eq=False)
class _Residues:
    """The matrix of the unknowns and, as its last column, the right-hand side, as sums of a b 2^e with whole a and b.

    Args:
        shape: of the matrix.
        at: row and column of each term, shape `(2, terms)`.
        a: whole numbers, shape `(terms,)`.
        b: the same.
        exponent: e, shape `(terms,)`.
    """

    shape: tuple[int, int]
    at: IntArray
    a: IntArray
    b: IntArray
    exponent: IntArray

    @classmethod
    def of(cls, M: sparse.csr_array, f: Array, x: Array) -> Self | None:
        """Return the terms; None if a number is not finite."""
        coo = sparse.coo_array(M)
        known = ~np.isnan(x[coo.col])
        used = np.unique(coo.col[~known & (coo.data != 0.0)])
        last = len(used)
        row = np.concatenate([coo.row, np.arange(len(f))])
        column = np.concatenate([np.where(known, last, np.searchsorted(used, coo.col)), np.full(len(f), last)])
        first = np.concatenate([coo.data, f])
        second = np.concatenate([np.where(known, -x[coo.col], 1.0), np.ones(len(f))])
        some = (first != 0.0) & (second != 0.0)
        if not (np.isfinite(first).all() and np.isfinite(second[some]).all()):
            return None
        (a, e), (b, g) = (_whole(part[some]) for part in (first, second))
        return cls((len(f), last + 1), np.stack([row[some], column[some]]).astype(np.int64), a, b, e + g)

    @property
    def once(self) -> int:
        """How many products an elimination takes at most."""
        rows, columns = self.shape
        return rows * min(self.shape) * columns

    def bits(self, size: int) -> float:
        """Return a bound of log2 of every minor with this number of rows, which powers of two make whole.

        A minor with the right-hand side is at most the sum of its entries times minors of the matrix.
        """
        row, last = self.at[0], self.at[1] == self.shape[1] - 1
        least = np.full(self.shape[0], np.iinfo(np.int64).max)
        np.minimum.at(least, row[~last], self.exponent[~last])
        least[least == np.iinfo(np.int64).max] = 0
        length = np.log2(np.abs(self.a)) + np.log2(np.abs(self.b)) + (self.exponent - least[row])
        bits = np.zeros(self.shape[0])
        np.maximum.at(bits, row[~last], length[~last])
        sums = np.bincount(row[~last], 2.0 ** (length - bits[row])[~last], minlength=len(bits))
        rows = np.sort(bits + np.log2(np.maximum(sums, 1.0)) + 1e-6)[::-1]
        right = 0.0
        if last.any():
            shift = self.exponent[last] - least[row[last]]
            right = float((length[last] - min(int(shift.min()), 0)).max()) + math.log2(float(last.sum())) + 1.0
        return float(rows[:size].sum()) + right + math.log2(size + 1.0)

    def modulo(self, prime: int) -> IntArray:
        """Return the matrix modulo a prime."""
        exponents, place = np.unique(self.exponent, return_inverse=True)
        powers = np.array([pow(2, int(e) % (prime - 1), prime) for e in exponents], dtype=np.int64)
        A = np.zeros(self.shape, dtype=np.int64)
        np.add.at(A, tuple(self.at), self.a % prime * (self.b % prime) % prime * powers[place] % prime)
        return A % prime


def _whole(values: Array) -> tuple[IntArray, IntArray]:
    """Return odd whole numbers a and exponents e with values a 2^e."""
    mantissa, exponent = np.frexp(values)
    whole = (mantissa * 2.0**53).astype(np.int64)
    twos = np.log2((whole & -whole).astype(np.float64)).astype(np.int64)
    return whole >> twos, exponent.astype(np.int64) - 53 + twos


def _eliminated(A: IntArray, prime: int) -> tuple[list[int], bool]:
    """Return rows of full rank of all columns but the last, and whether the last one raises the rank."""
    order, r = np.arange(len(A)), 0
    for j in range(A.shape[1] - 1):
        nonzero = np.flatnonzero(A[r:, j])
        if not len(nonzero):
            continue
        i = r + int(nonzero[0])
        if i != r:
            A[[r, i]], order[[r, i]] = A[[i, r]], order[[i, r]]
        below = r + 1 + np.flatnonzero(A[r + 1 :, j])
        if len(below):
            inverse = pow(int(A[r, j]), -1, prime)
            factor = A[below, j] * inverse % prime
            A[below, j:] = (A[below, j:] - factor[:, None] * A[r, j:]) % prime
        r += 1
        if r == len(A):
            break
    return np.sort(order[:r]).tolist(), bool(A[r:, -1].any())


@cache
def _prime(number: int) -> int:
    """Return a prime between 2^30 and 2^31, counted from above."""
    candidate = 2**31 - 1 if number == 0 else _prime(number - 1) - 2
    while not _is_prime(candidate):
        candidate -= 2
    return candidate


def _is_prime(p: int) -> bool:
    """Return whether an odd number below 2^32 is a prime (Miller and Rabin's test with bases that suffice there)."""
    twos = ((p - 1) & (1 - p)).bit_length() - 1
    for base in (2, 7, 61):
        x = pow(base, (p - 1) >> twos, p)
        if x not in (1, p - 1) and not any((x := x * x % p) == p - 1 for _ in range(twos - 1)):
            return False
    return True
