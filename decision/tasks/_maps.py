"""How a context theta sets the numbers of a task: readout(bias + weight theta)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, final

import torch
from torch import Tensor

from socicnn._arrays import as_float64
from socicnn.errors import ModelError

MapReadout: TypeAlias = Callable[[Tensor], Tensor]  # of bias + weight theta, row by row


def positive(raw: Tensor, *, floor: float) -> Tensor:
    """Return floor + softplus(raw)."""
    return floor + torch.nn.functional.softplus(raw)


def normalised(raw: Tensor) -> Tensor:
    """Return softplus(raw) + 1e-6, divided by its sum: a point of the simplex for each row."""
    values = positive(raw, floor=1e-6)
    return values / values.sum(dim=-1, keepdim=True)


@final
class ContextMap:
    """The map theta -> readout(bias + weight theta).

    Args:
        name: what it sets, for messages.
        bias: shape `(size,)`.
        weight: shape `(size, p)`.
        readout: what is done to bias + weight theta; nothing if omitted.

    Raises:
        ModelError: shapes that disagree, or a non-finite entry.
    """

    def __init__(self, name: str, bias: Any, weight: Any, readout: MapReadout | None = None) -> None:
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
        raw = self.bias + context @ self.weight.T
        return raw if self.readout is None else self.readout(raw)
