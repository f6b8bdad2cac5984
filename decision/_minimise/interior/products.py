"""Matrices of the kept units: a tensor, or a matrix that all contexts share and what each context takes of it.

A layer that is kept whole above one that is not has a matrix of its own in every context, W without the columns of the
units below that are left out. Products with vectors need none of it: the vector is spread over all the columns, and one
product with W serves all contexts, from the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class ChosenColumns:
    """Columns of a matrix, other ones in each context.

    Args:
        matrix: shape `(h, h_below)`.
        rows: its columns as rows and a row of zeros, shape `(h_below + 1, h)`.
        index: the columns of each context, shape `(contexts, r)`; h_below stands for a pad.
    """

    matrix: Tensor
    rows: Tensor
    index: Tensor

    def take(self, contexts: Contexts) -> ChosenColumns:
        """Return the matrices of some contexts."""
        return ChosenColumns(self.matrix, self.rows, self.index[contexts])

    @property
    def turned(self) -> Tensor:
        """The transposed matrices, shape `(contexts, r, h)`."""
        return self.rows.index_select(0, self.index.reshape(-1)).reshape(*self.index.shape, -1)

    def times(self, vectors: Tensor) -> Tensor:
        """Return the product with a vector per context."""
        wide = vectors.new_zeros(len(vectors), len(self.rows))
        return wide.scatter_(1, self.index, vectors)[:, :-1] @ self.matrix.T

    def adjoint(self, vectors: Tensor) -> Tensor:
        """Return the product of the transposed matrix with a vector per context."""
        return torch.nn.functional.pad(vectors @ self.matrix, (0, 1)).gather(1, self.index)


@final
@dataclass(frozen=True, eq=False)
class FoldedProduct:
    """U + W diag(on) V: the rows V of units below that are taken as on are folded into U.

    Args:
        U: shape `(h, n)`.
        W: shape `(h, h_below)`.
        V: shape `(h_below, n)`.
        on: 1 for units that are on, 0 for others, shape `(contexts, h_below)`.
        turned: the transposed matrices, shape `(contexts, n, h)`.
    """

    U: Tensor
    W: Tensor
    V: Tensor
    on: Tensor
    turned: Tensor

    @classmethod
    def of(cls, U: Tensor, W: Tensor, V: Tensor, on: Tensor) -> FoldedProduct:
        """Return the matrices of each context."""
        return cls(U, W, V, on, U.T + (on[:, None, :] * V.T) @ W.T)

    def take(self, contexts: Contexts) -> FoldedProduct:
        """Return the matrices of some contexts."""
        return FoldedProduct(self.U, self.W, self.V, self.on[contexts], self.turned[contexts])

    def without(self, on: Tensor) -> FoldedProduct:
        """Return the matrices with fewer units on; these are overwritten."""
        off = self.on > on
        rows = off.any(dim=1).nonzero()[:, 0]
        if len(rows):
            gone, units = off[rows].to(on).topk(int(off.sum(dim=1).max()), dim=1)
            self.turned[rows] -= (gone[..., None] * self.V[units]).mT @ self.W.T[units]
        return FoldedProduct(self.U, self.W, self.V, on, self.turned)

    def times(self, vectors: Tensor) -> Tensor:
        """Return the product with a vector per context."""
        return vectors @ self.U.T + (self.on * (vectors @ self.V.T)) @ self.W.T

    def adjoint(self, vectors: Tensor) -> Tensor:
        """Return the product of the transposed matrix with a vector per context."""
        return vectors @ self.U + (self.on * (vectors @ self.W)) @ self.V


Product = Tensor | ChosenColumns | FoldedProduct
Contexts = Tensor | slice


def times(matrix: Product, vectors: Tensor) -> Tensor:
    """Return the product with a vector per context of a matrix per context, or of one that all share."""
    if not isinstance(matrix, Tensor):
        return matrix.times(vectors)
    return vectors @ matrix.mT if matrix.ndim == 2 else (matrix @ vectors[..., None])[..., 0]


def adjoint(matrix: Product, vectors: Tensor) -> Tensor:
    """Return the product of the transposed matrix with a vector per context."""
    return times(matrix.mT, vectors) if isinstance(matrix, Tensor) else matrix.adjoint(vectors)


def dense(matrix: Product) -> Tensor:
    """Return the matrices as a tensor."""
    return matrix if isinstance(matrix, Tensor) else matrix.turned.mT


def turned(matrix: Product) -> Tensor:
    """Return the transposed matrices as a tensor."""
    return matrix.mT if isinstance(matrix, Tensor) else matrix.turned


def taken(matrix: Product, contexts: Contexts) -> Product:
    """Return the matrices of some contexts."""
    if isinstance(matrix, Tensor):
        return matrix if matrix.ndim == 2 else matrix[contexts]
    return matrix.take(contexts)
