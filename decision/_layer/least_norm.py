"""The least-norm solution of singular face systems, by the singular values of what no single row fixes.

With rows and H scaled, K = Z (Z'HZ)^+ Z' and Z a basis of the null space of A, it is

    dx = x0 + K (b1 - H x0),    x0 = A^+ b2,    dy = A^+'(b1 - H dx).

Rows of one entry, +-1 when scaled, fix the coordinates C; the others are free, F. Only B_F, the free columns of the
other rows B, is decomposed. In C let D_j^2 = 1 / (number of rows that fix j), P = I - B_F B_F^+, E = B_C D^2 B_C' and
G = P (I + P E P)^-1 P. Of all dy with the least residual the shortest one is, for a right-hand side r,

    dy_B = p + G B_C D^2 (r_C - B_C'p),  p = B_F^+'r_F,    dy_i = +-D_j^2 (r_j - B_j'dy_B) for each row i that fixes j

and A^+ is the transpose of this map.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from decision._layer.numbered import gathered, numbers_of, positive, scattered, times

SINGULAR = 1e-11  # of the scaled matrices: what is below counts as zero


@final
class LeastNorm:
    """Systems on what is determined; arguments as of `FaceSystem`, of which any may be singular."""

    def __init__(self, H: Tensor, A: Tensor, columns: Tensor) -> None:
        n = H.shape[-1]
        self._price = positive(H.abs().amax(dim=(1, 2)))[:, None]
        self._length = positive(torch.linalg.vector_norm(A, dim=-1))
        self._H, self._columns = H / self._price[..., None], columns
        scaled = A / self._length[..., None]
        self._single = columns < n
        signs = scaled.gather(2, columns.clamp(max=n - 1)[..., None])[..., 0]
        self._signs = torch.where(self._single, signs, 0.0)
        count = scattered(self._single.to(H), columns, n)
        self._share = torch.where(count > 0, 1.0 / positive(count), 0.0)  # D^2
        self._free = numbers_of(count == 0)
        self._others = numbers_of(~self._single & (scaled != 0).any(dim=-1))
        self._B = gathered(scaled, self._others)
        self._U, self._inverse, self._V, null = _decomposed(gathered(self._B.mT, self._free).mT)
        across = self._B * self._share.sqrt()[:, None, :]
        across = across - self._U @ (self._U.mT @ across)
        eye = torch.eye(across.shape[1], dtype=H.dtype, device=H.device)
        self._factor = torch.linalg.cholesky(eye + across @ across.mT)
        inner = null.mT @ gathered(gathered(self._H, self._free).mT, self._free) @ null
        values, vectors = torch.linalg.eigh(0.5 * (inner + inner.mT))
        self._curved, self._spread = _inverted(values, SINGULAR), null @ vectors

    def solve(self, b1: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
        """Return dx `(contexts, n)` and dy `(contexts, rows)`."""
        b1, b2 = b1 / self._price, b2 / self._length
        dx = self._least_squares(b2)
        within = gathered(b1 - times(self._H, dx), self._free)
        within = times(self._spread, self._curved * times(self._spread.mT, within))
        dx = dx + scattered(within, self._free, dx.shape[1])
        return dx, self._price * self._multipliers(b1 - times(self._H, dx)) / self._length

    def _least_squares(self, b: Tensor) -> Tensor:
        """Return A^+ b."""
        n = self._share.shape[1]
        x = self._share * scattered(self._signs * b, self._columns, n)
        rest = gathered(b, self._others) - times(self._B, x)
        moved = self._share * times(self._B.mT, self._within(rest))
        rest = rest - times(self._B, moved)
        free = times(self._V, self._inverse * times(self._U.mT, rest))
        return x + moved + scattered(free, self._free, n)

    def _multipliers(self, r: Tensor) -> Tensor:
        """Return A^+'r."""
        own = times(self._U, self._inverse * times(self._V.mT, gathered(r, self._free)))
        own = own + self._within(times(self._B, self._share * (r - times(self._B.mT, own))))
        single = self._signs * gathered(self._share * (r - times(self._B.mT, own)), self._columns)
        return scattered(own, self._others, len(self._single[0])) + single

    def _within(self, values: Tensor) -> Tensor:
        """Return G times values of the other rows."""

        def projected(vector: Tensor) -> Tensor:
            return vector - times(self._U, times(self._U.mT, vector))

        return projected(torch.cholesky_solve(projected(values)[..., None], self._factor)[..., 0])


def _decomposed(B: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return U, the inverse singular values and V of what counts, and a basis of the null space; zero columns pad.

    Rows of zeros are left out of the decomposition; lengths are relative to those of whole rows, which are 1.
    """
    used = numbers_of((B != 0).any(dim=-1))
    short, size, right = torch.linalg.svd(gathered(B, used), full_matrices=True)
    rank = size.shape[1]
    most = torch.cat([size, size.new_ones(len(size), 1)], dim=1).amax(dim=1, keepdim=True)
    inverse = _inverted(size, SINGULAR * most)
    V, counts = right.mT, (inverse > 0)[:, None, :]
    U = B.new_zeros(len(B), B.shape[1] + 1, rank)
    U = U.scatter_add(1, used[..., None].expand(-1, -1, rank), short[..., :rank] * counts)[:, :-1]
    flat = torch.nn.functional.pad(inverse > 0, (0, V.shape[2] - rank)).logical_not()
    return U, inverse, V[..., :rank] * counts, gathered(right, numbers_of(flat)).mT


def _inverted(values: Tensor, least: Tensor | float) -> Tensor:
    """Return 1 / values, 0 for those that are not above the least."""
    counts = values > least
    return torch.where(counts, 1.0 / torch.where(counts, values, 1.0), 0.0)
