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


def owned_matrix(values: Any, axes: int = -1) -> Matrix:
    """Return a read-only float64 copy; a dense array of this many axes gains a leading one, of contexts."""
    if not sparse.issparse(values):
        array = as_float64(values)
        return read_only(np.array(array[None] if array.ndim == axes else array))
    matrix = sparse.csr_array(values, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    return read_only(matrix)


class Part:
    """A piece of a network: arrays of its own that nobody can write to; what is checked stays what it was."""

    VECTORS: ClassVar[Mapping[str, int]] = {}  # fields with an axis of contexts -> axes without it

    def take(self, rows: slice | IntArray) -> Self:
        """Return the part with some contexts of what varies with them."""
        vectors = {name: getattr(self, name) for name in self.VECTORS}
        return self.changed(**{name: vector[rows] for name, vector in vectors.items() if len(vector) != 1})

    def changed(self, **fields: Any) -> Self:
        """Return the part with some fields changed; arrays that stay are shared, as nobody can write to them."""
        part = copy(self)
        part._set(**fields)
        return part

    def _set(self, **fields: Any) -> None:
        """Set fields, arrays as copies."""
        for name, value in fields.items():
            own = name == "group" or isinstance(value, Part)
            object.__setattr__(self, name, value if own else owned_matrix(value, self.VECTORS.get(name, -1)))


class Term(Part, ABC):
    """A convex term of x: weight_i h((M x + o)_i), one value for each group i of rows of M."""

    LETTERS: ClassVar[tuple[str, str, str]]  # fields that hold weight, matrix and offset
    KIND: ClassVar[str]  # as fingerprints name it
    ROOT: ClassVar[bool] = False  # whether h is ||.||, not ||.||^2

    def _fill(self, weight: Any, matrix: Any, offset: Any) -> None:
        """Set the three fields; an offset that was left out is zero."""
        names = self.LETTERS
        self._set(**{names[0]: weight, names[1]: matrix})
        self._set(**{names[2]: np.zeros(self.matrix.shape[:1]) if offset is None else offset})

    @property
    def weight(self) -> Array:
        """Weights >= 0: of a branch one per context, shape `(1 or contexts,)`; inside a layer one per unit, `(h,)`."""
        return np.asarray(getattr(self, self.LETTERS[0]))

    @property
    def matrix(self) -> Matrix:
        """M, shape `(rows in all, n)`."""
        matrix: Matrix = getattr(self, self.LETTERS[1])
        return matrix

    @property
    def offset(self) -> Array:
        """The offset o, shape `(1 or contexts, rows in all)`."""
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
