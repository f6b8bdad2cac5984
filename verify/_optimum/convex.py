"""How convex a quadratic cost is, proven: a diagonal D with v'Pv >= v'Dv for every v."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from scipy import linalg, sparse
from scipy.sparse import csgraph

from socicnn._arrays import Array, IntArray
from socicnn._margins import TINY, relative_margin

LARGEST = 3000  # rows of a block of P that are coupled
FEW = 100  # coupled variables that are one block
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
    alone = np.ones(len(D), dtype=bool)
    if P.nnz and abs(P - P.T).max() != 0.0:
        return None
    for block, S in coupled(P):
        if len(block) > LARGEST:
            return None
        least = _least(S)
        if least is None:
            return None
        if least < 0.0 and len(S) <= EXACT and _convex(S):
            least = 0.0
        D[block] = least
        alone[block] = False
    return D if (D[alone] >= 0.0).all() else None


def coupled(P: sparse.csr_array) -> Iterator[tuple[IntArray, Array]]:
    """Yield variables with entries beside the diagonal, and their dense block; none if it is too large.

    Few variables are one block, of many those that are coupled.
    """
    coo = sparse.coo_array(P)
    beside = (coo.row != coo.col) & (coo.data != 0.0)
    every = np.unique(coo.row[beside]).astype(np.int64)
    if not len(every):
        return
    label = np.zeros(len(every), dtype=np.int64)
    if len(every) > FEW:
        label = csgraph.connected_components(P[every][:, every], directed=False)[1]
    order = every[np.argsort(label, kind="stable")]
    sorted_P = sparse.csr_array(P[order][:, order])
    ends = np.cumsum(np.bincount(label)).tolist()
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        size = stop - start
        if size > LARGEST:
            yield order[start:stop], np.zeros((0, 0))
            continue
        part = slice(sorted_P.indptr[start], sorted_P.indptr[stop])
        block = np.zeros((size, size))
        at = np.repeat(np.arange(size), np.diff(sorted_P.indptr[start : stop + 1]))
        np.add.at(block, (at, sorted_P.indices[part] - start), sorted_P.data[part])
        yield order[start:stop], block


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
