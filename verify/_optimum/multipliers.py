"""Multipliers corrected to the last digits: a solver leaves A'y = -slope open by its tolerance, which is a wide end.

Only rows that hold with equality have multipliers. If the slack s = (s_0, u) of a cone lies at its surface, its
multipliers are a multiple of (||u||, -u), so that the cone counts as one row. What is left is linear, B z = -slope. It
is corrected with exact residuals by steps of least norm (`SoftEquations`), with the sizes of z as weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from socicnn._arrays import Array, BoolArray
from socicnn.conic._rows import Rows
from verify._optimum import bends
from verify._optimum.exact import residual
from verify._optimum.lengths import most_of, norms, spread

SOFT = 1e-14  # e, with rows and columns of size 1
STEPS = 10  # corrections with one factorisation
REFINEMENTS = 3  # of a solution, at most
ROUNDS = 4  # times that multipliers below 0 are taken out
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
    active = most_of(rows.cones, np.abs(y)) > NOISE * float(np.abs(y).max(initial=0.0))
    D, signed, _ = normals(rows, v, tight, active)
    if rows.cones.exponential:
        part = bends.triples(rows.cones, y)
        bent = np.abs(part).max(axis=1) > NOISE * float(np.abs(y).max(initial=0.0))
        own = bends.slope(bends.triples(rows.cones, rows.h - rows.G @ v))
        own /= np.abs(own).max(axis=1)[:, None]
        D = sparse.csc_array(sparse.hstack([D, bends.rows_of(rows.cones, bent, own).T], format="csc"))
        signed = np.append(signed, np.ones(int(bent.sum()), dtype=bool))
    squares = np.asarray(D.multiply(D).sum(axis=0)).reshape(-1)
    z = (D.T @ y) / squares
    transposed = rows.transposed
    for _ in range(ROUNDS):
        solution = _solved(transposed, D, slope, z)
        if solution is None:
            return None
        keep = ~signed | (solution >= 0)
        if keep.all():
            return np.asarray(D @ solution)
        D, signed, z = sparse.csc_array(D[:, keep]), signed[keep], solution[keep]
    return None


def normals(rows: Rows, v: Array, tight: BoolArray, active: BoolArray) -> tuple[sparse.csc_array, BoolArray, BoolArray]:
    """Return D, whose columns are normals of the set at v, which of them have a sign, and the cones of the last ones.

    The equalities and tight inequalities come first, then all rows of cones at their apex, then (1, -u/||u||) of the
    other active cones; D has shape `(rows, normals)`.

    Args:
        rows: the set.
        v: a point, shape `(variables,)`.
        tight: the inequalities that hold with equality, shape `(rows,)`.
        active: the cones that count, shape `(cones,)`.
    """
    cones, cut = rows.cones, rows.cones.zero + rows.cones.nonnegative
    s = rows.h - rows.G @ v
    size = rows.absolute @ np.abs(v) + np.abs(rows.h)
    apex = active & (most_of(cones, np.abs(s)) <= APEX * most_of(cones, size))
    length = norms(cones, s)
    edge = active & ~apex & (length > 0.0)
    planes, corners = np.flatnonzero(tight), cut + np.flatnonzero(spread(cones, apex))
    single = np.concatenate([np.arange(cones.zero), planes, corners])
    kinds = ((False, cones.zero), (True, len(planes)), (False, len(corners)), (True, int(edge.sum())))
    signed = np.repeat([kind for kind, _ in kinds], [count for _, count in kinds])
    at = cut + np.flatnonzero(spread(cones, edge))
    direction = -s[cut : cones.exponential_start] / spread(cones, np.where(length > 0.0, length, 1.0))
    direction[cones.heads - cut] = 1.0
    column = spread(cones, np.cumsum(edge) - 1)[at - cut] + len(single)
    entries = np.concatenate([np.ones(len(single)), direction[at - cut]])
    place = (np.concatenate([single, at]), np.concatenate([np.arange(len(single)), column]))
    return sparse.csc_array((entries, place), shape=(cones.rows, len(signed))), signed, edge


def _solved(transposed: sparse.csr_array, D: sparse.csc_array, slope: Array, z: Array) -> Array | None:
    """Return the z next to the one given with A'D z = -slope."""
    scale = float(np.abs(z).max(initial=0.0))
    if not (scale > 0.0 and np.isfinite(scale)):
        return None
    soft = SoftEquations.of(sparse.csr_array(transposed @ D), np.maximum(np.abs(z), FLOOR * scale))
    if soft is None:
        return None
    best, least = z, np.inf
    for _ in range(STEPS):
        left = residual(transposed, D @ z, -slope)[0]
        size = float(np.abs(soft.height * left).max(initial=0.0))
        if not size < least:
            break
        best, least = z, size
        z = z + soft.step(left)
    return best if np.isfinite(best).all() else None


@dataclass(frozen=True, eq=False)
class SoftEquations:
    """Equations B d = r that may depend on each other, factorised: nothing is proven here.

    With weights w, the sizes that steps may have, they are solved softly:

        min  sum_i d_i^2 / (2 w_i^2) + ||B d - r||^2 / (2 e),  that is  [1  W B'; B W  -e] [d / w; p] = [0; r].

    The matrix is quasi-definite: it has factors with pivots from its diagonal, in any order (Vanderbei, 1995). They
    keep the sparsity that the order aims at; what they lose to rounding comes back by refinement.

    Args:
        weight: of the unknowns, powers of two, shape `(unknowns,)`.
        height: that scale the equations, powers of two, shape `(equations,)`.
        matrix: of the system.
        factor: its factors.
    """

    weight: Array
    height: Array
    matrix: sparse.csc_array
    factor: linalg.SuperLU

    @classmethod
    def of(cls, B: sparse.csr_array, weight: Array) -> Self | None:
        """Return the factors, or None if SuperLU finds the matrix singular.

        Args:
            B: matrix of shape `(equations, unknowns)`.
            weight: sizes of steps, positive, shape `(unknowns,)`.
        """
        n, p = B.shape
        weight = np.exp2(np.round(np.log2(weight)))
        row, column = np.repeat(np.arange(n), np.diff(B.indptr)), B.indices
        entries, largest = B.data * weight[column], np.zeros(n)
        np.maximum.at(largest, row, np.abs(entries))
        height = np.exp2(-np.round(np.log2(np.where(largest > 0, largest, 1.0))))
        entries *= height[row]
        corner, row = np.arange(p + n), row + p
        place = (np.concatenate([corner, row, column]), np.concatenate([corner, column, row]))
        diagonal = np.repeat([1.0, -SOFT], [p, n])
        K = sparse.csc_array((np.concatenate([diagonal, entries, entries]), place), shape=(p + n, p + n))
        try:
            options = {"SymmetricMode": True}
            factor = linalg.splu(K, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
        except RuntimeError:
            return None
        return cls(weight, height, K, factor)

    def step(self, r: Array) -> Array:
        """Return d with B d near r."""
        right = np.concatenate([np.zeros(len(self.weight)), self.height * r])
        solution, left, least = np.zeros(len(right)), right, np.inf
        for _ in range(1 + REFINEMENTS):
            better = solution + self.factor.solve(left)
            left = right - self.matrix @ better
            size = float(np.abs(left).max(initial=0.0))
            if not size < least:
                break
            solution, least = better, size
        step: Array = self.weight * solution[: len(self.weight)]
        return step
