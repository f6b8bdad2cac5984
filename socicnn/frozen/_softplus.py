"""Units tau log(1 + exp(a / tau)) with smoothing tau > 0: softplus of sharpness 1 / tau, and relu(a) at tau = 0.

Nothing cancels: with t = a / tau it is max(a, 0) + tau log1p(exp(-|t|)), its slope is p = 1 / (1 + exp(-t)), and
q = 1 - p = 1 / (1 + exp(t)), -log p = softplus(-t), -log q = softplus(t).
"""

from __future__ import annotations

import numpy as np

from socicnn._arrays import Array


def unit(a: Array, smoothing: Array) -> Array:
    """Return the value of units at pre-activations a.

    >>> unit(np.array([0.0, 40.0, -40.0]), np.array(1.0)).tolist()
    [0.6931471805599453, 40.0, 4.248354255291589e-18]
    >>> unit(np.array([-1.0, 2.0]), np.array(0.0)).tolist()
    [0.0, 2.0]
    """
    if not smoothing:
        return np.maximum(a, 0.0)
    with np.errstate(under="ignore", over="ignore"):  # a / tau may be infinite: the unit is relu there
        bend: Array = np.log1p(np.exp(-np.abs(a / smoothing)))
        return np.maximum(a, 0.0) + smoothing * bend


def slope(a: Array, smoothing: Array) -> Array:
    """Return p, the derivative of smoothed units at a; between 0 and 1 and without cancellation at both ends.

    >>> slope(np.array([0.0, -50.0, 800.0]), np.array(1.0)).tolist()
    [0.5, 1.9287498479639178e-22, 1.0]
    """
    with np.errstate(under="ignore", over="ignore"):
        e = np.exp(-np.abs(a / smoothing))
        return np.where(a > 0, 1.0, e) / (1.0 + e)
