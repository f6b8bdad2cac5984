"""A dual point of each network of a batch: what a lower bound over a set is made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Dual:
    """A dual point of each context: a global minorant of f.

    Args:
        lam: multiplier lambda_k of each layer, shape `(contexts, h_k)`; 0 <= lambda_k <= W_{k+1}'lambda_{k+1} (or w).
        u: unit-ball vectors of each branch of norms, then of those inside layers, shape `(contexts, rows)`, ||u|| <= 1
            in each group.
        p: where each quadratic is linearised, omega / 2, shape `(contexts, rows)`: the branches, then those inside
            layers; any p will do, and p = A x + e is the tangent at x. Then the softmax of the rows of each term of
            exponentials; any one will do, and that at x is the tangent there.
    """

    lam: tuple[Tensor, ...]
    u: tuple[Tensor, ...]
    p: tuple[Tensor, ...]

    def take(self, rows: Tensor) -> Dual:
        """Return the dual points of some contexts."""
        return Dual(*(tuple(part[rows] for part in group) for group in (self.lam, self.u, self.p)))

    def where(self, keep: Tensor, other: Dual) -> Dual:
        """Return these dual points where `keep` is true, the others elsewhere."""
        pairs = ((self.lam, other.lam), (self.u, other.u), (self.p, other.p))
        keep = keep[:, None]
        return Dual(
            *(tuple(torch.where(keep, a, b) for a, b in zip(first, second, strict=True)) for first, second in pairs)
        )

    def put(self, rows: Tensor, other: Dual) -> None:
        """Overwrite the dual points of some contexts."""
        for target, source in zip((*self.lam, *self.u, *self.p), (*other.lam, *other.u, *other.p), strict=True):
            target[rows] = source
