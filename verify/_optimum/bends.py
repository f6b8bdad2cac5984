"""Exponential cones as the search sees them: their slack, its gradients, and multipliers in closed form.

At the surface s = y exp(x / y), with r = x / y, the multipliers are a multiple of (-exp(r), -(1 - r) exp(r), 1). With
p = -u they are in Kexp* while v + p + p log(w / p) >= 0. Nothing here is believed.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray
from socicnn.conic._cones import Cones

STEEP = 600.0  # largest |x / y|


def triples(cones: Cones, s: Array) -> Array:
    """Return the entries of the exponential cones, shape `(cones, 3)`."""
    return s[cones.exponential_start :].reshape(-1, 3)


def slack(points: Array) -> Array:
    """Return s - y exp(x / y) of points, shape `(cones, 3)`; unless y > 0, a number <= 0 that tells the distance."""
    x, y, s = points.T
    with np.errstate(all="ignore"):
        value = s - y * np.exp(np.minimum(x / y, STEEP))
    return np.where(y > 0.0, value, np.minimum(y, 0.0) - np.maximum(x, 0.0) + np.minimum(s, 0.0))


def slope(points: Array) -> Array:
    """Return the gradient of the slack, shape `(cones, 3)`: multiples of it are multipliers, too."""
    x, y, _ = points.T
    with np.errstate(all="ignore"):
        r = np.clip(np.where(y > 0.0, x / y, 0.0), -STEEP, STEEP)
    e = np.exp(r)
    return np.stack([-e, -(1.0 - r) * e, np.ones_like(e)], axis=1)


def size(points: Array, more: Array) -> Array:
    """Return the size of the terms of the slack.

    Args:
        points: shape `(cones, 3)`.
        more: sizes of the terms of their entries, shape `(cones, 3)`.
    """
    e = -slope(points)[:, 0]
    return e * (more[:, 0] + more[:, 1]) + np.minimum(more[:, 2], 4.0 * (np.abs(points[:, 2]) + e * more[:, 1]))


def dual_slack(multipliers: Array) -> Array:
    """Return v + p + p log(w / p) of multipliers, shape `(cones, 3)`; -infinity outside u < 0 < w."""
    p, v, w = -multipliers[:, 0], multipliers[:, 1], multipliers[:, 2]
    with np.errstate(all="ignore"):
        value = v + p + p * np.log(w / p)
    return np.where((p > 0.0) & (w > 0.0), value, -np.inf)


def dual_slope(multipliers: Array) -> Array:
    """Return the gradient of the dual slack, shape `(cones, 3)`."""
    p, w = -multipliers[:, 0], multipliers[:, 2]
    share = np.where((p > 0.0) & (w > 0.0), w, 1.0) / np.where((p > 0.0) & (w > 0.0), p, 1.0)
    return np.stack([-np.log(share), np.ones_like(p), 1.0 / share], axis=1)


def closed(points: Array, multipliers: Array, active: BoolArray) -> Array:
    """Return the multipliers in closed form next to a solver's, 0 of cones that are not active."""
    direction = slope(points)
    length = np.abs(direction).max(axis=1)
    unit = direction / length[:, None]
    share = (unit * multipliers).sum(axis=1) / (unit * unit).sum(axis=1)
    result: Array = np.where(active, np.maximum(share, 0.0), 0.0)[:, None] * unit
    return result


def rows_of(cones: Cones, active: BoolArray, gradients: Array) -> sparse.csr_array:
    """Return the gradients of active cones as rows over all rows of a program."""
    at = np.flatnonzero(active)
    columns = cones.exponential_start + (3 * at[:, None] + np.arange(3)).reshape(-1)
    entries = gradients[at].reshape(-1)
    return sparse.csr_array((entries, columns, np.arange(0, 3 * len(at) + 1, 3)), shape=(len(at), cones.rows))
