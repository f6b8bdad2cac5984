"""Steps of least norm for sparse equations that may depend on each other: nothing is proven here.

With weights w, the sizes that steps may have, B d = r is solved softly:

    min  sum_i d_i^2 / (2 w_i^2) + ||B d - r||^2 / (2 e),    that is   [1  W B'; B W  -e] [d / w; p] = [0; r],

whose sparse matrix is factorised once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from socicnn._arrays import Array

SOFT = 1e-14  # e, with rows and columns of size 1


@dataclass(frozen=True, eq=False)
class SoftEquations:
    """Equations B d = r, factorised.

    Args:
        weight: of the unknowns, powers of two, shape `(unknowns,)`.
        height: that scale the equations, powers of two, shape `(equations,)`.
        factor: the factors.
    """

    weight: Array
    height: Array
    factor: linalg.SuperLU

    @classmethod
    def of(cls, B: sparse.csr_array, weight: Array) -> Self | None:
        """Return the factors; None if there are none.

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
            factor = linalg.splu(K, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.01)
        except RuntimeError:
            return None
        return cls(weight, height, factor)

    def step(self, r: Array) -> Array:
        """Return d with B d near r."""
        right = np.concatenate([np.zeros(len(self.weight)), self.height * r])
        step: Array = self.weight * self.factor.solve(right)[: len(self.weight)]
        return step
