"""Hamiltonian Monte Carlo for many independent chains, moved at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from socicnn.density._rule import check_values

AIM = 0.8  # mean acceptance that the step size is tuned to (Betancourt et al., arXiv:1411.6669, 2014)
JITTER = 0.2  # relative change of the step; it and the number of leaps vary, as fixed ones can lead back to the start


@final
class Walkers:
    """Chains whose law is exp(-sum_k c_k E_k), coefficients c that may change from move to move.

    A move draws a velocity, takes leapfrog steps and accepts by Metropolis' rule, chain by chain, so that the law stays
    invariant (Neal, "MCMC using Hamiltonian dynamics", 2011). One leapfrog step is the Metropolis-adjusted Langevin
    algorithm. Chains whose energy is not finite after the steps stay where they are.

    Args:
        energies: the E_k, from points of shape `(count, n)` to values of shape `(count,)`, differentiable by autograd.
        points: where the chains start, shape `(count, n)`.
        factor: lower Cholesky factor of about the covariance of the law; steps are in its units.
        generator: source of the draws, on the CPU; torch's own if omitted.
    """

    def __init__(
        self,
        energies: Sequence[Callable[[Tensor], Tensor]],
        points: Tensor,
        factor: Tensor,
        generator: torch.Generator | None = None,
    ) -> None:
        self.energies, self.factor, self.generator = energies, factor.to(points), generator
        self.size = 0.5 * points.shape[1] ** -0.25  # the scale of a stable step (Neal, 2011, section 5.4.4)
        self.points = points.detach()
        self.values, self.slopes = self._evaluate(self.points)

    def move(self, coefficients: Sequence[float], leaps: int) -> float:
        """Move every chain once, by 1 to `leaps` leapfrog steps; return the mean probability of acceptance."""
        c = self.points.new_tensor(coefficients)
        x, values, slopes = self.points, self.values, self.slopes
        first = velocity = self._draw(torch.randn, x.shape)
        chosen = self._draw(torch.rand, (2,)).tolist()
        size = self.size * (1 + JITTER * (2 * chosen[0] - 1))
        for _ in range(1 + int(leaps * chosen[1])):
            velocity = velocity - 0.5 * size * self._force(c, slopes)
            x = x + size * velocity @ self.factor.T
            values, slopes = self._evaluate(x)
            velocity = velocity - 0.5 * size * self._force(c, slopes)
        kinetic = 0.5 * (velocity.square() - first.square()).sum(dim=1)
        rise = c @ values - c @ self.values + kinetic
        chance = torch.nan_to_num(torch.exp(-rise).clamp(max=1.0), nan=0.0)
        take = self._draw(torch.rand, chance.shape) < chance
        self.points = torch.where(take[:, None], x, self.points)
        self.values = torch.where(take, values, self.values)
        self.slopes = torch.where(take[:, None], slopes, self.slopes)
        return float(chance.mean())

    def tune(self, acceptance: float, gain: float = 1.0) -> None:
        """Bring the step size nearer to the one of the acceptance aimed at; the law is not invariant over such moves.

        Args:
            acceptance: of the last move.
            gain: change of log size per unit of acceptance.
        """
        self.size *= math.exp(gain * (acceptance - AIM))

    def _force(self, c: Tensor, slopes: Tensor) -> Tensor:
        """Return the gradient in units of the factor."""
        return (c @ slopes.flatten(1)).reshape(slopes.shape[1:]) @ self.factor

    def _draw(self, law: Callable[..., Tensor], shape: Sequence[int]) -> Tensor:
        return law(tuple(shape), generator=self.generator, dtype=torch.float64, device="cpu").to(self.points)

    def _evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the energies, shape `(k, count)`, and their gradients, shape `(k, count, n)`."""
        values, slopes = [], []
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            for energy in self.energies:
                value = check_values(energy(x), len(x))
                slopes.append(torch.autograd.grad(value.sum(), x)[0])
                values.append(value.detach())
        return torch.stack(values), torch.stack(slopes)
