"""Convex terms of x: weight_i h((M x + o)_i) over groups i of rows of M, h the squared length or the length.

Quadratics and norms are terms, as branches and inside layers. What computes with a network asks a term for its matrix,
offset, weight and rows, and whether h is a root; so it need not know which kinds of terms there are.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray, Matrix, as_float64, lengths, read_only, transform
from socicnn.errors import ModelError
from socicnn.frozen._checks import ArrayCheck


def owned_vector(values: Any) -> Array:
    """Return a read-only float64 copy: what is checked stays what it was."""
    return read_only(np.array(as_float64(values)))


def owned_matrix(values: Any) -> Matrix:
    """Return a read-only float64 copy of a dense or sparse matrix."""
    if not sparse.issparse(values):
        return read_only(as_float64(values).copy())
    matrix = sparse.csr_array(values, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    return read_only(matrix)


class Part:
    """A piece of a network: float64 arrays of its own, of which vectors may have one row per context."""

    VECTORS: ClassVar[Mapping[str, int]] = {}  # name -> axes without contexts

    def take(self, index: int | slice | IntArray) -> Self:
        """Return the part with context `index` of each stacked vector."""
        values = {name: getattr(self, name) for name in self.VECTORS}
        return self.changed(**{name: v[index] for name, v in values.items() if np.ndim(v) > self.VECTORS[name]})

    def changed(self, **fields: Any) -> Self:
        """Return the part with some fields changed; arrays that stay are shared, as nobody can write to them."""
        part = copy(self)
        for name, value in fields.items():
            own = owned_matrix if sparse.issparse(value) else owned_vector
            part._set(**{name: value if isinstance(value, Part) else own(value)})
        return part

    def _set(self, **fields: Any) -> None:
        """Set fields of a part that is being made."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)


class Term(Part, ABC):
    """A convex term of x: weight_i h((M x + o)_i), one value for each group i of rows of M."""

    LETTERS: ClassVar[tuple[str, str, str]]  # fields that hold weight, matrix and offset
    KIND: ClassVar[str]  # as fingerprints name it
    ROOT: ClassVar[bool] = False  # whether h is ||.||, not ||.||^2

    def _fill(self, weight: Any, matrix: Any, offset: Any) -> None:
        """Set the three fields; an offset that was left out is zero."""
        M = owned_matrix(matrix)
        o = owned_vector(np.zeros(M.shape[:1]) if offset is None else offset)
        self._set(**dict(zip(self.LETTERS, (owned_vector(weight), M, o), strict=True)))

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
    def rows(self) -> int:
        """Number of rows of each group: all, if they are not split."""
        return int(vars(self)["group"] if "group" in vars(self) else self.matrix.shape[0])

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

    def check(self, check: ArrayCheck, what: str) -> None:
        """Check the term, a branch with the name `what`.

        Raises:
            ModelError: a negative weight, a non-finite entry, or shapes that do not agree.
        """
        weight, matrix, offset = self.LETTERS
        check.matrix(f"matrix {matrix} of {what}", self.matrix, None, check.n)
        rows = self.matrix.shape[0]
        if self.rows < 1 or rows % self.rows:
            raise ModelError(f"{what} has {rows} rows, which groups of {self.rows} do not divide")
        check.number(f"weight {weight} of {what}", self.weight, sign=True)
        check.vector(f"offset {offset} of {what}", self.offset, rows)
