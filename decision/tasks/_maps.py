"""How a context theta sets the numbers of a task: readout(bias + weight theta)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from socicnn._arrays import as_float64
from socicnn.errors import ModelError


class MapReadout(ABC):
    """What is done to bias + weight theta."""

    @abstractmethod
    def __call__(self, raw: Tensor) -> Tensor:
        """Return the readout of each row."""


@final
@dataclass(frozen=True)
class Identity(MapReadout):
    """The identity."""

    def __call__(self, raw: Tensor) -> Tensor:
        """Return `raw`."""
        return raw


@final
@dataclass(frozen=True)
class Clip(MapReadout):
    """clip(raw, lower, upper)."""

    lower: float
    upper: float

    def __call__(self, raw: Tensor) -> Tensor:
        """Return `raw` within the bounds."""
        return raw.clamp(self.lower, self.upper)


@final
@dataclass(frozen=True)
class Positive(MapReadout):
    """floor + softplus(raw)."""

    floor: float

    def __call__(self, raw: Tensor) -> Tensor:
        """Return a positive number for each."""
        return self.floor + torch.nn.functional.softplus(raw)


@final
@dataclass(frozen=True)
class Normalised(MapReadout):
    """softplus(raw) + 1e-6, divided by its sum: a point of the simplex."""

    def __call__(self, raw: Tensor) -> Tensor:
        """Return a point of the simplex for each row."""
        positive = torch.nn.functional.softplus(raw) + 1e-6
        return positive / positive.sum(dim=-1, keepdim=True)


@final
class ContextMap:
    """The map theta -> readout(bias + weight theta).

    Args:
        name: what it sets, for messages.
        bias: shape `(size,)`.
        weight: shape `(size, p)`.
        readout: see `MapReadout`.

    Raises:
        ModelError: shapes that disagree, or a non-finite entry.
    """

    def __init__(self, name: str, bias: Any, weight: Any, readout: MapReadout) -> None:
        self.bias, self.weight = torch.tensor(as_float64(bias)), torch.tensor(as_float64(weight))
        self.readout = readout
        if self.bias.ndim != 1 or self.weight.ndim != 2 or len(self.weight) != len(self.bias):
            raise ModelError(
                f"{name} needs a bias of shape (size,) and a weight of shape (size, p); received "
                f"{tuple(self.bias.shape)} and {tuple(self.weight.shape)}"
            )
        if not (self.bias.isfinite().all() and self.weight.isfinite().all()):
            raise ModelError(f"{name} has non-finite entries; remove or replace them")

    @property
    def size(self) -> int:
        """Number of outputs."""
        return len(self.bias)

    def __call__(self, context: Tensor) -> Tensor:
        """Return the outputs, shape `(*batch, size)`, for contexts of shape `(*batch, p)`."""
        return self.readout(self.bias + context @ self.weight.T)
