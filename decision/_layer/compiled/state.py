"""What the loops compute with: plain arrays, in tuples with names.

Units and norms are rows of one matrix B, units first: a = U x + b, then p = C x + d, group after group. Kinks are
numbered like that, too: first the units, then the groups.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from socicnn._arrays import Array, BoolArray, IntArray


class FaceArrays(NamedTuple):
    """What all contexts share.

    Args:
        B: rows of units and norms, shape `(h + rows, n)`.
        units: h.
        first: first row of each group of a norm in B, shape `(groups,)`.
        size: its number of rows.
        grams: A'A of each quadratic as a row, shape `(quadratics, n^2)`.
        G: rows of the set, equalities first, shape `(rows, n)`.
        zero: number of equalities.
        column: coordinate that a row fixes if it has a single entry, else n, shape `(rows,)`.
        length: Euclidean length of each row.
    """

    B: Array
    units: int
    first: IntArray
    size: IntArray
    grams: Array
    G: Array
    zero: int
    column: IntArray
    length: Array


class ContextArrays(NamedTuple):
    """What belongs to one context; a batch has one row each.

    Args:
        offset: [b | d], shape `(h + rows,)`.
        price: [w | gamma], shape `(h + groups,)`.
        beta: weights of the quadratics, shape `(quadratics,)`.
        v: gradient of v'x and of the quadratics at 0, shape `(n,)`.
        h: right-hand sides of the set, shape `(rows,)`.
        scale: how far the argument of each kink reaches over the set, shape `(h + groups,)`.
        size: of the set, shape `(1,)`.
    """

    offset: Array
    price: Array
    beta: Array
    v: Array
    h: Array
    scale: Array
    size: Array


class FacePoint(NamedTuple):
    """A point and its face.

    Args:
        x: shape `(n,)`.
        p: B x + offset.
        c: G x - h.
        on: whether a unit is on, shape `(h,)`.
        held: whether a kink is held at zero, shape `(h + groups,)`.
        tied: whether a constraint is, shape `(rows,)`.
        mu: multipliers of the rows of B.
        y: multipliers of the constraints.
    """

    x: Array
    p: Array
    c: Array
    on: BoolArray
    held: BoolArray
    tied: BoolArray
    mu: Array
    y: Array


class FaceRoom(NamedTuple):
    """FaceRoom for the linear system of a face; see `system`."""

    M: Array  # its factors
    order: IntArray  # of the rows that were exchanged
    free: IntArray  # coordinates that no single constraint fixes
    rows: IntArray  # rows of [B; G] that are held, those of one entry excepted
    fixing: IntArray  # constraint that fixes a coordinate, -1 for none
    counts: IntArray  # numbers of `free` and of `rows`
    scale: Array  # of the Hessian, then of each of `rows`
    right: Array
    pull: Array
    image: Array
    product: Array
    gradient: Array
    dx: Array
    dmu: Array
    dy: Array


def place_for(shared: FaceArrays) -> FacePoint:
    """Return a place of zeros."""
    (rows, n), many = shared.B.shape, len(shared.G)
    kinks = shared.units + len(shared.first)
    on, held, tied = (np.zeros(count, dtype=np.bool_) for count in (shared.units, kinks, many))
    return FacePoint(np.zeros(n), np.zeros(rows), np.zeros(many), on, held, tied, np.zeros(rows), np.zeros(many))


def room_for(shared: FaceArrays) -> FaceRoom:
    """Return the room."""
    (rows, n), many = shared.B.shape, len(shared.G)
    whole = lambda size: np.zeros(size, dtype=np.int64)  # noqa: E731 (local shorthand)
    return FaceRoom(
        np.zeros((2 * n, 2 * n)),
        whole(2 * n),
        whole(n),
        whole(rows + many),
        whole(n),
        whole(2),
        np.zeros(n + 1),
        np.zeros(2 * n),
        np.zeros(rows),
        np.zeros(rows),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(rows),
        np.zeros(many),
    )
