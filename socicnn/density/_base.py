"""The contract of a density that a convex network gives and maximum likelihood fits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from socicnn._ranges import Ranges
from socicnn.density._estimate import Estimate
from socicnn.density._modules import ConvexModule
from socicnn.density._rule import Rule, Weighted
from socicnn.errors import ModelError
from socicnn.nn._kinds import NETWORKS, knows_network
from socicnn.nn._network import Network


def check_energy(energy: Any) -> None:
    """Raise a ModelError where a flow stands for an energy: its values are a potential, and exp(-F) is another law."""
    if isinstance(energy, Density) and energy.normalised:
        raise ModelError(
            f"a {type(energy).__name__} is no energy: its values are not -log p; give `lambda x: -flow.log_density(x)`"
        )


class Density(nn.Module, ABC):
    """A density on R^n made of a convex network; its hooks are the network's, so every recipe trains it.

    Args:
        network: a network of `socicnn.nn` without a context, or any convex torch module (see `ConvexModule`).
        in_features: dimension n of x, where a module of your own does not tell it.

    Raises:
        ModelError: the network takes a context, or cannot be used.
    """

    network: Network | ConvexModule
    strong_convexity: float
    normalised: ClassVar[bool]  # whether log p is known without an integral, so that no rule is needed

    def __init__(self, network: nn.Module, in_features: int | None = None) -> None:
        super().__init__()
        self.network = network if isinstance(network, Network | ConvexModule) else ConvexModule(network, in_features)
        if self.network.context_shape is not None:
            raise ModelError("a density takes a network without a context; set context_features to 0")
        if in_features is not None and in_features != self.features:
            raise ModelError(f"in_features is {in_features!r}, but the network takes {self.features}; leave it out")

    @abstractmethod
    def objective(self, x: Tensor, rule: Weighted | None) -> Tensor:
        """Return the mean of -log p(x) over points of shape `(count, n)`; log Z by the rule, if p needs one."""

    @abstractmethod
    def likelihoods(self, x: Tensor, rule: Rule | None) -> tuple[Tensor, Estimate]:
        """Return -log p(x) without log Z, shape `(count,)`, and the estimate of log Z.

        Raises:
            ModelError: the rule is missing, or cannot tell the likelihood of a point.
        """

    def settings(self) -> dict[str, Any]:
        """Return the arguments other than the network, as JSON values: sc."""
        return {"strong_convexity": self.strong_convexity}

    @abstractmethod
    def finalise(self, data: Any = None) -> Self:
        """Return the density with plain, exactly non-negative weights.

        Args:
            data: the training points, a tensor or an array, for recipes whose weights depend on data.
        """

    def config(self) -> dict[str, Any]:
        """Return what makes the same density again, apart from its tensors, as JSON values.

        Raises:
            ModelError: its network is a module of your own, whose code no file holds.
        """
        return {"network": type(self.network).__name__, "config": self.network.config(), **self.settings()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a density with this configuration and weights that mean nothing yet.

        Raises:
            ModelError: an entry is missing, unknown or of the wrong kind.
        """
        try:
            own = dict(config)
            name, described = own.pop("network"), own.pop("config")
            kind = NETWORKS[name] if knows_network(name) else None
            if not (isinstance(kind, type) and issubclass(kind, Network)):
                raise ModelError(f"a {cls.__name__} has no network of the kind {name!r}")
            return cls(kind.from_config(described), **own)
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"the configuration does not describe a {cls.__name__}: {error!r}") from None

    @property
    def networks(self) -> tuple[Network | ConvexModule, ...]:
        """The convex networks that the density is made of."""
        return (self.network,)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one x."""
        return self.network.input_shape

    @property
    def context_shape(self) -> None:
        """None: a density takes no context."""
        return None

    @property
    def ranges(self) -> Ranges | None:
        """The ranges of the training data, those of the network; None if they are not known."""
        return getattr(self.network, "ranges", None)

    @ranges.setter
    def ranges(self, ranges: Ranges | None) -> None:
        self.network.ranges = ranges

    @property
    def features(self) -> int:
        """Dimension n of x."""
        return torch.Size(self.network.input_shape).numel()

    @property
    def needs_data(self) -> bool:
        """Whether only `finalise(train_data)` gives a density that can be evaluated."""
        return any(network.needs_data for network in self.networks)

    def condition(self, x: Tensor, *, whole: bool = False) -> None:
        """Give recipes whose weights depend on data the batch they are emitted from."""
        for network in self.networks:
            network.condition(x, whole=whole)

    def penalty(self) -> Tensor:
        """Return what the recipe adds to the loss."""
        return torch.stack([network.penalty() for network in self.networks]).sum()

    def after_step(self) -> None:
        """Let the recipe act after an optimiser step."""
        for network in self.networks:
            network.after_step()
