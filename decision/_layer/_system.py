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
class System:
    """The factorised system.

    Args:
        H: shape `(contexts, n, n)`, symmetric.
        A: shape `(contexts, rows, n)`; rows that are zero pad.
    """

    def __init__(self, H: Tensor, A: Tensor) -> None:
        n, rows = H.shape[-1], A.shape[1]
        self._price = _size(H.abs().amax(dim=(1, 2)))[:, None]  # H is divided by it, so that both blocks are near one
        self._length = _size(torch.linalg.vector_norm(A, dim=-1))
        H, A = H / self._price[..., None], A / self._length[..., None]
        matrix = H.new_zeros(len(H), n + rows, n + rows)
        matrix[:, :n, :n], matrix[:, n:, :n], matrix[:, :n, n:] = H, A, A.mT
        pads = (A == 0).all(dim=-1)
        matrix[:, n:, n:] = torch.diag_embed(pads.to(H))
        self._LU, self._pivots, _ = torch.linalg.lu_factor_ex(matrix)
        pivots = self._LU.diagonal(dim1=1, dim2=2).abs()
        sound = pivots.amin(dim=1) > SINGULAR * pivots.amax(dim=1) if n + rows else pivots.new_ones(len(H)).bool()
        self.singular = (~sound).nonzero()[:, 0]
        if len(self.singular):
            eye = torch.eye(n + rows, dtype=H.dtype, device=H.device)
            factors, order, _ = torch.linalg.lu_factor_ex(eye)
            self._LU[self.singular], self._pivots[self.singular] = factors, order
            self._inverse = least_norm(H[self.singular], A[self.singular])

    def solve(self, b1: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
        """Return dx `(contexts, n)` and dy `(contexts, rows)`, differentiable in both right-hand sides."""
        n = b1.shape[1]
        right = torch.cat([b1 / self._price, b2 / self._length], dim=1)
        found = torch.linalg.lu_solve(self._LU, self._pivots, right[..., None])[..., 0]
        if len(self.singular):
            mended = (self._inverse @ right[self.singular][..., None])[..., 0]
            found = found.index_copy(0, self.singular, mended)
        return found[:, :n], self._price * found[:, n:] / self._length


def least_norm(H: Tensor, A: Tensor) -> Tensor:
    """Return the inverse on what is determined, shape `(contexts, n + rows, n + rows)`.

    With Z a basis of the null space of A and K = Z (Z'HZ)^+ Z',

        dx = K b1 + (I - K H) A^+ b2,    dy = A^+'(b1 - H dx)
    """
    n, rows = H.shape[-1], A.shape[1]
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
    found = H.new_zeros(len(H), n + rows, n + rows)
    found[:, :n, :n], found[:, :n, n:], found[:, n:, :n] = K, moved, moved.mT
    found[:, n:, n:] = -pseudo.mT @ H @ moved
    return found


def _size(values: Tensor) -> Tensor:
    """Return positive sizes to divide by."""
    return torch.where(values > 0, values, 1.0)
