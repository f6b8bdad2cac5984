"""log Z by importance sampling, in any dimension: a Student-t proposal that is fitted to the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self, final

import torch
from torch import Tensor

from socicnn._integers import as_integer
from socicnn.density._points import as_tensor
from socicnn.density._rule import Proposal
from socicnn.errors import ModelError
from socicnn.training._options import positive


@final
@dataclass(frozen=True, eq=False)
class Importance(Proposal):
    """Draws x_i from a Student-t law q, and Z ~ 1/count sum_i exp(-E(x_i)) / q(x_i).

    A log-concave exp(-E) falls at least exponentially, q as a power, so that the weights are bounded and their variance
    is finite (Owen, "Monte Carlo theory, methods and examples", 2013, chapter 9). log Z is biased by O(1/count).

    Args:
        nodes: the draws, shape `(count, n)`.
        log_weights: -log q(x_i) - log count.
        location: of the proposal, shape `(n,)`.
        factor: Cholesky factor of its scale matrix.
        degrees: its degrees of freedom.
    """

    nodes: Tensor
    log_weights: Tensor
    location: Tensor
    factor: Tensor
    degrees: int

    def log_density(self, x: Tensor) -> Tensor:
        """Return log q(x), shape `(*batch,)`."""
        factor = self.factor.to(x)
        centred = (x - self.location.to(x)).reshape(-1, x.shape[-1])
        t = torch.linalg.solve_triangular(factor, centred.T, upper=False).T
        return self._log_density(t.reshape(x.shape))

    def _log_density(self, t: Tensor) -> Tensor:
        """Return log q of points given in units of the factor."""
        n = t.shape[-1]
        return (
            math.lgamma((self.degrees + n) / 2)
            - math.lgamma(self.degrees / 2)
            - 0.5 * n * math.log(self.degrees * math.pi)
            - float(self.factor.diagonal().log().sum())
            - 0.5 * (self.degrees + n) * torch.log1p(t.square().sum(dim=-1) / self.degrees)
        )

    def draw(self, generator: torch.Generator | None = None) -> Self:
        """Return the rule with fresh draws."""
        count, n = self.nodes.shape
        normal = torch.randn((count, n + self.degrees), generator=generator, dtype=torch.float64, device="cpu")
        z, chi = normal[:, :n], normal[:, n:].square().sum(dim=1, keepdim=True)
        t = z * (self.degrees / chi).sqrt()
        nodes = self.location + t @ self.factor.T
        like = self.nodes
        log_weights = (-self._log_density(t) - math.log(count)).to(like)
        return type(self)(nodes.to(like), log_weights, self.location, self.factor, self.degrees)


def importance(
    points: Any,
    count: int = 4096,
    *,
    degrees: int = 3,
    spread: float = 1.2,
    generator: torch.Generator | None = None,
) -> Importance:
    """Return a rule whose proposal has the mean of some points and their covariance, widened.

    Args:
        points: data, shape `(points, n)`, more than n of them, a tensor or anything that NumPy reads as an array.
        count: number of draws.
        degrees: degrees of freedom of the proposal, an integer >= 3.
        spread: factor on the standard deviations, > 0.
        generator: source of the draws; defaults to torch's own.

    Raises:
        ModelError: an invalid setting, or points whose covariance is singular.

    >>> points = torch.randn(500, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> rule = importance(points, 20_000, generator=torch.Generator().manual_seed(1))
    >>> energies = 0.5 * rule.nodes.square().sum(dim=1)
    >>> bool((rule.log_partition(energies) - 2.5 * math.log(2 * math.pi)).abs() < 4 * rule.error(energies))
    True
    """
    points = as_tensor(points)
    for name, value, least in (("count", count, 1), ("degrees", degrees, 3)):
        as_integer(name, value, least)
    positive("spread", spread)
    exact = points.detach().to(device="cpu", dtype=torch.float64)
    n = exact.shape[1]
    covariance = torch.cov(exact.T).reshape(n, n) if len(exact) > n else torch.zeros((n, n), dtype=torch.float64)
    factor = torch.linalg.cholesky_ex(covariance)[0]
    # the squared diagonal is what is left of each variance given the coordinates before
    if not bool((factor.diagonal().square() > 1e-10 * covariance.diagonal()).all()):
        raise ModelError(
            f"the covariance of {len(exact)} points in {n} dimensions is singular; give more points, or drop features "
            "that depend on others"
        )
    scale = spread * math.sqrt((degrees - 2) / degrees)
    blank = points.new_empty((count, n))
    made = Importance(blank, blank[:, 0], exact.mean(dim=0), scale * factor, degrees)
    return made.draw(generator)
