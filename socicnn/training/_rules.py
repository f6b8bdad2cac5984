"""The optimisers as torch has them, for a matrix whose rows are networks with rates of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

BETAS, EPSILON = (0.9, 0.999), 1e-8  # torch's defaults


class UpdateRule(ABC):
    """A step for every row of a matrix of parameters; it holds the optimiser's state.

    Args:
        flat: the parameters, shape `(models, parameters)`.
    """

    @abstractmethod
    def __init__(self, flat: Tensor) -> None: ...

    @abstractmethod
    def step(self, flat: Tensor, gradient: Tensor, rate: Tensor, decay: Tensor) -> None:
        """Change the parameters in place.

        Args:
            flat: shape `(models, parameters)`.
            gradient: of the same shape.
            rate: learning rates, shape `(models, 1)`.
            decay: weight decays, shape `(models, 1)`.
        """

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Go on with some of the models."""


@final
class SGD(UpdateRule):
    """p <- p - rate (g + decay p)."""

    def __init__(self, flat: Tensor) -> None:
        """SGD keeps no state."""

    def step(self, flat: Tensor, gradient: Tensor, rate: Tensor, decay: Tensor) -> None:
        """Step against the gradient."""
        flat.sub_(rate * (gradient + decay * flat))

    def keep(self, rows: Tensor) -> None:
        """Do nothing."""


@final
class Adam(UpdateRule):
    """Adam (Kingma and Ba, 2015), or AdamW (Loshchilov and Hutter, 2019) with the decay taken off the weights.

    m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   p <- p - rate m' / (sqrt(v') + 1e-8)

    where m' = m / (1 - b1^t), v' = v / (1 - b2^t).

    Args:
        flat: the parameters.
        decoupled: whether the decay shrinks the weights (AdamW) rather than joining the gradient (Adam).
    """

    def __init__(self, flat: Tensor, *, decoupled: bool = False) -> None:
        self.first, self.second = torch.zeros_like(flat.detach()), torch.zeros_like(flat.detach())
        self.steps, self.decoupled = 0, decoupled

    def step(self, flat: Tensor, gradient: Tensor, rate: Tensor, decay: Tensor) -> None:
        """Update the moments, then step."""
        self.steps += 1
        if self.decoupled:
            flat.mul_(1 - rate * decay)
        else:
            gradient = gradient + decay * flat
        self.first.lerp_(gradient, 1 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        lengths = (self.second.sqrt() / (1 - BETAS[1] ** self.steps) ** 0.5).add_(EPSILON)
        flat.sub_(self.first / lengths * (rate / (1 - BETAS[0] ** self.steps)))

    def keep(self, rows: Tensor) -> None:
        """Take the rows of the moments."""
        self.first, self.second = self.first[rows], self.second[rows]


RULES: dict[str, Callable[[Tensor], UpdateRule]] = {
    "adam": Adam,
    "adamw": lambda flat: Adam(flat, decoupled=True),
    "sgd": SGD,
}
