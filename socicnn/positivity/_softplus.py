"""Softplus: a smooth positive readout of a free parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from socicnn.positivity._readouts import LEAST, Readout


@final
@dataclass(frozen=True)
class Softplus(Readout):
    """W = softplus(raw) = log(1 + exp(raw)).

    The gradient vanishes on the shoulder raw < -3. An entry that is to start below 1e-6 starts at 1e-6.

    >>> weight = Softplus().weight(torch.tensor([0.5, 2.0]))
    >>> weight().tolist()
    [0.5, 2.0]
    """

    name = "softplus"

    def emit(self, raw: Tensor) -> Tensor:
        """Return log(1 + exp(raw))."""
        return nn.functional.softplus(raw)

    def inverse(self, values: Tensor) -> Tensor:
        """Return raw with softplus(raw) = max(values, 1e-6), accurate at both ends: w + log(1 - exp(-w))."""
        w = values.clamp(min=LEAST)
        return w + torch.log(-torch.expm1(-w))
