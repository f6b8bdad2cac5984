"""Read-outs of a free parameter, never negative: cut-off, exponential, square."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from socicnn._integers import is_number
from socicnn.errors import ModelError
from socicnn.positivity._base import Recipe, Shared, Weight

LEAST = 1e-6  # the start of weights below it, for read-outs that never reach zero or have no slope there


class Readout(Recipe):
    """W = psi(raw) with a fixed psi >= 0 and a free parameter raw."""

    @abstractmethod
    def emit(self, raw: Tensor) -> Tensor:
        """Return psi(raw)."""

    @abstractmethod
    def inverse(self, values: Tensor) -> Tensor:
        """Return raw with psi(raw) = values, in float64."""

    def weight(self, initial: Tensor, shared: Shared | None = None) -> Weight:
        """Hold raw = psi^-1(initial)."""
        return _ReadWeight(self.inverse(initial.detach().double()).to(initial.dtype), self)


@final
@dataclass(frozen=True)
class ReLUReadout(Readout):
    """W = max(raw, floor); an entry below the floor gets no gradient.

    Args:
        floor: least value of a weight, >= 0. An entry that is to start below it starts at it.

    >>> ReLUReadout(floor=0.1).weight(torch.tensor([0.5, 0.0]))().tolist() == torch.tensor([0.5, 0.1]).tolist()
    True
    """

    floor: float = 0.0
    name = "relu"

    def __post_init__(self) -> None:
        if not (is_number(self.floor) and 0 <= self.floor < math.inf):
            raise ModelError(f"floor must be a number >= 0; received {self.floor!r}")

    def emit(self, raw: Tensor) -> Tensor:
        """Return max(raw, floor); the gradient at the floor itself is that of raw."""
        return raw.clamp(min=self.floor)

    def inverse(self, values: Tensor) -> Tensor:
        """Return max(values, floor)."""
        return values.clamp(min=self.floor)


@final
@dataclass(frozen=True)
class Exp(Readout):
    """W = exp(raw): steps are relative, and the gradient vanishes as W does. An entry below 1e-6 starts at 1e-6.

    >>> Exp().weight(torch.tensor([1.0, 2.0]))().tolist()
    [1.0, 2.0]
    """

    name = "exp"

    def emit(self, raw: Tensor) -> Tensor:
        """Return exp(raw)."""
        return raw.exp()

    def inverse(self, values: Tensor) -> Tensor:
        """Return log(values)."""
        return values.clamp(min=LEAST).log()


@final
@dataclass(frozen=True)
class Square(Readout):
    """W = raw^2: zero is reached, where the gradient vanishes. An entry below 1e-6 starts at 1e-6.

    >>> Square().weight(torch.tensor([1.0, 4.0]))().tolist()
    [1.0, 4.0]
    """

    name = "square"

    def emit(self, raw: Tensor) -> Tensor:
        """Return raw^2."""
        return raw.square()

    def inverse(self, values: Tensor) -> Tensor:
        """Return the square root of values."""
        return values.clamp(min=LEAST).sqrt()


@final
class _ReadWeight(Weight):
    def __init__(self, raw: Tensor, readout: Readout) -> None:
        super().__init__()
        self.raw = nn.Parameter(raw)
        self.readout = readout

    def forward(self) -> Tensor:
        return self.readout.emit(self.raw)

    @torch.no_grad()
    def final(self) -> Tensor:
        return self.readout.emit(self.raw).clone()


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
