"""Which units each context keeps, and which of the others it takes as on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from decision._minimise.stack import Stack


@dataclass(frozen=True, eq=False)
class Choice:
    """Which units of each context are kept, and which of the others are taken as on.

    Args:
        index: units kept, shape `(contexts, r_k)` of each layer; the layer's width stands for a pad.
        counts: how many they are, shape `(contexts,)` of each layer.
        on: units taken as on, shape `(contexts, h_k)` of each layer.
    """

    index: list[Tensor]
    counts: list[Tensor]
    on: list[Tensor]

    @classmethod
    def of(cls, kept: list[Tensor], on: list[Tensor]) -> Choice:
        """Return the choice of these masks, shape `(contexts, h_k)`."""
        none = [torch.zeros(len(mask), 0, dtype=torch.int64, device=mask.device) for mask in kept]
        return cls(none, [mask.sum(dim=1) for mask in none], on).grown(kept)

    def take(self, rows: Tensor) -> Choice:
        """Return the choice of some contexts."""
        return Choice(*([tensor[rows] for tensor in group] for group in (self.index, self.counts, self.on)))

    def kept(self) -> list[Tensor]:
        """Return which units are kept, shape `(contexts, h_k)` of each layer."""
        masks = []
        for units, on in zip(self.index, self.on, strict=True):
            mask = torch.zeros(len(on), on.shape[1] + 1, dtype=torch.bool, device=on.device)
            masks.append(mask.scatter_(1, units, True)[:, :-1])
        return masks

    def grown(self, wanted: list[Tensor]) -> Choice:
        """Return the choice with the wanted units kept too, after those that are."""
        index, counts = [], []
        for units, want, kept, count in zip(self.index, wanted, self.kept(), self.counts, strict=True):
            new = want & ~kept
            place = new.cumsum(dim=1) - 1 + count[:, None]
            total = count + new.sum(dim=1)
            size = max(int(total.max()), 1)
            pads = max(size - units.shape[1], 0)
            units = torch.nn.functional.pad(units, (0, pads), value=want.shape[1]).clone()
            rows, columns = new.nonzero(as_tuple=True)
            units[rows, place[rows, columns]] = columns
            index.append(units)
            counts.append(total)
        return Choice(index, counts, [on & ~want for on, want in zip(self.on, wanted, strict=True)])

    def full(self, values: list[Tensor], stack: Stack) -> tuple[Tensor, ...]:
        """Return multipliers of the kept units as multipliers of all units, those taken as on at their upper bounds."""
        multipliers: list[Tensor] = []
        box = stack.w
        for k in reversed(range(len(values))):
            width = stack.layers[k].b.shape[1]
            wide = values[k].new_zeros(len(values[k]), width + 1)
            lam = torch.where(self.on[k], box, wide.scatter_(1, self.index[k], values[k])[:, :-1])
            W = stack.layers[k].W
            if W is not None:
                box = W.adjoint(lam)
            multipliers.insert(0, lam)
        return tuple(multipliers)
