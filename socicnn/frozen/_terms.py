"""Convex terms of x: weight_i h((M x + o)_i) over groups i of rows of M, h the squared length or the length.

Quadratic and norm branches, and the quadratics inside layers, are terms. What computes with a network asks a term for
its matrix, offset, weight and rows, and whether h is a root; so it need not know which kinds of terms there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray, Matrix, as_float64, as_matrix, lengths, read_only, transform


def owned_vector(values: Any) -> Array:
    """Return a read-only float64 copy: what is checked stays what it was."""
    return read_only(np.array(as_float64(values)))


def owned_matrix(values: Any) -> Matrix:
    """Return a read-only float64 copy of a dense or sparse matrix."""
    matrix = as_matrix(values)
    return read_only(matrix.copy() if isinstance(matrix, np.ndarray) else matrix)


def owned_offset(values: Any, matrix: Matrix) -> Array:
    """Return an offset of the matrix's rows, zeros if omitted."""
    return owned_vector(np.zeros(matrix.shape[:1]) if values is None else values)


def rescaled(matrix: Matrix, s: Array | float) -> Matrix:
    """Return M diag(1 / s)."""
    if np.ndim(s) and sparse.issparse(matrix):
        return sparse.csr_array(matrix @ sparse.diags_array(1 / np.asarray(s)))
    return matrix / s


def shifted(offset: Array, matrix: Matrix, s: Array | float, m: Array | None) -> Array:
    """Return o - M (m / s), o without m."""
    return offset if m is None else offset - transform(matrix, m / s)


class Part:
    """A piece of a network: float64 arrays of its own, of which vectors may have one row per context."""

    VECTORS: ClassVar[Mapping[str, int]] = {}  # name -> axes without contexts

    def take(self, index: int | slice | IntArray) -> Self:
        """Return the part with context `index` of each stacked vector."""
        values = {name: getattr(self, name) for name in self.VECTORS}
        chosen = {name: value[index] for name, value in values.items() if np.ndim(value) > self.VECTORS[name]}
        return self._with(**chosen)

    def _with(self, **changed: Any) -> Self:
        """Return the part with some fields changed; arrays that stay are shared, as nobody can write to them."""
        part = copy(self)
        for name, value in changed.items():
            owned = owned_matrix if sparse.issparse(value) else owned_vector
            object.__setattr__(part, name, value if isinstance(value, Part) else owned(value))
        return part


class Term(Part, ABC):
    """A convex term of x: weight_i h((M x + o)_i), one value for each group i of rows of M."""

    LETTERS: ClassVar[tuple[str, str, str]]  # fields that hold weight, matrix and offset
    ROOT: ClassVar[bool] = False  # whether h is ||.||, not ||.||^2

    @property
    def weight(self) -> Array:
        """Weights >= 0: one for each group, or one for all."""
        return np.asarray(getattr(self, self.LETTERS[0]))

    @property
    def matrix(self) -> Matrix:
        """M, shape `(rows in all, n)`."""
        matrix: Matrix = getattr(self, self.LETTERS[1])
        return matrix

    @property
    def offset(self) -> Array:
        """The offset o, shape `(rows in all,)` or `(contexts, rows in all)`."""
        return np.asarray(getattr(self, self.LETTERS[2]))

    @property
    @abstractmethod
    def rows(self) -> int:
        """Number of rows of each group."""

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.matrix.shape[0]) // self.rows

    def image(self, x: Array) -> Array:
        """Return M x + o at points x of shape `(count, n)`, group by group: `(count, groups, rows)`."""
        p = transform(self.matrix, x) + self.offset
        return p.reshape(len(p), self.groups, self.rows)

    def values(self, x: Array) -> Array:
        """Return h of each group at points x of shape `(count, n)`, without weight: `(count, groups)`."""
        p = self.image(x)
        return lengths(p, -1) if self.ROOT else (p**2).sum(axis=-1)

    def absolute(self) -> Self:
        """Return the term of |M| and |o|."""
        _, matrix, offset = self.LETTERS
        return self._with(**{matrix: abs(self.matrix), offset: np.abs(self.offset)})

    def composed(self, s: Array | float, m: Array | None = None, factor: Array | float = 1.0) -> Self:
        """Return factor times the term at (x - m) / s."""
        weight, matrix, offset = self.LETTERS
        M, o = rescaled(self.matrix, s), shifted(self.offset, self.matrix, s, m)
        return self._with(**{weight: factor * self.weight, matrix: M, offset: o})
