"""What the compiled loops compute with: plain arrays, in tuples with names.

Units and norms are rows of one matrix B: the first h rows are those of the units, a = U x + b, the others those of the
norms, p = C x + d, group after group.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from socicnn._arrays import Array, IntArray


class Common(NamedTuple):
    """What all contexts share.

    Args:
        B: rows of units and norms, shape `(h + rows, n)`.
        units: h.
        tau: their smoothing, 0 of ReLU units, shape `(h,)`.
        first: first row of each group of a norm in B, shape `(groups,)`.
        size: its number of rows.
        grams: A'A of each quadratic as a row, shape `(quadratics, n^2)`.
        place: coordinate of each bound, shape `(bounds,)`.
        sign: its coefficient.
        G: other inequalities, shape `(general, n)`.
        h: right-hand sides, bounds first.
        E: orthonormal rows of the equalities.
        lower: least value of each coordinate over the set, shape `(n,)`.
        upper: its largest value.
        centre: a point with every slack positive, shape `(n,)`.
    """

    B: Array
    units: int
    tau: Array
    first: IntArray
    size: IntArray
    grams: Array
    place: IntArray
    sign: Array
    G: Array
    h: Array
    E: Array
    lower: Array
    upper: Array
    centre: Array


class Vectors(NamedTuple):
    """What belongs to each context, one row each.

    Args:
        offset: [b | d], shape `(contexts, h + rows)`.
        price: [w | gamma], shape `(contexts, h + groups)`.
        beta: weights of the quadratics, shape `(contexts, quadratics)`.
        v: gradient of v'x and of the quadratics at 0, shape `(contexts, n)`.
        constant: value of the quadratics at 0, shape `(contexts,)`.
        mu: products to start with.
        most: largest value of f at the reference points.
        floor: gap that will do in any case.
        large: largest scale of a gap.
    """

    offset: Array
    price: Array
    beta: Array
    v: Array
    constant: Array
    mu: Array
    most: Array
    floor: Array
    large: Array


class PathPoint(NamedTuple):
    """An iterate, or a step of it: x, slacks s and multipliers y, z, p, lambda and kappa of units, u of norms.

    `turn` is where on the path the norms' lengths are, an array of one entry.
    """

    x: Array
    s: Array
    y: Array
    z: Array
    p: Array
    lam: Array
    kap: Array
    u: Array
    turn: Array


class Room(NamedTuple):
    """Room for what an iteration computes; see `conditions` and `step`."""

    image: Array  # B x + offset
    moved: Array  # B dx
    pull: Array  # weights of the rows of B
    turned: Array  # the rows of B times their part of the Newton matrix
    sigma: Array  # of each norm, and its parts
    root: Array
    rate: Array
    along: Array  # p / root
    target: Array  # u + du at dx = 0
    soft: Array  # of each unit: p / lambda
    give: Array  # z / kappa
    steep: Array  # 1 / (soft + give)
    width: Array  # of each softplus unit: of its bend, tau or more
    height: Array  # its value at tau
    entropy: Array  # tau H(lambda / w)
    push: Array
    rest: Array
    lift: Array
    raised: Array  # of each inequality
    down: Array  # of each coordinate: how far it may fall
    up: Array
    slope: Array
    right: Array
    H: Array  # Hessian of the quadratics
    flat: Array  # half of it as a row
    M: Array
    ME: Array
    EME: Array


def point(common: Common) -> PathPoint:
    """Return an iterate of zeros."""
    n, h, rows, many = common.B.shape[1], common.units, len(common.B) - common.units, len(common.h)
    sizes = (n, many, many, h, h, h, h, rows, 1)
    return PathPoint(*(np.zeros(size) for size in sizes))


def room_for(common: Common) -> Room:
    """Return the room."""
    rows, n = common.B.shape
    h, groups, equalities = common.units, len(common.first), len(common.E)
    sizes = [rows, rows, rows, (rows, n), groups, groups, groups, rows - h, rows - h, *[h] * 9, len(common.h)]
    sizes += [n, n, n, n, (n, n), n * n, (n, n), (equalities, n), (equalities, equalities)]
    return Room(*(np.zeros(size) for size in sizes))
