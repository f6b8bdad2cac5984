"""How independent the rows of a sparse matrix S are, proven: a lower bound of the eigenvalues of S S'.

S S' - shift I is factorised in floats as C C'. Whatever C is, C C' has no eigenvalue below 0, so that

    least eigenvalue of S S'  >=  shift - ||S S' - shift I - C C'||_inf,

and the norm is computed from sparse products with bounds of their rounding errors. Source: Rump, BIT 46 (2006). The
same factors solve S S' p = r approximately.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from socicnn._arrays import Array, IntArray
from socicnn._margins import EPS, TINY, relative_margin

FIRST = 16  # shifts, as multiples of the rounding errors of S S'
TRIES = 3
SMALL = 1e-9  # pivots below this share of their row's size mean rows that depend on others


@dataclass(frozen=True, eq=False)
class Independence:
    """S S' of a matrix S of shape `(rows, columns)`.

    Args:
        least: a lower bound of its eigenvalues, above 0.
        solve: p near the solution of S S' p = r.
    """

    least: float
    solve: Callable[[Array], Array]


def gram(S: sparse.csr_array) -> Independence | None:
    """Return the bound and the solver; None if the rows are not proven independent."""
    absolute = abs(S)
    N = sparse.csc_array(S @ S.T)
    sizes = absolute @ (absolute.T @ np.ones(S.shape[0]))
    own = 1.01 * EPS * (np.diff(S.indptr) + 4.0) * sizes
    shift = FIRST * float(own.max())
    for _ in range(TRIES):
        factor = _factor(N, shift)
        if factor is None:
            return None
        C, order, lu = factor
        Z = N[order][:, order] - shift * sparse.eye_array(len(order)) - C @ C.T
        D = abs(C)
        margin = 1.01 * EPS * (np.diff(C.indptr) + 4.0)  # of sums of no more products than the row has entries
        error = margin * (D @ (D.T @ np.ones(len(order)))) + own[order] + TINY
        rounding = 4 * EPS * (sizes[order] + shift)
        missed = float((abs(Z) @ np.ones(len(order)) + error + rounding).max())
        missed *= 1.0 + relative_margin(2 * sum(S.shape))  # of the sums of absolute values
        least = (shift - missed * (1.0 + 8 * EPS)) * (1.0 - 4 * EPS)
        if least > 0.0:
            return Independence(least, lu.solve)
        shift = 4.0 * missed
    return None


def weak_rows(S: sparse.csr_array) -> IntArray:
    """Return rows that seem to depend on the others, by the pivots of S S' with a little of I; nothing is proven."""
    N = sparse.csc_array(S @ S.T)
    sizes = N.diagonal()
    factor = _factor(N, -1e-13 * float(sizes.max(initial=0.0)))
    if factor is None:
        return np.zeros(0, dtype=np.int64)
    C, order, _ = factor
    return np.sort(order[C.diagonal() ** 2 <= SMALL * sizes[order]]).astype(np.int64)


def _factor(N: sparse.csc_array, shift: float) -> tuple[sparse.csr_array, IntArray, linalg.SuperLU] | None:
    """Return a lower triangular C with C C' near the reordered N - shift I, and the order; None if it has none."""
    options = {"SymmetricMode": True}
    shifted = sparse.csc_array(N - shift * sparse.eye_array(N.shape[0]))
    try:
        lu = linalg.splu(shifted, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    except RuntimeError:  # a pivot is 0
        return None
    pivots = lu.U.diagonal()
    if not (np.array_equal(lu.perm_r, lu.perm_c) and (pivots > 0.0).all() and np.isfinite(pivots).all()):
        return None
    C = sparse.csr_array(lu.L @ sparse.diags_array(np.sqrt(pivots)))
    return C, np.argsort(lu.perm_c), lu
