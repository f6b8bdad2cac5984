"""Multipliers corrected to the last digits: a solver leaves A'y = -slope open by its tolerance, which is a wide end.

Only rows that hold with equality have multipliers. If the slack s = (s_0, u) of a cone lies at its surface, its
multipliers are a multiple of (||u||, -u), so that the cone counts as one row. What is left is linear, B z = -slope. It
is corrected with exact residuals r: with weights w, the sizes of z, each step is the solution of

    min  sum_i z_i^2 / (2 w_i^2) + ||B z - r||^2 / (2 e),    that is   [1  W B'; B W  -e] [z / w; p] = [0; r],

whose sparse matrix is factorised once.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from socicnn._arrays import Array, BoolArray
from socicnn.conic._rows import Rows
from verify._optimum.exact import residual

STEPS = 10  # corrections with one factorisation
ROUNDS = 4  # times that multipliers below 0 are taken out
SOFT = 1e-14  # e, with rows and columns of size 1
FLOOR = 1e-6  # of the largest multiplier: the least weight
APEX = 1e-6  # a slack below this share of its terms is the apex of the cone
NOISE = 1e-9  # multipliers of a cone below this share of the largest are 0


def corrected(rows: Rows, slope: Array, v: Array, y: Array, tight: BoolArray) -> Array | None:
    """Return multipliers next to y with A'y = -slope as far as floats can; None if the correction fails.

    Args:
        rows: the constraints A v + s = b.
        slope: the slope of the cost, shape `(variables,)`.
        v: a point next to the optimum, shape `(variables,)`.
        y: multipliers, shape `(rows,)`.
        tight: the inequalities that hold with equality, shape `(rows,)`.
    """
    D, signed = _directions(rows, v, y, tight)
    squares = np.asarray(D.multiply(D).sum(axis=0)).reshape(-1)
    z = (D.T @ y) / squares
    transposed = sparse.csr_array(rows.G.T)
    for _ in range(ROUNDS):
        solution = _solved(transposed, D, slope, z)
        if solution is None:
            return None
        keep = ~signed | (solution >= 0)
        if keep.all():
            return np.asarray(D @ solution)
        D, signed, z = sparse.csc_array(D[:, keep]), signed[keep], solution[keep]
    return None


def _directions(rows: Rows, v: Array, y: Array, tight: BoolArray) -> tuple[sparse.csc_array, BoolArray]:
    """Return D with y = D z, of shape `(rows, unknowns)`, and which z are at least 0."""
    cones = rows.cones
    s = rows.h - rows.G @ v
    size = abs(rows.G) @ np.abs(v) + np.abs(rows.h)
    least = NOISE * float(np.abs(y).max(initial=0.0))
    single = [*range(cones.zero), *np.flatnonzero(tight).tolist()]
    signed = [i >= cones.zero for i in single]
    columns: list[tuple[list[int], list[float]]] = [([i], [1.0]) for i in single]
    for head, k in zip(cones.heads, cones.second_order, strict=True):
        part = list(range(head, head + k))
        if np.abs(y[part]).max() <= least:
            continue
        tail = s[head + 1 : head + k]
        length = float(np.linalg.norm(tail))
        if np.abs(s[part]).max() <= APEX * size[part].max():
            columns += [([i], [1.0]) for i in part]
            signed += [False] * k
        elif length > 0.0:
            columns.append((part, [1.0, *(-tail / length).tolist()]))
            signed.append(True)
    at = [i for where, _ in columns for i in where]
    entries = [value for _, values in columns for value in values]
    ends = np.cumsum([0, *(len(where) for where, _ in columns)])
    return sparse.csc_array((entries, at, ends), shape=(cones.rows, len(columns))), np.asarray(signed, dtype=bool)


def _solved(transposed: sparse.csr_array, D: sparse.csc_array, slope: Array, z: Array) -> Array | None:
    """Return the z next to the one given with A'D z = -slope."""
    n, p = transposed.shape[0], D.shape[1]
    scale = float(np.abs(z).max(initial=0.0))
    if not (scale > 0.0 and np.isfinite(scale)):
        return None
    weight = np.exp2(np.round(np.log2(np.maximum(np.abs(z), FLOOR * scale))))
    B = sparse.csr_array(transposed @ D @ sparse.diags_array(weight))
    largest = np.asarray(abs(B).max(axis=1).toarray()).reshape(-1)
    height = np.exp2(-np.round(np.log2(np.where(largest > 0, largest, 1.0))))
    B = sparse.diags_array(height) @ B
    K = sparse.block_array([[sparse.eye_array(p), B.T], [B, -SOFT * sparse.eye_array(n)]], format="csc")
    try:
        factor = linalg.splu(K, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.01)
    except RuntimeError:
        return None
    best, least = z, np.inf
    for _ in range(STEPS):
        left = height * residual(transposed, D @ z, -slope)[0]
        size = float(np.abs(left).max(initial=0.0))
        if not size < least:
            break
        best, least = z, size
        z = z + weight * factor.solve(np.concatenate([np.zeros(p), left]))[:p]
    return best if np.isfinite(best).all() else None
