"""Softplus: a smooth positive readout of a free parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from socicnn.positivity.base import Recipe, Shared, Weight

LEAST = 1e-6  # softplus never reaches zero; a weight that is to start at zero starts here


@final
@dataclass(frozen=True)
class Softplus(Recipe):
    """W = softplus(raw) = log(1 + exp(raw)).

    The gradient vanishes on the shoulder raw < -3. An entry that is to start below 1e-6 starts at 1e-6.

    >>> weight = Softplus().weight(torch.tensor([0.5, 2.0]))
    >>> weight().tolist()
    [0.5, 2.0]
    """

    name = "softplus"

    def weight(self, initial: Tensor, shared: Shared | None = None) -> Weight:
        """Hold raw = softplus^-1(initial)."""
        return _Softplus(softplus_inverse(initial))

    def config(self) -> dict[str, object]:
        """Return nothing: there is no setting."""
        return {}


def softplus_inverse(values: Tensor) -> Tensor:
    """Return raw with softplus(raw) = max(values, 1e-6), accurate at both ends: w + log(1 - exp(-w))."""
    w = values.detach().double().clamp(min=LEAST)
    return (w + torch.log(-torch.expm1(-w))).to(values.dtype)


@final
class _Softplus(Weight):
    def __init__(self, raw: Tensor) -> None:
        super().__init__()
        self.raw = nn.Parameter(raw)

    def forward(self) -> Tensor:
        return nn.functional.softplus(self.raw)

    @torch.no_grad()
    def final(self) -> Tensor:
        return nn.functional.softplus(self.raw)
