"""The contract of a flow: a smooth map of points to standard normal ones, which gives their density."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from socicnn._integers import as_integer
from socicnn.density._base import Density
from socicnn.density._estimate import Estimate
from socicnn.density._log_determinant import LogDetEstimate
from socicnn.density._rule import Rule, Weighted
from socicnn.errors import ModelError


class Flow(Density):
    """p(x) = N(T(x); 0, I) |det DT(x)| for an invertible map T, made of convex networks."""

    normalised = True  # the change of variables gives log p

    @abstractmethod
    def transport(self, x: Tensor) -> Tensor:
        """Return T(x), shape that of x."""

    @abstractmethod
    def transport_and_estimate(
        self, x: Tensor, *, training: bool = False, probes: int | None = None
    ) -> tuple[Tensor, LogDetEstimate]:
        """Return T(x), and log |det DT(x)| of shape `(*batch,)` with its errors, which are 0 where it is exact.

        Args:
            x: points of shape `(*batch, n)`.
            training: whether to take as many probes as for a step of training, rather than as many as for a judgement.
            probes: how many to take, in place of either.
        """

    def transport_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return T(x), and log |det DT(x)| of shape `(*batch,)`, exact or estimated."""
        z, estimate = self.transport_and_estimate(x)
        return z, estimate.value

    @abstractmethod
    def inverse(self, z: Tensor, tolerance: float = 1e-9, steps: int = 100) -> Tensor:
        """Return the x with T(x) = z for points of shape `(count, n)`, solved in float64.

        Args:
            z: points of shape `(count, n)`.
            tolerance: largest norm of T(x) - z, relative to 1 + ||z||.
            steps: Newton steps at most.

        Raises:
            ModelError: the tolerance is not reached.
        """

    def log_density(self, x: Tensor) -> Tensor:
        """Return log p(x), shape `(*batch,)`; an unbiased estimate where the log-determinant is one."""
        return self._log_density(*self.transport_and_log_det(x))

    def _log_density(self, z: Tensor, log_det: Tensor) -> Tensor:
        return log_det - 0.5 * z.square().sum(dim=-1) - 0.5 * self.features * math.log(2 * math.pi)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw points from p: the inverse of standard normal ones, shape `(count, n)`."""
        count = as_integer("count", count, 0)
        z = torch.randn((count, self.features), generator=generator, dtype=torch.float64, device="cpu")
        return self.inverse(z.to(self.network.device)).to(self.network.dtype)

    def objective(self, x: Tensor, rule: Weighted | None = None) -> Tensor:
        """Return the mean of -log p(x); there is nothing to integrate."""
        z, estimate = self.transport_and_estimate(x, training=True)
        return -self._log_density(z, estimate.value).mean()

    def likelihoods(self, x: Tensor, rule: Rule | None = None) -> tuple[Tensor, Estimate]:
        """Return -log p(x), and log Z = 0 with the error of the mean log-determinant as its error.

        That error is the standard error over the probes plus the bound on the truncation.

        Raises:
            ModelError: a potential is not convex at the points.
        """
        z, log_det = self.transport_and_estimate(x)
        if count := int(torch.isinf(log_det.truncation).sum()):
            raise ModelError(
                f"a potential of the flow is not convex at {count} of {len(x)} points, so that log p is wrong; "
                "finalise the flow, and tag the weights of a module of your own that must be non-negative"
            )
        error = log_det.standard_error.double().square().sum().sqrt() / len(x) + log_det.truncation.double().mean()
        return -self._log_density(z, log_det.value), Estimate(0.0, error=float(error))
