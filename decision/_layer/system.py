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

from decision._layer.least_norm import SINGULAR, LeastNorm
from decision._layer.numbered import gathered, numbers_of, positive, scattered, times


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
        self._price = positive(inner.abs().flatten(1).amax(dim=1) if inner.numel() else H.new_ones(len(H)))[:, None]
        within = torch.linalg.vector_norm(across, dim=-1)
        self._length = positive(within)
        # rows of fixed coordinates alone, and coordinates that are fixed twice
        dependent = ((within == 0) & (self._others < A.shape[1])).any(dim=1) | (counts > 1).any(dim=1)
        self.singular = torch.arange(len(H), device=H.device)
        if not bool(dependent.all()):
            self._LU, self._pivots = self._factors(inner / self._price[..., None], across / self._length[..., None])
            pivots = self._LU.diagonal(dim1=1, dim2=2).abs()
            sound = pivots.amin(dim=1) > SINGULAR * pivots.amax(dim=1) if pivots.shape[1] else counts[:, 0] >= 0
            self.singular = (~sound | dependent).nonzero()[:, 0]
        if len(self.singular):
            self._least = LeastNorm(H[self.singular], A[self.singular], columns[self.singular])

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
        if len(self.singular) == len(b1) > 0:
            return self._least.solve(b1, b2)
        n, rows = b1.shape[1], b2.shape[1]
        single = self._columns < n
        entries = self._A.gather(2, self._columns.clamp(max=n - 1)[..., None])[..., 0]
        entries = torch.where(single, entries, 1.0)
        dx = scattered(torch.where(single, b2 / entries, 0.0), self._columns, n)
        right = torch.cat(
            [
                gathered(b1 - times(self._H, dx), self._free) / self._price,
                gathered(b2 - times(self._A, dx), self._others) / self._length,
            ],
            dim=1,
        )
        solution = torch.linalg.lu_solve(self._LU, self._pivots, right[..., None])[..., 0]
        free = self._free.shape[1]
        dx = dx + scattered(solution[:, :free], self._free, n)
        dy = scattered(self._price * solution[:, free:] / self._length, self._others, rows)
        rest = b1 - times(self._H, dx) - times(self._A.mT, dy)
        dy = dy + torch.where(single, gathered(rest, self._columns) / entries, 0.0)
        if len(self.singular):
            some = self.singular
            dx[some], dy[some] = self._least.solve(b1[some], b2[some])
        return dx, dy
