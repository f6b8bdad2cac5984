"""How the weights of a convex network start, so that pre-activations keep mean 0 and mean square 1 through its depth.

Non-negative weights push the mean of z = phi(a) upwards and correlate the units of a layer; a law for W must handle
both (Hoedt and Klambauer, "Principled weight initialisation for input-convex neural networks", 2023).
Every formula here supposes standardised inputs, x ~ N(0, I).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import final

import numpy as np
import torch
from torch import Tensor

from socicnn.errors import ModelError


@dataclass(frozen=True)
class Moments:
    """Moments of z = phi(a) under a ~ N(0, 1).

    Args:
        mean: E[z].
        square: E[z^2].
        covariance: Cov(z, z') at correlation 1/2 of a and a'.
    """

    mean: float
    square: float
    covariance: float

    @property
    def variance(self) -> float:
        """Var[z]."""
        return self.square - self.mean**2


_NODES, _MASS = np.polynomial.hermite_e.hermegauss(64)
_MASS = _MASS / _MASS.sum()


@cache
def covariance(activation: str, rho: float) -> float:
    """Return Cov(phi(a), phi(a')) for standard normal a, a' of correlation rho (relu: closed form)."""
    if activation == "relu":  # arc-cosine kernel of Cho and Saul (2009), less the squared mean
        rho = min(max(rho, -1.0), 1.0)
        return (math.sqrt(1 - rho**2) + rho * (math.pi - math.acos(rho)) - 1) / (2 * math.pi)
    if activation == "maxout":  # max(a, c) = (m + |d|) / sqrt(2), m and d independent, |d| = 2 relu(d) - d
        return 2 * covariance("relu", rho)
    if (s := _slope(activation)) is not None:  # s a + (1 - s) relu(a), Cov(a, relu(a')) = rho / 2
        return s**2 * rho + s * (1 - s) * rho + (1 - s) ** 2 * covariance("relu", rho)
    if activation != "softplus":
        raise ModelError(f"no moments are known for activation '{activation}'")
    second = rho * _NODES[:, None] + math.sqrt(max(1 - rho**2, 0.0)) * _NODES
    inner = np.logaddexp(0.0, second) @ _MASS
    return float(_MASS @ (np.logaddexp(0.0, _NODES) * inner) - (_MASS @ np.logaddexp(0.0, _NODES)) ** 2)


def moments(activation: str) -> Moments:
    """Return the moments of an activation: `relu`, `softplus`, `maxout` or `leaky_relu(s)` with slope s.

    >>> round(moments("relu").square, 12), round(moments("relu").mean * math.sqrt(2 * math.pi), 12)
    (0.5, 1.0)
    """
    slope = _slope(activation)
    if activation == "softplus":
        mean = float(_MASS @ np.logaddexp(0.0, _NODES))
    elif activation == "maxout":
        mean = 1 / math.sqrt(math.pi)
    else:
        mean = (1.0 - (slope or 0.0)) / math.sqrt(2 * math.pi)
    return Moments(mean, covariance(activation, 1.0) + mean**2, covariance(activation, 0.5))


def _slope(activation: str) -> float | None:
    """Return s of `leaky_relu(s)`; None of other activations."""
    name, _, rest = activation.partition("(")
    return float(rest.rstrip(")")) if name == "leaky_relu" else None


class Initialiser(ABC):
    """A law for the hidden weights W >= 0 (and w, the last of them), their biases, and the scale of U next to them."""

    name: str

    @abstractmethod
    def weight(self, shape: Sequence[int], fan_in: int, activation: str, generator: torch.Generator | None) -> Tensor:
        """Draw a non-negative weight in float64.

        Args:
            shape: shape of the tensor.
            fan_in: number N of units that each output sums over.
            activation: what made those units, as `moments` takes it.
            generator: source of randomness; defaults to torch's own.
        """

    @abstractmethod
    def bias(self, fan_in: int, activation: str) -> float:
        """Return the bias that belongs to a weight of this fan-in."""

    @abstractmethod
    def input_variances(self, fans: Sequence[int], activations: Sequence[str]) -> list[float]:
        """Return the variance that U_k x (or v'x, the last) adds to each layer after the first.

        Args:
            fans: fan-in N of W_2, ..., W_L, w.
            activations: activation of the layer before each.
        """

    def config(self) -> dict[str, object]:
        """Return the settings as JSON values: `make(**config)` gives the same law."""
        return {}


def log_normal(mean: float, variance: float) -> tuple[float, float]:
    """Return location and variance of the logarithm of a log-normal law with this mean and variance.

    m2 = ln(mu^2 + s^2); location ln(mu^2) - m2 / 2, variance m2 - ln(mu^2).
    """
    second = math.log(mean**2 + variance)
    first = math.log(mean**2)
    return first - second / 2, second - first


@final
@dataclass(frozen=True)
class Principled(Initialiser):
    """Log-normal weights and a negative bias (Hoedt and Klambauer, 2023).

    For relu and fan-in N: D = 6 (pi - 1) + (N - 1)(3 sqrt 3 + 2 pi - 6), E[W] = sqrt(6 pi / (N D)), Var[W] = 1/N and
    bias -sqrt(3 N / D). These keep E[a] = 0, E[a^2] = 1 at correlation 1/2 between pre-activations. For softplus the
    same equations are solved with its own moments (quadrature).

    With passthrough, correlation starts at 0 after the first layer and W z alone brings 1/2 + rho_k to E[a_k^2], where
    rho_k = E[W]^2 (N Var z + N (N - 1) Cov(z, z')) at correlation rho_{k-1}; U_k x is given what is left,
    U_k ~ N(0, (1/2 - rho_k) / n).

    >>> law = Principled()
    >>> round(law.mean(128, "relu") * 128, 2), round(law.bias(128, "relu"), 3)
    (1.85, -0.736)
    """

    name = "principled"

    def mean(self, fan_in: int, activation: str) -> float:
        """Return E[W]: half of the mean square of a comes from what the units have in common."""
        z = moments(activation)
        return math.sqrt(0.5 / (fan_in * z.variance + fan_in * (fan_in - 1) * z.covariance))

    def variance(self, fan_in: int, activation: str) -> float:
        """Return Var[W]: the other half comes from how the weights differ."""
        return 0.5 / (fan_in * moments(activation).square)

    def weight(self, shape: Sequence[int], fan_in: int, activation: str, generator: torch.Generator | None) -> Tensor:
        """Draw exp(N(location, scale^2)) with the mean and the variance above."""
        location, variance = log_normal(self.mean(fan_in, activation), self.variance(fan_in, activation))
        return torch.exp(location + math.sqrt(variance) * normal(shape, generator))

    def bias(self, fan_in: int, activation: str) -> float:
        """Return -N E[W] E[z], which takes the mean away."""
        return -fan_in * self.mean(fan_in, activation) * moments(activation).mean

    def input_variances(self, fans: Sequence[int], activations: Sequence[str]) -> list[float]:
        """Return 1/2 - rho_k, layer by layer."""
        rho, variances = 0.0, []
        for fan_in, activation in zip(fans, activations, strict=True):
            common = fan_in * moments(activation).variance + fan_in * (fan_in - 1) * covariance(activation, rho)
            rho = min(self.mean(fan_in, activation) ** 2 * common, 0.5)
            variances.append(0.5 - rho)
        return variances


class _Plain(Initialiser, ABC):
    """A law that takes no care of its mean: zero biases, U_k ~ N(0, 1/n)."""

    def bias(self, fan_in: int, activation: str) -> float:
        """Return zero."""
        return 0.0

    def input_variances(self, fans: Sequence[int], activations: Sequence[str]) -> list[float]:
        """Return one for every layer."""
        return [1.0] * len(fans)


@final
@dataclass(frozen=True)
class Folded(_Plain):
    """|N(0, pi / (2 N))|: mean 1/sqrt(N).

    Kept for reproduction: at fan-in 128 its mean is about six times that of the principled law.
    """

    name = "folded"

    def weight(self, shape: Sequence[int], fan_in: int, activation: str, generator: torch.Generator | None) -> Tensor:
        """Draw the absolute value of a normal."""
        return (math.sqrt(math.pi / (2 * fan_in)) * normal(shape, generator)).abs()


@final
@dataclass(frozen=True)
class ZeroMeanClipped(_Plain):
    """max(N(0, 2/N), 0): the usual zero-mean law of relu networks with its negative half set to zero."""

    name = "zero_mean_clipped"

    def weight(self, shape: Sequence[int], fan_in: int, activation: str, generator: torch.Generator | None) -> Tensor:
        """Draw a normal and cut it off at zero."""
        return (math.sqrt(2 / fan_in) * normal(shape, generator)).clamp(min=0.0)


@final
@dataclass(frozen=True)
class XavierSoftplus(_Plain):
    """W = softplus(raw), raw ~ U(-a, a), a = sqrt(6 / (fan_in + fan_out)): weights of about 0.7 at every width.

    It is the start of the benchmark's authors, kept for reproduction.
    """

    name = "xavier_softplus"

    def weight(self, shape: Sequence[int], fan_in: int, activation: str, generator: torch.Generator | None) -> Tensor:
        """Draw the softplus of a Xavier-uniform tensor; a vector has one output."""
        fan_out = shape[0] if len(shape) > 1 else 1
        bound = math.sqrt(6 / (fan_in + fan_out))
        raw = bound * (2 * torch.rand(tuple(shape), generator=generator, dtype=torch.float64, device="cpu") - 1)
        return torch.nn.functional.softplus(raw)


def normal(shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Draw standard normals in float64 on the CPU, whatever the network's own type and device."""
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float64, device="cpu")
