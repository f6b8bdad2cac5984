"""Proposition 3: how many affine pieces an approximation of a strongly convex function needs.

If f is mu-strongly convex and |f - g| <= error for a maximum g of N affine pieces, then at the midpoint of x and y in
one piece mu/8 ||x - y||^2 <= 2 error, so that a piece has a diameter of at most 4 sqrt(error / mu), and

N >= vol / omega_n (mu / (4 error))^(n/2),   omega_n the volume of the unit ball

Here f(x) = ||x||^2 / 2 over [-1, 1]^n, mu = 1, vol = 2^n, and g are tangents on a grid, trained ReLU networks, whose
pieces `max_affine` enumerates, and max-affine regression. Each g is moved up or down by what makes its error least.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from experiments.engine.tables import Row
from experiments.theory.planes import excess, grid, tangents
from socicnn import FrozenNet
from socicnn._arrays import Array
from socicnn.nn import ICNN
from socicnn.regression import MaxAffine
from socicnn.training import FitOptions, fit

POINTS, EPOCHS, POLISH = 2000, 60, 100
MOST = 4000  # cells of a network that are enumerated


def bowl(x: Array) -> Array:
    """Return ||x||^2 / 2."""
    return np.asarray((x**2).sum(axis=1) / 2)


def fewest(n: int, error: float) -> float:
    """Return the bound: 2^n / omega_n (4 error)^(-n/2).

    >>> round(fewest(1, 1.0 / 16), 9)  # two tangents, moved up by 1/16, are the best that two pieces can do
    2.0
    """
    ball = math.pi ** (n / 2) / math.gamma(n / 2 + 1)
    return 2.0**n / ball * (4.0 * error) ** (-n / 2)


def error_of(slopes: Array, offsets: Array) -> float:
    """Return the least max |f - g - s| over the box, among all shifts s: half of the range of f - g."""
    highest = np.clip(slopes, -1.0, 1.0)  # of a'x + b - ||x||^2 / 2, coordinate by coordinate
    above = float(((highest * slopes).sum(axis=1) + offsets - bowl(highest)).max())
    return (excess(bowl, slopes, offsets) + above) / 2


def tangent_pieces(n: int, number: int, seed: int) -> tuple[Array, Array]:
    """Return the tangents on a grid of number^n points."""
    return tangents(bowl, lambda x: x, grid(n, number))


def network_pieces(n: int, number: int, seed: int) -> tuple[Array, Array]:
    """Return the pieces of a trained network of one layer of `number` units."""
    draw = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(POINTS, n, generator=draw, dtype=torch.float64) - 1
    model = ICNN(n, (number,), generator=draw, dtype=torch.float64)
    fit(
        model,
        (x, x.square().sum(dim=1) / 2),
        epochs=EPOCHS,
        seed=seed,
        progress=False,
        options=FitOptions(polish=POLISH),
    )
    return active(model.freeze())


def regression_pieces(n: int, number: int, seed: int) -> tuple[Array, Array]:
    """Return the pieces of max-affine regression with `number` of them."""
    x = np.random.default_rng(seed).uniform(-1.0, 1.0, size=(POINTS, n))
    return active(MaxAffine(number, random_state=seed).fit(x, bowl(x)).network_)


def active(net: FrozenNet) -> tuple[Array, Array]:
    """Return slopes and offsets of all pieces that a network has in the box."""
    pieces = net.max_affine(box=(-1.0, 1.0), most=MOST)
    assert pieces.complete, f"more than {MOST} cells"
    return pieces.slopes, pieces.offsets


WAYS = {"tangents": tangent_pieces, "network": network_pieces, "max-affine regression": regression_pieces}


def measured(*, preset: str, study: str, way: str, n: int, number: int, repetition: int, version: int) -> list[Row]:
    """Return pieces, error and bound of one approximation; `version` goes up when this changes."""
    slopes, offsets = WAYS[way](n, number, repetition)
    error = error_of(slopes, offsets)
    return [{"pieces": len(offsets), "error": error, "bound": fewest(n, error)}]
