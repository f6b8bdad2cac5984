"""Groups of rows that read few entries of x, as those of convolutions do: their curvature without full matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

FEW = 4  # windows are used if they hold at most a quarter of the entries of x


@final
@dataclass(frozen=True, eq=False)
class Windows:
    """The rows of a matrix by the entries of x that their groups read.

    Args:
        columns: entries of x that each window reads, shape `(windows, s)`.
        groups: groups of each window, shape `(windows, m)`; the number of groups stands for a pad.
        blocks: their rows, shape `(windows, m, group, s)`; zero for pads.
        n: length of x.
    """

    columns: Tensor
    groups: Tensor
    blocks: Tensor
    n: int

    @classmethod
    def of(cls, matrix: Tensor, group: int) -> Windows | None:
        """Return the windows of a matrix of shape `(rows, n)`; None if they would save little."""
        blocks = matrix.reshape(-1, group, matrix.shape[1])
        reads = (blocks != 0).any(dim=1)
        if FEW * int(reads.sum(dim=1).max()) > matrix.shape[1]:
            return None
        kinds, which = reads.unique(dim=0, return_inverse=True)
        columns = _places(kinds)[:, : int(kinds.sum(dim=1).max())]
        member = which == torch.arange(len(kinds), device=which.device)[:, None]
        counts = member.sum(dim=1)
        most = int(counts.max())
        if most * len(kinds) > 2 * len(blocks):
            return None
        pad = torch.arange(most, device=which.device) >= counts[:, None]
        groups = _places(member)[:, :most].masked_fill(pad, len(blocks))
        full = torch.nn.functional.pad(blocks, (0, 0, 0, 0, 0, 1))[groups]  # (windows, m, group, n)
        own = full.gather(3, columns[:, None, None, :].expand(-1, most, group, -1))
        beyond = torch.arange(columns.shape[1], device=which.device) >= kinds.sum(dim=1)[:, None]
        return cls(columns, groups, own.masked_fill(beyond[:, None, None], 0.0), matrix.shape[1])

    def turned(self, weight: Tensor, u: Tensor, q: Tensor) -> Tensor:
        """Return sum_g weight_g M_g'(I - (u_g q_g' + q_g u_g')/2) M_g, shape `(contexts, n, n)`.

        Args:
            weight: shape `(contexts, groups)`.
            u: shape `(contexts, groups, group)`.
            q: shape `(contexts, groups, group)`.
        """
        contexts, rows = len(weight), self.blocks.flatten(1, 2)
        pad = torch.nn.functional.pad
        w = pad(weight, (0, 1))[:, self.groups]
        ours, theirs = (
            (pad(factor, (0, 0, 0, 1))[:, self.groups][..., None, :] @ self.blocks)[..., 0, :] for factor in (u, q)
        )
        cross = ours.mT @ (0.5 * w[..., None] * theirs)
        spread = w.repeat_interleave(self.blocks.shape[2], dim=2)[..., None] * rows
        local = rows.mT @ spread - cross - cross.mT
        total = weight.new_zeros(contexts, self.n * self.n)
        places = (self.columns[:, :, None] * self.n + self.columns[:, None, :]).reshape(-1)
        return total.index_add_(1, places, local.reshape(contexts, -1)).reshape(-1, self.n, self.n)


def _places(mask: Tensor) -> Tensor:
    """Return the places of the true entries of each row, in order, and then those of the others."""
    return mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
