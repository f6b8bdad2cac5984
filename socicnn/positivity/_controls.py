"""Controls for experiments, not for use: softplus with one ingredient of the lift each, to see what helps.

`experiments.positivity` compares them with the lift; nothing recommends them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from socicnn._integers import is_number
from socicnn.errors import ModelError
from socicnn.positivity._base import Recipe, Shared, Weight
from socicnn.positivity._readouts import Softplus

_SOFTPLUS = Softplus()


@final
@dataclass(frozen=True)
class Biased(Recipe):
    """A control, not for use. W = softplus(b + raw): a slack and the free parameter; nothing reads the batch.

    b starts where softplus gives the asked weight, raw at zero.

    >>> Biased().weight(torch.tensor([0.5, 2.0]))().tolist()
    [0.5, 2.0]
    """

    name = "biased"

    def weight(self, initial: Tensor, shared: Shared | None = None) -> Weight:
        """Hold b and raw."""
        return _BiasedWeight(_raw(initial))


@final
class _BiasedWeight(Weight):
    def __init__(self, b: Tensor) -> None:
        super().__init__()
        self.b = nn.Parameter(b)
        self.body = nn.Parameter(torch.zeros_like(b))

    @property
    def raw(self) -> Tensor:
        return self.b + self.body

    def forward(self) -> Tensor:
        return _SOFTPLUS.emit(self.raw)

    @torch.no_grad()
    def final(self) -> Tensor:
        return _SOFTPLUS.emit(self.raw)


@final
@dataclass(frozen=True)
class Noisy(Recipe):
    """A control, not for use. W = softplus(raw + deviation * N(0, I)) while training, softplus(raw) otherwise.

    Fluctuation without a batch behind it. The noise is redrawn at each reading, from torch's own generator as
    dropout's is.

    Args:
        deviation: standard deviation of the noise, > 0.

    >>> Noisy(0.1).weight(torch.tensor([0.5, 2.0])).eval()().tolist()
    [0.5, 2.0]
    """

    deviation: float = 0.1
    name = "noisy"

    def __post_init__(self) -> None:
        if not (is_number(self.deviation) and 0 < self.deviation < math.inf):
            raise ModelError(f"deviation must be a number > 0; received {self.deviation!r}")

    def weight(self, initial: Tensor, shared: Shared | None = None) -> Weight:
        """Hold raw = softplus^-1(initial)."""
        return _NoisyWeight(_raw(initial), self.deviation)


@final
class _NoisyWeight(Weight):
    def __init__(self, raw: Tensor, deviation: float) -> None:
        super().__init__()
        self.raw = nn.Parameter(raw)
        self.deviation = deviation

    def forward(self) -> Tensor:
        noise = self.deviation * torch.randn_like(self.raw) if self.training else 0.0
        return _SOFTPLUS.emit(self.raw + noise)

    @torch.no_grad()
    def final(self) -> Tensor:
        return _SOFTPLUS.emit(self.raw)


def _raw(initial: Tensor) -> Tensor:
    return _SOFTPLUS.inverse(initial.detach().double()).to(initial.dtype)
