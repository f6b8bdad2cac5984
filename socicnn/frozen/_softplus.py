"""Units tau log(1 + exp(a / tau)) with smoothing tau > 0: softplus of sharpness 1 / tau, and relu(a) at tau = 0.

Nothing cancels: with t = a / tau it is max(a, 0) + tau log1p(exp(-|t|)), its slope is p = 1 / (1 + exp(-t)), and
q = 1 - p = 1 / (1 + exp(t)), -log p = softplus(-t), -log q = softplus(t).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from socicnn._arrays import Array


def unit(a: Array, smoothing: Array) -> Array:
    """Return the value of units at pre-activations a.

    >>> unit(np.array([0.0, 40.0, -40.0]), np.array(1.0)).tolist()
    [0.6931471805599453, 40.0, 4.248354255291589e-18]
    >>> unit(np.array([-1.0, 2.0]), np.array(0.0)).tolist()
    [0.0, 2.0]
    """
    if not smoothing.any():
        return np.maximum(a, 0.0)
    with np.errstate(under="ignore", over="ignore"):  # a / tau may be infinite: the unit is relu there
        bend: Array = np.asarray(a / positive(smoothing))
        for step in (np.abs, np.negative, np.exp, np.log1p):
            step(bend, out=bend)
        bend *= smoothing
        bend += np.maximum(a, 0.0)
        return bend


def positive(smoothing: Array) -> Array:
    """Return the smoothing to divide by: 1 in place of 0."""
    return np.where(smoothing > 0, smoothing, 1.0)


def slope(a: Array, smoothing: Array) -> Array:
    """Return p, the derivative of units at a, 0 at the kink of relu; without cancellation at both ends.

    >>> slope(np.array([0.0, -50.0, 800.0]), np.array(1.0)).tolist()
    [0.5, 1.9287498479639178e-22, 1.0]
    """
    with np.errstate(under="ignore", over="ignore"):
        e = np.exp(-np.abs(a / positive(smoothing)))
        return np.where(smoothing > 0, np.where(a > 0, 1.0, e) / (1.0 + e), a > 0)


class Masses(NamedTuple):
    """Of smoothed units: the value z, p and q = 1 - p, and 1 - log p and 1 - log q."""

    z: Array
    p: Array
    q: Array
    depth_p: Array
    depth_q: Array


def masses(a: Array, smoothing: Array) -> Masses:
    """Return what the dual point of smoothed units at a is made of, by one exponential and one logarithm each.

    >>> masses(np.array([0.0]), np.array(2.0)).z.tolist()
    [1.3862943611198906]
    """
    with np.errstate(under="ignore", over="ignore"):
        t = a / smoothing
        e = np.abs(t)
        np.exp(np.negative(e, out=e), out=e)
        bend = np.log1p(e)
        larger = e + 1.0
        np.divide(1.0, larger, out=larger)
        e *= larger
    up = a > 0
    z = np.maximum(a, 0.0)
    z += smoothing * bend
    bend += 1.0
    depth_p, depth_q = np.maximum(-t, 0.0), np.maximum(t, 0.0)
    depth_p += bend
    depth_q += bend
    return Masses(z, np.where(up, larger, e), np.where(up, e, larger), depth_p, depth_q)
