"""What a tensor of a graph is, as a function of x: affine in x and in atoms (ReLU units, squares, norms, products).

value = constant + X x + sum_atoms M_atom atom(x)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray


@dataclass(frozen=True, eq=False)
class Atoms:
    """A group of convex functions of x that one node made.

    Args:
        kind: `relu`: max(0, source); `square`: source^2, source affine in x; `norm`: 2-norms of consecutive rows of
            source, affine in x; `product`: source_i source_(size + i), source affine in x, until their sum is read.
        size: number of functions.
        source: what they are functions of.
        node: the node that made them, in words.
        lengths: rows of each norm.
        smoothing: tau of units tau log(1 + exp(source / tau)), which are softplus; 0 of ReLU units.
    """

    kind: Literal["relu", "square", "norm", "product"]
    size: int
    source: Value
    node: str
    lengths: IntArray | None = None
    smoothing: float = 0.0

    @property
    def level(self) -> int:
        """Layer of ReLU units, counted from 1; 0 for functions of x alone."""
        return 1 + self.source.level if self.kind == "relu" else 0

    def value(self, shape: tuple[int, ...], origin: str = "") -> Value:
        """Return the functions alone, one per entry of a tensor of this shape."""
        none, eye = sparse.csr_array((self.size, self.source.x.shape[1])), sparse.eye_array(self.size, format="csr")
        return Value(shape, np.zeros(self.size), none, {self: eye}, origin, self.source.kind)


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor, flattened in row-major order.

    Args:
        shape: its shape, a batch of one in front where the graph has a batch.
        constant: shape `(size,)`.
        x: the matrix X, shape `(size, n)`.
        atoms: the matrix M of each group of atoms, shape `(size, atoms)`.
        origin: the last node that multiplied by weights, in words, for messages.
        kind: the floating type that the original computes it in.
    """

    shape: tuple[int, ...]
    constant: Array
    x: sparse.csr_array
    atoms: dict[Atoms, sparse.csr_array] = field(default_factory=dict)
    origin: str = ""
    kind: str = "float64"

    @property
    def size(self) -> int:
        """Number of entries."""
        return len(self.constant)

    @cached_property
    def level(self) -> int:
        """Layer of the last ReLU units that it depends on, 0 without any."""
        return max((atoms.level for atoms in self.atoms), default=0)

    @property
    def index(self) -> IntArray:
        """The positions of its entries, in its shape; moving them about moves the entries (`picked`)."""
        return np.arange(self.size).reshape(self.shape)

    def mapped(self, matrix: Any, shape: tuple[int, ...], origin: str | None = None) -> Value:
        """Return `matrix` times the flattened tensor, in another shape."""
        matrix = sparse.csr_array(matrix, dtype=np.float64)
        atoms = {group: _clean(matrix @ M) for group, M in self.atoms.items()}
        return replace(
            self,
            shape=shape,
            constant=matrix @ self.constant,
            x=_clean(matrix @ self.x),
            atoms={group: M for group, M in atoms.items() if M.nnz},
            origin=self.origin if origin is None else origin,
        )

    def picked(self, index: IntArray) -> Value:
        """Return the entries at these positions, in the shape of `index`; -1 stands for a zero."""
        flat = index.reshape(-1)
        rows = np.flatnonzero(flat >= 0)
        matrix = sparse.csr_array((np.ones(len(rows)), (rows, flat[rows])), shape=(len(flat), self.size))
        return self.mapped(matrix, index.shape)

    def broadcast(self, shape: tuple[int, ...]) -> Value:
        """Return the tensor in a shape that it is broadcast to."""
        return self if shape == self.shape else self.picked(np.broadcast_to(self.index, shape))

    def times(self, factor: Array) -> Value:
        """Return the entrywise product with a constant, broadcast."""
        shape = np.broadcast_shapes(self.shape, factor.shape)
        return self.broadcast(shape).mapped(sparse.diags_array(np.broadcast_to(factor, shape).reshape(-1)), shape)

    def plus(self, other: Value | Array) -> Value:
        """Return the sum, broadcast."""
        shape = np.broadcast_shapes(self.shape, other.shape)
        own = self.broadcast(shape)
        if not isinstance(other, Value):
            return replace(own, constant=own.constant + np.broadcast_to(other, shape).reshape(-1))
        theirs = other.broadcast(shape)
        atoms = dict(own.atoms)
        for group, M in theirs.atoms.items():
            atoms[group] = _clean(atoms[group] + M) if group in atoms else M
        return replace(
            own,
            constant=own.constant + theirs.constant,
            x=_clean(own.x + theirs.x),
            atoms={group: M for group, M in atoms.items() if M.nnz},
            origin=" and ".join(dict.fromkeys(part.origin for part in (own, theirs) if part.origin)),
        )

    def made(
        self,
        kind: Literal["relu", "square", "norm"],
        node: str,
        lengths: IntArray | None = None,
        smoothing: float = 0.0,
    ) -> Value:
        """Return the atoms of this kind whose source is this tensor, one per entry (a norm: one per length)."""
        size = self.size if lengths is None else len(lengths)
        return Atoms(kind, size, self, node, lengths, smoothing).value(self.shape if lengths is None else (size,))

    def reshaped(self, shape: tuple[int, ...]) -> Value:
        """Return the same entries in another shape."""
        return replace(self, shape=shape)


def negative(value: Value, kinds: tuple[str, ...] = ("relu", "square", "norm")) -> tuple[int, float]:
    """Return how many coefficients of atoms are negative, and the least."""
    data = [M.data for group, M in value.atoms.items() if group.kind in kinds]
    joined = np.concatenate(data) if data else np.zeros(0)
    return int(np.count_nonzero(joined < 0)), float(joined.min(initial=0.0))


def _clean(matrix: Any) -> sparse.csr_array:
    result = sparse.csr_array(matrix)
    result.eliminate_zeros()
    return result
