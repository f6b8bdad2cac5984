"""Membership in exponential cones, proven for whole boxes with additions and multiplications of IEEE alone.

Kexp is the closure of {(x, y, s): y > 0, y exp(x / y) <= s}. The left side is convex, it grows with x, and with y where
x <= y, so that its largest value over a box is taken at an end of y. (u, v, w) is in the dual cone Kexp* where
(u - v, -u, w) is in Kexp. No exp or log of a library is believed: `exp_above` is built from sums and products.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray
from socicnn._margins import EPS, TINY
from socicnn.conic._cones import Cones

LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")  # 32 bits: a product with a whole number below 2^11 is exact
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")  # ln 2 = high + low within 2^-86
DEGREE = 14  # of the Taylor polynomial: on |r| <= 0.36 what is left out is below 1e-18
CLEAR = 1e-15  # of v: what is added to a guess by logarithms


def exp_above(t: Array) -> Array:
    """Return upper bounds of exp(t), at most 40 EPS above it unless exp(t) is below 2^-900; +infinity from 709.7 on.

    t = k ln 2 + r: t - k LN2_HIGH is exact, so that r is within 0.4 EPS. Horner's scheme loses at most 5 EPS.

    >>> bool(2.718281828459045 <= exp_above(np.array([1.0]))[0] < 2.71828182845906)
    True
    """
    k = np.rint(np.clip(t, -750.0, 710.0) * (1.0 / math.log(2.0)))
    r = (np.clip(t, -750.0, 710.0) - k * LN2_HIGH) - k * LN2_LOW
    p = np.ones_like(r)
    for n in range(DEGREE, 0, -1):
        p = 1.0 + r * p / n
    with np.errstate(over="ignore"):
        value: Array = np.ldexp(p * (1.0 + 16 * EPS), np.nan_to_num(k).astype(np.int64)) + TINY
    return np.where(t > 709.7, np.inf, value)


def perspective_above(x: Array, y: Array) -> Array:
    """Return upper bounds of y exp(x / y); NaN unless y > 0."""
    with np.errstate(all="ignore"):
        value: Array = y * exp_above(np.nextafter(x / y, np.inf)) * (1.0 + 4 * EPS) + TINY
    return np.where(y > 0.0, value, np.nan)


def contains(x: Array, y: tuple[Array, Array], s: Array) -> BoolArray:
    """Return whether (x', y', s') is in Kexp for all x' <= x, y' within y, s' >= s.

    Args:
        x: shape `(cones,)`.
        y: lower and upper ends, shape `(cones,)`.
        s: shape `(cones,)`.
    """
    low, high = y
    back = x <= 0.0
    at_high = perspective_above(x, high) <= s
    at_low = back | (perspective_above(x, low) <= s)
    inside: BoolArray = (s >= 0.0) & (low >= 0.0) & ((back & (high == 0.0)) | (at_high & at_low))
    return inside


def primal_inside(cones: Cones, s: Array, reach: Array) -> BoolArray:
    """Return which exponential cones hold every point within `reach` of s.

    Args:
        cones: the cone K.
        s: shape `(rows,)`.
        reach: shape `(rows,)`, exactly 0 where s is exact.
    """
    low, high = _ends(cones, s, reach)
    return contains(high[:, 0], (low[:, 1], high[:, 1]), low[:, 2])


def dual_inside(cones: Cones, y: Array, radius: Array) -> BoolArray:
    """Return which duals of the exponential cones hold every point within `radius` of y; arguments as above."""
    if not cones.exponential:
        return np.ones(0, dtype=bool)
    low, high = _ends(cones, y, radius)
    return contains(_above(high[:, 0], low[:, 1]), (-high[:, 0], -low[:, 0]), low[:, 2])


def _above(u: Array, v: Array) -> Array:
    """Return u - v, rounded up."""
    return np.where((u == 0.0) | (v == 0.0), u - v, np.nextafter(u - v, np.inf))


def _ends(cones: Cones, s: Array, reach: Array) -> tuple[Array, Array]:
    """Return both ends of the entries of the exponential cones, shape `(cones, 3)`."""
    part, far = s[cones.exponential_start :].reshape(-1, 3), reach[cones.exponential_start :].reshape(-1, 3)
    low, high = np.nextafter(part - far, -np.inf), np.nextafter(part + far, np.inf)
    return np.where(far == 0.0, part, low), np.where(far == 0.0, part, high)


def idle_rows(G: sparse.csr_array, cones: Cones) -> BoolArray:
    """Return which rows of the exponential cones hold no variable, shape `(cones, 3)`: no equation holds them."""
    empty: BoolArray = np.diff(G.indptr)[cones.exponential_start :].reshape(-1, 3) == 0
    return empty


def settled(cones: Cones, idle: BoolArray, y: Array, radius: Array) -> tuple[Array, Array]:
    """Return a box in which multipliers that no equation holds have the least value with which it is in Kexp*.

    v may be as low as -p - p log(w / p), p = -u, and w as p exp(-v / p - 1); a guess, which `dual_inside` judges.

    Args:
        cones: the cone K.
        idle: what `idle_rows` returns.
        y: centre of a box, shape `(rows,)`.
        radius: its radius, shape `(rows,)`.
    """
    y, radius, start = y.copy(), radius.copy(), cones.exponential_start
    (low, high), part, far = _ends(cones, y, radius), y[start:].reshape(-1, 3), radius[start:].reshape(-1, 3)
    v, w = np.full(len(part), -np.inf), np.full(len(part), -np.inf)
    with np.errstate(all="ignore"):
        for p in (-high[:, 0], -low[:, 0]):
            terms = p * np.log(low[:, 2] / p)
            v = np.maximum(v, high[:, 0] - terms + 4 * CLEAR * (p + np.abs(terms)))
            w = np.maximum(w, perspective_above(_above(high[:, 0], low[:, 1]), p))
    nothing = high[:, 0] == 0.0  # u = 0: v and w only have to be >= 0
    for column, least in ((1, np.where(nothing, 0.0, v)), (2, np.where(nothing, 0.0, w))):
        free = idle[:, column] & np.isfinite(least)
        if column == 2:
            free &= ~idle[:, 1]
        part[free, column], far[free, column] = least[free], 0.0
    return y, radius


def dual_room(part: Array) -> Array:
    """Return how far each of (u, v, w), shape `(cones, 3)`, may move in Kexp* alone; 0 at its surface."""
    p, v, w = -part[:, 0], part[:, 1], part[:, 2]
    with np.errstate(all="ignore"):
        log = np.log(w / p)
        slack = v + p + p * log
        room = np.stack([np.minimum(slack / (1.0 + np.abs(log)), p), slack, np.minimum(slack / p, 1.0) * w], axis=1)
    good = (slack > 1e-14 * (np.abs(v) + p)) & np.isfinite(room).all(axis=1)
    return np.where(good[:, None], 0.25 * room, 0.0)
