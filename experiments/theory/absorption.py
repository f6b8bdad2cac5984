"""Proposition 5: structure is absorbed exactly, and K tangents of the residual leave an error of order K^(-2/n).

F(x) = x'P x + 2 ||x - m|| + R(x),   R(x) = sqrt(1 + ||x||^2), whose gradient is 1-Lipschitz

R lies above its tangents at x_1 .. x_K by at most delta^2 / 2, delta the distance of the farthest point from them: over
the box [-1, 1]^n with K = k^n points on a grid delta = sqrt(n) / k, so that

max (F - f) <= n/2 K^(-2/n),   f(x) = x'P x + 2 ||x - m|| + max_i (tangent of R at x_i)

For comparison, K tangents of all of F: what a ReLU network with as many pieces may do.
"""

from __future__ import annotations

import numpy as np

from experiments.engine.tables import Row
from experiments.theory.planes import excess, grid, tangents
from socicnn import FrozenNet
from socicnn._arrays import Array, lengths

WEIGHT, TIP = 2.0, 0.3  # of the norm
LONGEST = 64  # pieces up to which the network itself is evaluated
POINTS = 2000


def residual(x: Array) -> Array:
    """Return R."""
    return np.asarray(np.sqrt(1.0 + (x**2).sum(axis=1)))


def residual_slope(x: Array) -> Array:
    """Return the gradient of R."""
    return np.asarray(x / residual(x)[:, None])


def curvature(n: int) -> Array:
    """Return the diagonal of P."""
    return np.linspace(0.5, 2.0, n)


def whole(x: Array) -> Array:
    """Return F."""
    return (curvature(x.shape[1]) * x**2).sum(axis=1) + WEIGHT * lengths(x - TIP, -1) + residual(x)


def whole_slope(x: Array) -> Array:
    """Return a subgradient of F."""
    far = lengths(x - TIP, -1)[:, None]
    cone = np.divide(x - TIP, far, out=np.zeros_like(x), where=far > 0)
    return 2 * curvature(x.shape[1]) * x + WEIGHT * cone + residual_slope(x)


def network(n: int, side: int) -> FrozenNet:
    """Return the network of the proposition: two branches, and side^n pieces."""
    pieces = tangents(residual, residual_slope, grid(n, side))
    cone = (WEIGHT, np.eye(n), np.full(n, -TIP))
    return FrozenNet.from_structure(np.diag(curvature(n)), norms=[cone], maxima=[pieces])


def measured(*, preset: str, study: str, way: str, n: int, number: int, repetition: int, version: int) -> list[Row]:
    """Return the error with number^n tangents and its bound; `version` goes up when this changes."""
    count = number**n
    if way == "all tangents":
        error = excess(whole, *tangents(whole, whole_slope, grid(n, number)))
        return [{"pieces": count, "error": error}]
    error = excess(residual, *tangents(residual, residual_slope, grid(n, number)))
    row: Row = {"pieces": count, "error": error, "bound": n / 2 * count ** (-2.0 / n)}
    if count <= LONGEST:
        x = np.random.default_rng(repetition).uniform(-1.0, 1.0, size=(POINTS, n))
        row["network_error"] = float(np.abs(whole(x) - network(n, number)(x)).max())
    return [row]
