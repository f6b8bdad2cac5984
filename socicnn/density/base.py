"""The contract of a density that is given by a convex network and fitted by maximum likelihood."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Tensor, nn

from socicnn.density.estimate import Estimate
from socicnn.density.modules import ConvexModule
from socicnn.density.rule import Rule, Weighted
from socicnn.errors import ModelError
from socicnn.nn.network import Network


class Density(nn.Module, ABC):
    """A density on R^n made of a convex network; its hooks are the network's, so that every recipe trains it.

    Args:
        network: a network of `socicnn.nn` without a context, or any convex torch module (see `ConvexModule`).
        in_features: dimension n of x, where a module of your own does not tell it.

    Raises:
        ModelError: the network takes a context, or cannot be used.
    """

    network: Network | ConvexModule

    def __init__(self, network: nn.Module, in_features: int | None = None) -> None:
        super().__init__()
        self.network = network if isinstance(network, Network | ConvexModule) else ConvexModule(network, in_features)
        if self.network.context_shape is not None:
            raise ModelError("a density takes a network without a context; set context_features to 0")

    @abstractmethod
    def objective(self, x: Tensor, rule: Weighted | None) -> Tensor:
        """Return the mean of -log p(x) over points of shape `(count, n)`; log Z by the rule, if p needs one."""

    @abstractmethod
    def likelihoods(self, x: Tensor, rule: Rule | None) -> tuple[Tensor, Estimate]:
        """Return -log p(x) without log Z, shape `(count,)`, and the estimate of log Z.

        Raises:
            ModelError: the rule is missing, or cannot tell the likelihood of a point.
        """

    @property
    @abstractmethod
    def normalised(self) -> bool:
        """Whether log p is known without an integral, so that no rule is needed."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the arguments beside the network, as JSON values."""

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
