"""The linear system of a decision on its face, for a batch of contexts; where it is singular, its least-norm solution.

    [H  A'] [dx]   [b1]
    [A  0 ] [dy] = [b2]

H is the Hessian of the Lagrangian, A holds the gradients of what is held at zero. Where rows of A depend on each other,
or H is flat along the face, dx is the least-norm least-squares solution: nothing moves along what is not determined.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

SINGULAR = 1e-11  # of the scaled matrices: what is below counts as zero


@final
class FaceSystem:
    """The factorised system. Rows of one entry fix a coordinate, which leaves a smaller system of the others.

    Args:
        H: shape `(contexts, n, n)`, symmetric.
        A: shape `(contexts, rows, n)`; rows that are zero pad.
        columns: coordinate that each row fixes if it has a single entry, else n, shape `(contexts, rows)`.
    """

    def __init__(self, H: Tensor, A: Tensor, columns: Tensor) -> None:
        n = H.shape[-1]
        self._H, self._A, self._columns = H, A, columns
        counts = torch.zeros(len(H), n + 1, dtype=torch.int64, device=H.device)
        counts = counts.scatter_add(1, columns, torch.ones_like(columns))[:, :n]
        self._free = numbers_of(counts == 0)
        self._others = numbers_of((columns == n) & (A != 0).any(dim=-1))
        inner = gathered(gathered(H, self._free).mT, self._free)
        across = gathered(gathered(A, self._others).mT, self._free).mT
        self._price = _size(inner.abs().flatten(1).amax(dim=1) if inner.numel() else H.new_ones(len(H)))[:, None]
        self._length = _size(torch.linalg.vector_norm(across, dim=-1))
        self._LU, self._pivots = self._factors(inner / self._price[..., None], across / self._length[..., None])
        pivots = self._LU.diagonal(dim1=1, dim2=2).abs()
        sound = pivots.amin(dim=1) > SINGULAR * pivots.amax(dim=1) if pivots.shape[1] else counts[:, 0] >= 0
        self.singular = (~sound | (counts > 1).any(dim=1)).nonzero()[:, 0]
        if len(self.singular):
            self._inverse = least_norm(H[self.singular], A[self.singular])

    def _factors(self, inner: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factors of the smaller system, with ones on the diagonal of what pads it."""
        free, rows = inner.shape[1], across.shape[1]
        matrix = inner.new_zeros(len(inner), free + rows, free + rows)
        matrix[:, :free, :free], matrix[:, free:, :free], matrix[:, :free, free:] = inner, across, across.mT
        pads = torch.cat([self._free == self._H.shape[-1], self._others == self._A.shape[1]], dim=1)
        matrix.diagonal(dim1=1, dim2=2).add_(pads.to(matrix))
        factors, pivots, _ = torch.linalg.lu_factor_ex(matrix)
        return factors, pivots

    def solve(self, b1: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
        """Return dx `(contexts, n)` and dy `(contexts, rows)`."""
        n, rows = b1.shape[1], b2.shape[1]
        single = self._columns < n
        entries = self._A.gather(2, self._columns.clamp(max=n - 1)[..., None])[..., 0]
        entries = torch.where(single, entries, 1.0)
        dx = scattered(torch.where(single, b2 / entries, 0.0), self._columns, n)
        right = torch.cat(
            [
                gathered(b1 - _times(self._H, dx), self._free) / self._price,
                gathered(b2 - _times(self._A, dx), self._others) / self._length,
            ],
            dim=1,
        )
        solution = torch.linalg.lu_solve(self._LU, self._pivots, right[..., None])[..., 0]
        free = self._free.shape[1]
        dx = dx + scattered(solution[:, :free], self._free, n)
        dy = scattered(self._price * solution[:, free:] / self._length, self._others, rows)
        rest = b1 - _times(self._H, dx) - _times(self._A.mT, dy)
        dy = dy + torch.where(single, gathered(rest, self._columns) / entries, 0.0)
        if len(self.singular):
            some = self.singular
            mended = _times(self._inverse, torch.cat([b1[some], b2[some]], dim=1))
            dx[some], dy[some] = mended[:, :n], mended[:, n:]
        return dx, dy


def least_norm(H: Tensor, A: Tensor) -> Tensor:
    """Return the inverse on what is determined, shape `(contexts, n + rows, n + rows)`.

    With Z a basis of the null space of A and K = Z (Z'HZ)^+ Z',

        dx = K b1 + (I - K H) A^+ b2,    dy = A^+'(b1 - H dx)
    """
    n, rows = H.shape[-1], A.shape[1]
    price = _size(H.abs().amax(dim=(1, 2)))[:, None]
    length = _size(torch.linalg.vector_norm(A, dim=-1))
    H, A = H / price[..., None], A / length[..., None]
    _, size, right = torch.linalg.svd(A, full_matrices=True)
    rank = torch.zeros(len(H), n, dtype=torch.bool, device=H.device)
    rank[:, : size.shape[1]] = size > SINGULAR * size.amax(dim=1, keepdim=True).clamp(min=1e-300) if rows else False
    Z = torch.where(rank[:, :, None], 0.0, right).mT  # columns outside the null space are zero
    along = Z.mT @ H @ Z
    values, vectors = torch.linalg.eigh(0.5 * (along + along.mT))
    curved = values > SINGULAR
    inverse = torch.where(curved, 1.0 / torch.where(curved, values, 1.0), 0.0)
    spread = Z @ vectors
    K = (spread * inverse[:, None, :]) @ spread.mT
    pseudo = torch.linalg.pinv(A, rtol=SINGULAR)
    eye = torch.eye(n, dtype=H.dtype, device=H.device)
    moved = (eye - K @ H) @ pseudo
    full = H.new_zeros(len(H), n + rows, n + rows)
    full[:, :n, :n], full[:, :n, n:], full[:, n:, :n] = K, moved, moved.mT
    full[:, n:, n:] = -pseudo.mT @ H @ moved
    left = torch.cat([torch.ones_like(H[:, 0]), price / length], dim=1)
    right = torch.cat([torch.ones_like(H[:, 0]) / price, 1.0 / length], dim=1)
    return left[:, :, None] * full * right[:, None, :]


def _size(values: Tensor) -> Tensor:
    """Return positive sizes to divide by."""
    return torch.where(values > 0, values, 1.0)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]


def gathered(values: Tensor, numbers: Tensor) -> Tensor:
    """Return the numbered entries along the second axis; zero for padding, the number after the last."""
    padded = torch.cat([values, values.new_zeros(len(values), 1, *values.shape[2:])], dim=1)
    index = numbers.reshape(*numbers.shape, *(1,) * (values.ndim - 2)).expand(*numbers.shape, *values.shape[2:])
    return padded.gather(1, index)


def scattered(values: Tensor, numbers: Tensor, count: int) -> Tensor:
    """Return the sums of values at their numbered places, zero elsewhere, shape `(contexts, count)`."""
    return values.new_zeros(len(values), count + 1).scatter_add(1, numbers, values)[:, :-1]


def numbers_of(held: Tensor) -> Tensor:
    """Return the numbers of what is true, in order, filled up with the count of all, shape `(contexts, K)`."""
    count = held.shape[1]
    most = int(held.sum(dim=1).max()) if held.numel() else 0
    places = torch.where(held, torch.arange(count, device=held.device), count)
    return places.sort(dim=1).values[:, :most]
