"""Projection: the weight itself is the parameter, cut off at a floor after every step (projected gradient descent)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from socicnn._integers import is_number
from socicnn.errors import ModelError
from socicnn.positivity._base import Recipe, Shared, Weight


@final
@dataclass(frozen=True)
class Projected(Recipe):
    """W = theta; after each step theta <- max(theta, floor).

    The original recipe of input-convex networks (Amos, Xu and Kolter, 2017): the gradient of the weight is the
    gradient of the parameter.

    Args:
        floor: least value of a weight, >= 0.

    >>> weight = Projected().weight(torch.tensor([0.5, 0.0]))
    >>> weight().tolist()
    [0.5, 0.0]
    """

    floor: float = 0.0
    name = "projected"

    def __post_init__(self) -> None:
        if not (is_number(self.floor) and 0 <= self.floor < float("inf")):
            raise ModelError(f"floor must be a number >= 0; received {self.floor!r}")

    def weight(self, initial: Tensor, shared: Shared | None = None) -> Weight:
        """Hold the weight, raised to the floor."""
        return _Projected(initial, self.floor)


@final
class _Projected(Weight):
    def __init__(self, initial: Tensor, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.theta = nn.Parameter(initial.detach().clamp(min=floor))

    def forward(self) -> Tensor:
        return self.theta

    @torch.no_grad()
    def after_step(self) -> None:
        self.theta.copy_(self.theta.clamp(min=self.floor))  # clamp_ itself cannot be stacked over networks

    def floors(self) -> dict[str, float]:
        return {"theta": self.floor}

    @torch.no_grad()
    def final(self) -> Tensor:
        return self.theta.clamp(min=self.floor)
