"""Rules for integrals: weighted nodes, an estimate of the error, and whether the nodes are redrawn at each step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from socicnn.density._estimate import Estimate
from socicnn.errors import ModelError


class Weighted(Protocol):
    """Anything that gives log Z from the energies at its nodes."""

    @property
    def nodes(self) -> Tensor:
        """Points, shape `(count, n)`."""

    def log_partition(self, energies: Tensor) -> Tensor:
        """Return log Z."""


def check_values(energies: Tensor, count: int, *, batched: bool = False) -> Tensor:
    """Return energies that are one per point; others, such as a column, would broadcast to all pairs of points.

    Args:
        energies: of shape `(count,)`.
        count: number of points.
        batched: whether there may be axes before the last.

    Raises:
        ModelError: another shape, or no tensor.
    """
    shape = tuple(energies.shape) if isinstance(energies, Tensor) else type(energies).__name__
    if shape != (count,) and not (batched and isinstance(shape, tuple) and shape[-1:] == (count,)):
        mend = ": give values[:, 0]" if shape == (count, 1) else ""
        raise ModelError(f"energies of {count} points must have shape ({count},); received {shape}{mend}")
    return energies


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
        check_values(energies, len(self.log_weights), batched=True)
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
        """Return log Z with its error, from the energies at the nodes, shape `(count,)`.

        Raises:
            ModelError: energies of another shape.
        """

    @abstractmethod
    def draw(self, generator: torch.Generator | None = None) -> Self:
        """Return the rule for another step: itself, unless its nodes are random."""

    @abstractmethod
    def check(self, points: Tensor) -> None:
        """Refuse points, shape `(count, n)`, whose likelihood the rule cannot give.

        Raises:
            ModelError: such points.
        """


class Sampled(Rule):
    """Independent draws with weights: Z ~ sum_i exp(log_weight_i - E(x_i)); log Z is biased by O(1/count)."""

    def error(self, energies: Tensor) -> Tensor:
        """Return the standard error of log Z, sqrt(1/ess - 1/count)."""
        count = energies.shape[-1]
        return (1 / self.effective_sample_size(energies) - 1 / count).clamp(min=0.0).sqrt()

    def effective_sample_size(self, energies: Tensor) -> Tensor:
        """Return (sum w)^2 / sum w^2 of the weights w = exp(log_weight - E): how many draws from p these are worth."""
        log_w = self.log_weights - energies
        return torch.exp(2 * torch.logsumexp(log_w, dim=-1) - torch.logsumexp(2 * log_w, dim=-1))

    def estimate(self, energies: Tensor) -> Estimate:
        """Return log Z, with its standard error and the effective sample size."""
        values = check_values(energies, len(self.log_weights)).detach().double()
        log_z, ess = self.log_partition(values), self.effective_sample_size(values)
        return Estimate(float(log_z), error=float(self.error(values)), effective_sample_size=float(ess))

    def check(self, points: Tensor) -> None:
        """Take all points: the draws cover the whole space."""


class Proposal(Sampled):
    """Draws from a law q whose density is known; their log weights are -log q(x_i) - log count.

    Attributes:
        factor: lower Cholesky factor of about the covariance of q, shape `(n, n)`; only its proportions matter.
    """

    factor: Tensor

    @abstractmethod
    def log_density(self, x: Tensor) -> Tensor:
        """Return log q(x), shape `(*batch,)`, differentiable."""
