"""Maxima of planes over the box [-1, 1]^n: tangents on a grid, and how far a convex function lies above them.

A convex f minus the maximum g of planes is convex on each cell of g, so that its largest value over the box is at a
vertex of g's epigraph: no sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy.spatial import HalfspaceIntersection

from socicnn._arrays import Array

Function: TypeAlias = Callable[[Array], Array]


def grid(n: int, side: int) -> Array:
    """Return the centres of the side^n equal cubes of the box, whose points all lie within sqrt(n) / side of one.

    >>> grid(1, 2).tolist()
    [[-0.5], [0.5]]
    """
    axis = (2 * np.arange(side) + 1) / side - 1
    return np.stack(np.meshgrid(*[axis] * n, indexing="ij"), axis=-1).reshape(-1, n)


def tangents(f: Function, gradient: Function, at: Array) -> tuple[Array, Array]:
    """Return slopes and offsets of the tangent planes of f at points."""
    slopes = gradient(at)
    return slopes, f(at) - (slopes * at).sum(axis=1)


def vertices(slopes: Array, offsets: Array) -> tuple[Array, Array]:
    """Return x and t of the vertices of {(x, t): max_k (a_k'x + b_k) <= t <= top, x in the box}."""
    n = slopes.shape[1]
    top = float((np.abs(slopes).sum(axis=1) + offsets).max()) + 1.0
    planes = np.column_stack([slopes, -np.ones(len(slopes)), offsets])
    sides = np.vstack([np.eye(n + 2)[:n], -np.eye(n + 2)[:n]])
    sides[:, -1] = -1.0
    lid = np.zeros((1, n + 2))
    lid[0, n:] = 1.0, -top
    inside = np.append(np.zeros(n), (float(offsets.max()) + top) / 2)
    corners = HalfspaceIntersection(np.vstack([planes, sides, lid]), inside).intersections
    corners = corners[np.isfinite(corners).all(axis=1)]
    return np.clip(corners[:, :n], -1.0, 1.0), corners[:, n]


def excess(f: Function, slopes: Array, offsets: Array) -> float:
    """Return max over the box of f - max_k (a_k'x + b_k), for a convex f.

    >>> excess(lambda x: (x**2).sum(axis=1), np.zeros((1, 2)), np.zeros(1))
    2.0
    """
    x, _ = vertices(slopes, offsets)
    return float((f(x) - (x @ slopes.T + offsets).max(axis=1)).max())
