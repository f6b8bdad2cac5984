"""Log-concave laws with known densities, in one and two dimensions: what energy models are fitted to and judged by."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import torch
from torch import Tensor

from socicnn._integers import as_integer
from socicnn._moved import accepts_renamed
from socicnn._registry import Registry
from socicnn.errors import ModelError
from socicnn.nn._checks import as_dtype
from socicnn.positivity._initial import normal


class Law(ABC):
    """A law on R^n that can be drawn from."""

    name: str

    @property
    @abstractmethod
    def features(self) -> int:
        """Dimension n."""

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw points in float64, shape `(count, n)`."""

    def sample(
        self,
        count: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw points, shape `(count, n)`: in float64 on the CPU, then brought to `dtype` and `device`."""
        return self.draw(as_integer("count", count, 0), generator).to(device=device, dtype=as_dtype(dtype))


class Target(Law, ABC):
    """A law with a known log-concave density.

    The window `[lower, upper]` holds all but 1e-6 of its mass and a margin around its support, so that a model has to
    learn where the support ends.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    @property
    def features(self) -> int:
        """Dimension n."""
        return len(self.lower)

    def log_density(self, x: Tensor) -> Tensor:
        """Return log p(x) for x of shape `(*batch, n)`; -inf outside the support.

        Raises:
            ModelError: x has another last axis.
        """
        if not x.ndim or x.shape[-1] != self.features:
            raise ModelError(f"x must have shape (*batch, {self.features}); received {tuple(x.shape)}")
        return self.evaluate(x)

    @abstractmethod
    def evaluate(self, x: Tensor) -> Tensor:
        """Return log p(x)."""


@final
@dataclass(frozen=True)
class Gumbel(Target):
    """Gumbel(0, 1): p(x) = exp(-x - exp(-x)).

    >>> float(Gumbel().log_density(torch.zeros(1)))
    -1.0
    """

    name = "gumbel"
    lower, upper = (-5.0,), (16.0,)

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw -log(e), e exponential."""
        return -_exponential((count, 1), generator).log()

    def evaluate(self, x: Tensor) -> Tensor:
        """Return -x - exp(-x)."""
        x = x[..., 0]
        return -x - torch.exp(-x)


@final
@dataclass(frozen=True)
class Laplace(Target):
    """Laplace(0, 1): p(x) = exp(-|x|) / 2."""

    name = "laplace"
    lower, upper = (-15.0,), (15.0,)

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw the difference of two exponentials."""
        e = _exponential((count, 2), generator)
        return e[:, :1] - e[:, 1:]

    def evaluate(self, x: Tensor) -> Tensor:
        """Return -|x| - log 2."""
        return -x[..., 0].abs() - math.log(2)


@final
@dataclass(frozen=True)
class Gamma(Target):
    """Gamma(2, 1): p(x) = x exp(-x) for x > 0."""

    name = "gamma"
    lower, upper = (-3.0,), (19.0,)

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw the sum of two exponentials."""
        return _exponential((count, 2), generator).sum(dim=1, keepdim=True)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return log x - x."""
        return _log(x[..., 0]) - x[..., 0]


@final
@dataclass(frozen=True)
class Beta(Target):
    """Beta(2, 5): p(x) = 30 x (1 - x)^4 for 0 < x < 1."""

    name = "beta"
    lower, upper = (-0.5,), (1.5,)

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw a / (a + b), a and b sums of two and of five exponentials."""
        e = _exponential((count, 7), generator)
        return e[:, :2].sum(dim=1, keepdim=True) / e.sum(dim=1, keepdim=True)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return log 30 + log x + 4 log(1 - x)."""
        return math.log(30) + _log(x[..., 0]) + 4 * _log(1 - x[..., 0])


@final
@dataclass(frozen=True)
class HalfNormal(Target):
    """|N(0, 1)|: p(x) = sqrt(2 / pi) exp(-x^2 / 2) for x >= 0; its density jumps at zero."""

    name = "half_normal"
    lower, upper = (-3.0,), (7.0,)

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw the absolute value of a normal."""
        return normal((count, 1), generator).abs()

    def evaluate(self, x: Tensor) -> Tensor:
        """Return log(2 / pi) / 2 - x^2 / 2."""
        x = x[..., 0]
        inside = 0.5 * math.log(2 / math.pi) - 0.5 * x.square()
        return torch.where(x >= 0, inside, -torch.inf)


@final
@dataclass(frozen=True)
class SkewNormal(Target):
    """Skew-normal of shape alpha: p(x) = 2 phi(x) Phi(alpha x) (Azzalini, 1985).

    Args:
        alpha: shape, any real number; 0 gives the normal law.
    """

    alpha: float = 4.0
    name = "skew_normal"
    lower, upper = (-6.0,), (7.0,)

    def __post_init__(self) -> None:
        if not math.isfinite(self.alpha):
            raise ModelError(f"alpha must be a finite number; received {self.alpha}")

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw delta |z_0| + sqrt(1 - delta^2) z_1, delta = alpha / sqrt(1 + alpha^2)."""
        z = normal((count, 2), generator)
        delta = self.alpha / math.hypot(1.0, self.alpha)
        return delta * z[:, :1].abs() + z[:, 1:] / math.hypot(1.0, self.alpha)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return log 2 + log phi(x) + log Phi(alpha x)."""
        x = x[..., 0]
        return 0.5 * math.log(2 / math.pi) - 0.5 * x.square() + torch.special.log_ndtr(self.alpha * x)


@final
@dataclass(frozen=True)
class GammaMode(Target):
    """Two independent coordinates: Gamma(2, 1) - 3 and N(0, 0.5^2)."""

    name = "gamma_mode"
    lower, upper = (-5.0, -3.0), (16.0, 3.0)

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw the coordinates one after the other."""
        first = _exponential((count, 2), generator).sum(dim=1, keepdim=True) - 3
        return torch.cat([first, 0.5 * normal((count, 1), generator)], dim=1)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the sum of the two log densities."""
        shifted = x[..., 0] + 3
        return _log(shifted) - shifted - 2 * x[..., 1].square() + 0.5 * math.log(2 / math.pi)


TargetName: TypeAlias = Literal["gumbel", "laplace", "gamma", "beta", "half_normal", "skew_normal", "gamma_mode"]
TARGETS: Registry[Callable[[], Target]] = Registry(
    "target", {kind.name: kind for kind in (Gumbel, Laplace, Gamma, Beta, HalfNormal, SkewNormal, GammaMode)}
)


@accepts_renamed(given="kind")
def target(kind: Target | TargetName) -> Target:
    """Return a target, from itself or from its name.

    Raises:
        ModelError: the name is unknown (the message lists what there is).

    >>> target("beta").sample(3, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 1])
    """
    return kind if isinstance(kind, Target) else TARGETS[kind]()


def _exponential(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.empty(shape, dtype=torch.float64, device="cpu").exponential_(generator=generator)


def _log(x: Tensor) -> Tensor:
    """Return log x, -inf where x <= 0."""
    return torch.where(x > 0, x, 0.0).log()
