"""Rules for integrals: weighted nodes, an estimate of the error, and whether the nodes are redrawn at each step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from socicnn.density._estimate import Estimate


class Weighted(Protocol):
    """Anything that gives log Z from the energies at its nodes."""

    @property
    def nodes(self) -> Tensor:
        """Points, shape `(count, n)`."""

    def log_partition(self, energies: Tensor) -> Tensor:
        """Return log Z."""


class Nodes(NamedTuple):
    """Nodes and logarithms of weights alone, tensors that can be stacked.

    Args:
        nodes: points, shape `(count, n)`.
        log_weights: logarithms of the weights, shape `(count,)`.
    """

    nodes: Tensor
    log_weights: Tensor

    def log_partition(self, energies: Tensor) -> Tensor:
        """Return log sum_i exp(log_weight_i - E_i), shape `(*batch,)` from energies of shape `(*batch, count)`."""
        return torch.logsumexp(self.log_weights - energies, dim=-1)


class Rule(ABC):
    """Nodes and weights: the integral of f is about sum_i exp(log_weight_i) f(node_i)."""

    nodes: Tensor
    log_weights: Tensor

    def log_partition(self, energies: Tensor) -> Tensor:
        """Return log of the integral of exp(-E), from E at the nodes, shape `(*batch, count)`."""
        return Nodes(self.nodes, self.log_weights).log_partition(energies)

    @abstractmethod
    def error(self, energies: Tensor) -> Tensor:
        """Return an estimate of the error of log Z."""

    @abstractmethod
    def estimate(self, energies: Tensor) -> Estimate:
        """Return log Z with its error, from the energies at the nodes, shape `(count,)`."""

    @abstractmethod
    def draw(self, generator: torch.Generator | None = None) -> Self:
        """Return the rule for another step: itself, unless its nodes are random."""

    @abstractmethod
    def check(self, points: Tensor) -> None:
        """Refuse points, shape `(count, n)`, whose likelihood the rule cannot give.

        Raises:
            ModelError: such points.
        """
