"""ADMM with positivity: a free weight, a non-negative copy and a multiplier that pulls them together."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from socicnn._integers import is_number
from socicnn._registry import Registry
from socicnn.errors import ModelError
from socicnn.positivity._base import Recipe, Shared, Weight


class Schedule(ABC):
    """How the penalty rho changes from step to step. A schedule is a value."""

    name: str

    @abstractmethod
    def update(self, rho: Tensor, primal: Tensor, dual: Tensor, step: Tensor) -> Tensor:
        """Return the next rho, every argument a tensor of shape ().

        Args:
            rho: the present penalty.
            primal: primal residual ||theta - z||.
            dual: dual residual rho ||z - z_previous||.
            step: number of steps taken.
        """


@final
@dataclass(frozen=True)
class Fixed(Schedule):
    """rho stays (Boyd et al., 2011)."""

    name = "fixed"

    def update(self, rho: Tensor, primal: Tensor, dual: Tensor, step: Tensor) -> Tensor:
        """Return rho."""
        return rho


@final
@dataclass(frozen=True)
class Balancing(Schedule):
    """Residual balancing: rho grows where the primal residual is past `ratio` times the dual one, shrinks where below.

    He, Yang and Wang (2000); the form of Boyd et al. (2011), section 3.4.1.

    Args:
        factor: by how much, > 1.
        ratio: from which ratio of residuals on, >= 1.
    """

    factor: float = 2.0
    ratio: float = 10.0
    name = "balancing"

    def __post_init__(self) -> None:
        if not (1 < self.factor < math.inf and 1 <= self.ratio < math.inf):
            raise ModelError(f"balancing needs factor > 1 and ratio >= 1; received {self.factor} and {self.ratio}")

    def update(self, rho: Tensor, primal: Tensor, dual: Tensor, step: Tensor) -> Tensor:
        """Return rho times or divided by the factor, or unchanged."""
        grown = torch.where(primal > self.ratio * dual, rho * self.factor, rho)
        return torch.where(dual > self.ratio * primal, rho / self.factor, grown)


@final
@dataclass(frozen=True)
class Doubling(Schedule):
    """rho doubles at regular intervals, up to a ceiling, towards the hard projection (Bertsekas, 1999).

    Args:
        every: steps between two doublings.
        ceiling: largest rho.
    """

    every: int = 500
    ceiling: float = 1e4
    name = "doubling"

    def __post_init__(self) -> None:
        if self.every < 1 or not self.ceiling > 0:
            raise ModelError(f"doubling needs every >= 1 and ceiling > 0; received {self.every} and {self.ceiling}")

    def update(self, rho: Tensor, primal: Tensor, dual: Tensor, step: Tensor) -> Tensor:
        """Return min(2 rho, ceiling) at every `every`-th step."""
        return torch.where(step % self.every == 0, (2 * rho).clamp(max=self.ceiling), rho)


SCHEDULES: Registry[type[Schedule]] = Registry("schedule", {kind.name: kind for kind in (Fixed, Balancing, Doubling)})


@final
@dataclass(frozen=True)
class ADMM(Recipe):
    """W = theta, a free weight, and a penalty that pulls it to z >= 0.

    The loss gains rho/2 ||theta - z + y/rho||^2; after each step z <- max(theta + y/rho, 0), y <- y + rho (theta - z)
    (Boyd et al., 2011). While it trains, theta may be negative and the network not convex; it ends at max(theta, 0).
    Start: z = theta, y = 0. Where rho changes, y stays (it is the unscaled multiplier).

    Args:
        schedule: `fixed`, `balancing`, `doubling`, a `Schedule`, or its description {"name": ..., setting: value}.
        rho: penalty at the start, > 0.

    >>> ADMM("doubling").config()
    {'schedule': {'name': 'doubling', 'every': 500, 'ceiling': 10000.0}, 'rho': 10.0}
    """

    schedule: Schedule | str | Mapping[str, Any] = "fixed"
    rho: float = 10.0
    name = "admm"

    def __post_init__(self) -> None:
        if not (is_number(self.rho) and 0 < self.rho < math.inf):
            raise ModelError(f"rho must be a number > 0; received {self.rho!r}")
        object.__setattr__(self, "schedule", _schedule(self.schedule))

    def weight(self, initial: Tensor, shared: Shared | None = None) -> Weight:
        """Hold the weight unchanged, with its copy and its multiplier."""
        assert isinstance(self.schedule, Schedule)
        return _Split(initial.detach(), self.schedule, self.rho)

    def config(self) -> dict[str, object]:
        """Return the schedule with its settings, and rho."""
        assert isinstance(self.schedule, Schedule)
        settings = asdict(self.schedule)  # type: ignore[call-overload]  # every schedule is a dataclass
        return {"schedule": {"name": self.schedule.name, **settings}, "rho": self.rho}


def _schedule(schedule: Schedule | str | Mapping[str, Any]) -> Schedule:
    if isinstance(schedule, Schedule):
        return schedule
    settings = {"name": schedule} if isinstance(schedule, str) else dict(schedule)
    made: Schedule = SCHEDULES.make(SCHEDULES.known(settings.pop("name", None)), **settings)
    return made


@final
class _Split(Weight):
    z: Tensor
    y: Tensor
    rho: Tensor
    step: Tensor

    def __init__(self, initial: Tensor, schedule: Schedule, rho: float) -> None:
        super().__init__()
        self.schedule = schedule
        self.theta = nn.Parameter(initial.clone())
        self.register_buffer("z", initial.clone())
        self.register_buffer("y", torch.zeros_like(initial))
        self.register_buffer("rho", torch.full((), rho, dtype=initial.dtype, device=initial.device))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64, device=initial.device))

    def forward(self) -> Tensor:
        return self.theta

    def penalty(self) -> Tensor:
        return 0.5 * self.rho * (self.theta - self.z + self.y / self.rho).square().sum()

    @torch.no_grad()
    def after_step(self) -> None:
        z = (self.theta + self.y / self.rho).clamp(min=0.0)
        gap = self.theta - z
        dual = self.rho * torch.linalg.vector_norm(z - self.z)
        self.y.add_(self.rho * gap)
        self.z.copy_(z)
        self.step.add_(1)
        self.rho.copy_(self.schedule.update(self.rho, torch.linalg.vector_norm(gap), dual, self.step))

    @torch.no_grad()
    def final(self) -> Tensor:
        return self.theta.clamp(min=0.0)
