"""How convex a quadratic cost is, proven: a diagonal D with v'Pv >= v'Dv for every v."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy import linalg, sparse

from socicnn._arrays import Array
from socicnn._margins import TINY, relative_margin

LARGEST = 3000  # rows of P with entries beside the diagonal
EXACT = 40  # such rows up to which P is also factorised in fractions


def curvature(P: sparse.csr_array) -> Array | None:
    """Return D, shape `(variables,)`; entries are slightly negative where P is only known to be convex up to rounding.

    A Cholesky factorisation of P - d I that succeeds in floats proves that the least eigenvalue of P is at least d
    less the rounding errors. Source: Rump, BIT 46 (2006).

    Returns:
        D, or None if P is not convex or too large.

    >>> curvature(sparse.csr_array([[2.0, 0.0], [0.0, 3.0]])).tolist()
    [2.0, 3.0]
    """
    D: Array = P.diagonal().astype(np.float64)
    if P.nnz and abs(P - P.T).max() != 0.0:
        return None
    coo = sparse.coo_array(P)
    beside = coo.row[(coo.row != coo.col) & (coo.data != 0.0)]
    block = np.unique(beside)
    if len(block):
        if len(block) > LARGEST:
            return None
        S = P[block][:, block].toarray()
        least = _least(S)
        if least is None:
            return None
        if least < 0.0 and len(S) <= EXACT and _convex(S):
            least = 0.0
        D[block] = least
    return D if (np.delete(D, block) >= 0.0).all() else None


def _least(S: Array) -> float | None:
    """Return a proven lower bound of the least eigenvalue, None if it is clearly negative."""
    k, trace = len(S), float(np.abs(np.diag(S)).sum())
    rounding = 4.0 * relative_margin(4 * k + 8) * trace + TINY
    try:
        guess = float(linalg.eigvalsh(S, subset_by_index=(0, 0))[0])
    except (linalg.LinAlgError, ValueError):
        return None
    tries = [guess / 2] if guess > 4 * rounding else []
    for shift in (*tries, -2.0 * rounding, -8.0 * rounding):
        try:
            linalg.cholesky(S - shift * np.eye(k), lower=True)
        except (linalg.LinAlgError, ValueError):
            continue
        return shift - rounding
    return None


def _convex(S: Array) -> bool:
    """Return whether S is positive semidefinite, by elimination in fractions: no pivot is negative."""
    rows = [[Fraction(value) for value in row] for row in S.tolist()]
    while rows:
        first, *rest = rows
        pivot = first[0]
        if pivot < 0 or (pivot == 0 and any(first)):
            return False
        step = [value / pivot if pivot else Fraction(0) for value in first]
        rows = [[value - row[0] * other for value, other in zip(row[1:], step[1:], strict=True)] for row in rest]
    return True
