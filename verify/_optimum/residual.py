"""A lower bound of a convex cost over rows, in real arithmetic, from a minorant, multipliers and extents.

slope'v + offset + sum_j D_j (v_j - u_j)^2 / 2 <= f(v) for all v, and (G'y)'v <= h'y on the rows, so with the residual
r = slope + G'y, which a solver leaves small but not zero,

    f(v) >= offset - h'y + sum_j min over v_j of (r_j v_j + D_j (v_j - u_j)^2 / 2)     for every v of the rows.

A term is finite if v_j has an extent on the side that the sign of r_j needs, or if D_j > 0 (then it is at least
r_j u_j - r_j^2 / (2 D_j)), or if r_j is 0 for sure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from socicnn._arrays import Array
from socicnn._margins import EPS, TINY, relative_margin
from verify._optimum.extents import Extents
from verify._optimum.weak_duality import WeakDuality


@dataclass(frozen=True, eq=False)
class Line:
    """slope'v + offset <= f(v) for every v, with bounds of the rounding errors.

    Args:
        slope: shape `(variables,)`.
        error: bound of the error of each entry, exactly 0 where f does not depend on the coordinate.
        offset: the constant, rounded down.
        size: sum of the absolute values of the terms of each entry, shape `(variables,)`.
    """

    slope: Array
    error: Array
    offset: float
    size: Array


@dataclass(frozen=True, eq=False)
class Bound:
    """A lower bound, and what the residual costs it.

    Args:
        lower: the bound, -infinity if a coordinate that matters has no extent.
        cost: of each coordinate, >= 0, shape `(variables,)`.
        residual: bound of |r_j|, shape `(variables,)`.
    """

    lower: float
    cost: Array
    residual: Array


def lower_bound(line: Line, y: Array, *, weak: WeakDuality, extents: Extents) -> Bound:
    """Return the bound of one minorant and multipliers y in K* over a set with these extents."""
    y = _signed(line, weak, y, extents)
    proof = weak.combine(y)
    least, most = interval(line.slope + proof.sum, line.error + proof.error, line.slope, proof.sum)
    corners = [product(a, b) for a in (least, most) for b in (extents.lower, extents.upper)]
    return total_bound(line.offset, proof.most, np.minimum.reduce(corners), np.maximum(np.abs(least), np.abs(most)))


def total_bound(offset: float, most: float, cover: Array, residual: Array) -> Bound:
    """Return offset - most + sum(cover), rounded down; each cover was rounded at most four times."""
    size = np.abs(cover)
    total = float(cover.sum()) - relative_margin(len(cover) + 4) * float(size.sum()) - TINY * bool(size.any())
    parts = offset - most + total
    rounding = 8 * EPS * (abs(offset) + abs(most) + abs(total)) + TINY
    lower = parts - rounding
    return Bound(lower if np.isfinite(lower) else -np.inf, np.maximum(-cover, 0.0), residual)


def interval(r: Array, error: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """Return bounds of the residual: the sum of two floats rounds once, its ends once more."""
    error = error + 2 * EPS * np.where((first != 0) & (second != 0), np.abs(r), 0.0)
    error = error * (1.0 + 8 * EPS)
    exact = error == 0.0
    least = np.where(exact, r, np.nextafter(r - error, -np.inf))
    most = np.where(exact, r, np.nextafter(r + error, np.inf))
    return least, most


def product(r: Array, end: Array) -> Array:
    """Return r times an end of the extents, 0 where r is 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(r == 0.0, 0.0, r * end)


def _signed(line: Line, weak: WeakDuality, y: Array, extents: Extents) -> Array:
    """Return y with multipliers of rows -v_j <= -l (or v_j <= u) lowered until r_j has the sign that they need."""
    for open_side, sign in ((extents.upper == np.inf, 1.0), (extents.lower == -np.inf, -1.0)):
        if open_side.any():
            proof = weak.combine(y)
            error = 2.0 * (line.error + proof.error) + 8 * EPS * (np.abs(line.slope) + np.abs(proof.sum)) + 2.0 * TINY
            short = np.where(line.error + proof.error > 0, error - sign * (line.slope + proof.sum), 0.0)
            y, _ = weak.lowered(y, np.where(open_side, short, 0.0), np.full_like(short, sign))
    return y
