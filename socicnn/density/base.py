"""The contract of a density that is given by a convex network and fitted by maximum likelihood."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from socicnn.density.rule import Weighted
from socicnn.errors import ModelError
from socicnn.nn.network import Network


class Density(nn.Module, ABC):
    """A density on R^n made of a convex network; its hooks are the network's, so that every recipe trains it.

    Args:
        network: a network of `socicnn.nn` without a context.

    Raises:
        ModelError: the network takes a context.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        if network.context_shape is not None:
            raise ModelError("a density takes a network without a context; set context_features to 0")
        self.network = network

    @abstractmethod
    def objective(self, x: Tensor, rule: Weighted | None) -> Tensor:
        """Return the mean of -log p(x) over points of shape `(count, n)`, log Z by the rule where there is one."""

    @property
    @abstractmethod
    def normalised(self) -> bool:
        """Whether log p is known without an integral, so that no rule is needed."""

    @abstractmethod
    def config(self) -> dict[str, object]:
        """Return what makes it beside the network, as JSON values."""

    @abstractmethod
    def finalise(self, data: Tensor | None = None) -> Self:
        """Return the density with plain, exactly non-negative weights.

        Args:
            data: the training points, for recipes whose weights depend on data.
        """

    @property
    def features(self) -> int:
        """Dimension n of x."""
        return torch.Size(self.network.input_shape).numel()

    @property
    def needs_data(self) -> bool:
        """Whether only `finalise(train_data)` gives a density that can be evaluated."""
        return self.network.needs_data

    def condition(self, x: Tensor, whole: bool = False) -> None:
        """Give recipes whose weights depend on data the batch they are emitted from."""
        self.network.condition(x, whole=whole)

    def penalty(self) -> Tensor:
        """Return what the recipe adds to the loss."""
        return self.network.penalty()

    def after_step(self) -> None:
        """Let the recipe act after an optimiser step."""
        self.network.after_step()
