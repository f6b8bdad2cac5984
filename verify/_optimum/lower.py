"""A lower end: weak duality with multipliers that are feasible in real arithmetic.

The tangent of the cost at u and multipliers y leave a residual r = P u + c + A'y. Coordinates with bounds of their own,
or along which the cost is curved, absorb theirs (`residual`). In the others r must be 0: these are equations for y,
solved in a box (`enclosure`) in which y stays in K* by its slack.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray
from socicnn._margins import EPS, TINY, relative_margin
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from verify._optimum.enclosure import Enclosure, enclose
from verify._optimum.exact import ContradictionError
from verify._optimum.exponential import dual_inside, dual_room, idle_rows, settled
from verify._optimum.extents import Extents, propagated, single_bounds
from verify._optimum.lengths import lengths, most_of, spread
from verify._optimum.pinned import pinned
from verify._optimum.program import QuadraticProgram
from verify._optimum.residual import Line, interval, product, total_bound
from verify._optimum.weak_duality import Combination, WeakDuality, into_dual_cone

SHORTER = 1e-14  # of a tail
ROUNDS = 10  # of coordinates whose residual must be 0, too
APART = 1e-10  # room that a multiplier leaves for the sign of its coordinate


def lower_end(program: QuadraticProgram, u: Array, y: Array) -> float:
    """Return the proven lower bound that a tangent point and multipliers give; -infinity if they give none.

    Args:
        program: the program.
        u: where the quadratic cost is replaced by its tangent, shape `(variables,)`.
        y: multipliers, shape `(rows,)`.
    """
    D = program.curvature
    if D is None or not (np.isfinite(u).all() and np.isfinite(y).all()):
        return -np.inf
    rows, cones = program.rows, program.conic.cones
    weak, extents, line = WeakDuality(rows), single_bounds(rows), _tangent(program, u)
    if (extents.lower > extents.upper).any():
        return np.inf  # no point at all: every bound holds
    y = into_dual_cone(y, cones)
    bound = _bound(weak, line, y, extents, D, u)
    if np.isfinite(bound):
        return bound
    wider = propagated(rows, extents)  # more coordinates absorb their residual, at a price
    if (wider.lower > wider.upper).any():
        return np.inf
    if (np.isfinite(wider.reach) == np.isfinite(extents.reach)).all():
        return bound
    return _bound(weak, line, y, wider, D, u)


def _bound(weak: WeakDuality, line: Line, y: Array, extents: Extents, D: Array, u: Array) -> float:
    """Return the bound over a set with these extents, -infinity if a residual that must be 0 is not."""
    start, needed = _signed(line, weak, y, extents, D)
    transposed = weak.rows.transposed
    for _ in range(ROUNDS):
        box = _enclosed(transposed[needed], line, needed, start, weak.rows)
        if box is None:
            return -np.inf
        proof = _combined(weak, box)
        least, most = interval(line.slope + proof.sum, line.error + proof.error, line.slope, proof.sum)
        least, most = np.where(needed, 0.0, least), np.where(needed, 0.0, most)
        cover = _cover(least, most, extents, D, u)
        turned = ~np.isfinite(cover) & ~needed  # residuals whose sign changed as the multipliers moved
        if not turned.any():
            return total_bound(line.offset, proof.most, cover, np.maximum(np.abs(least), np.abs(most))).lower
        needed |= turned
    return -np.inf


def _enclosed(columns: sparse.csr_array, line: Line, needed: BoolArray, y: Array, rows: Rows) -> Enclosure | None:
    """Return a box around multipliers with A'y = -slope in the coordinates needed, all of it in K*; None if none is."""
    slope, error, cones = -line.slope[needed], line.error[needed], rows.cones
    idle = idle_rows(rows.G, cones)
    y, fixed, left = _pinned(columns, slope, y, cones, error)
    room = np.where(fixed, 0.0, _room(y, cones, idle))
    try:
        box = enclose(sparse.csr_array(columns[left]), slope[left], y, room, error[left])
    except ContradictionError:
        return None
    if box is not None and cones.exponential:
        box = Enclosure(*settled(cones, idle, box.centre, box.radius))
    return box if box is not None and _inside(box, cones) else None


def _tangent(program: QuadraticProgram, u: Array) -> Line:
    """Return slope (P u + c) and offset of the tangent at u, with their rounding errors."""
    conic, P = program.conic, program.P
    image, size = P @ u, abs(P) @ np.abs(u)
    margin = relative_margin(2 * len(u) + 8)
    slope = image + conic.c
    error = np.where(size > 0, 2 * margin * (size + np.abs(conic.c)) + TINY, 0.0)
    half = 0.5 * float(image @ u)
    rounding = 2 * margin * (0.5 * float(size @ np.abs(u)) + abs(conic.offset)) + (TINY if size.any() else 0.0)
    return Line(slope, error, conic.offset - half - rounding if size.any() else conic.offset, size)


def _signed(line: Line, weak: WeakDuality, y: Array, extents: Extents, D: Array) -> tuple[Array, BoolArray]:
    """Return y with multipliers of single bounds lowered until r has the sign they need, and the other coordinates."""
    proof = weak.combine(y)
    r = line.slope + proof.sum
    size = np.abs(line.slope) + line.size + weak.rows.absolute.T @ np.abs(y)
    considered = (D <= 0.0) & ~np.isfinite(extents.upper - extents.lower)
    free = considered & (extents.lower == -np.inf) & (extents.upper == np.inf)
    sign = np.where(extents.upper == np.inf, 1.0, -1.0)
    y, lack = weak.lowered(y, np.where(considered & ~free, APART * size - sign * r, 0.0), sign)
    return y, free | (lack > 0.0)


def _pinned(
    columns: sparse.csr_array, slope: Array, y: Array, cones: Cones, error: Array
) -> tuple[Array, BoolArray, BoolArray]:
    """Return y with multipliers that equations fix, for instance heads of cones, which these are, and what is left."""
    idle = y == 0.0
    idle[: cones.zero] = False
    cut, start = cones.zero + cones.nonnegative, cones.exponential_start
    idle[cut:start] = spread(cones, most_of(cones, np.abs(y)) == 0.0)
    idle[start:] = np.repeat(~y[start:].reshape(-1, 3).any(axis=1), 3)
    exact = np.flatnonzero(error == 0.0)
    y, fixed, still = pinned(sparse.csr_array(columns[exact]), slope[exact], y, idle)
    if cones.second_order:  # a head that may not be raised has a shorter tail
        longer, heads = lengths(cones, y), cones.heads
        short = fixed[heads] & (longer > y[heads]) & (y[heads] >= 0.0)
        share = np.where(short, (1.0 - SHORTER) * y[heads] / np.where(short, longer, 1.0), 1.0)
        at = np.setdiff1d(np.flatnonzero(~fixed[cut:start]), heads - heads[0])
        y[heads[0] :][at] *= spread(cones, share)[at]
    left = np.ones(len(slope), dtype=bool)
    left[exact] = still
    return y, fixed, left


def _room(y: Array, cones: Cones, idle: BoolArray) -> Array:
    """Return how far each multiplier may move within K*; of exponential cones, if an idle one can follow."""
    cut = cones.zero + cones.nonnegative
    scale = float(np.abs(y).max(initial=0.0)) or 1.0
    room = np.zeros(len(y))
    room[: cones.zero] = np.maximum(np.abs(y[: cones.zero]), 1e-3 * scale)
    room[cones.zero : cut] = y[cones.zero : cut]
    slack = y[cones.heads] - lengths(cones, y)
    room[cut : cones.exponential_start] = spread(cones, np.where(slack > 1e-14 * np.abs(y[cones.heads]), slack, 0.0))
    if cones.exponential:
        part = y[cones.exponential_start :].reshape(-1, 3)
        follows = np.repeat(idle.any(axis=1), 3)
        room[cones.exponential_start :] = np.where(follows, np.abs(part).reshape(-1), dual_room(part).reshape(-1))
    return room


def _inside(box: Enclosure, cones: Cones) -> bool:
    """Return whether the whole box lies in K*."""
    y, radius = box.centre, box.radius
    cut = cones.zero + cones.nonnegative
    if not (y[cones.zero : cut] >= radius[cones.zero : cut]).all():
        return False
    heads = cones.heads
    least = y[heads] - radius[heads] * (1.0 + 2 * EPS)
    least -= 2 * EPS * np.abs(least) * (radius[heads] > 0)
    far = (np.abs(y) + radius) * np.where(radius > 0, 1.0 + 2 * EPS, 1.0)
    return bool((least >= lengths(cones, far)).all() and dual_inside(cones, y, radius).all())


def _combined(weak: WeakDuality, box: Enclosure) -> Combination:
    """Return what every y of the box proves: A'y and b'y, with their errors."""
    proof, radius = weak.combine(box.centre), box.radius
    if not radius.any():
        return proof
    rows = weak.rows
    margin = 1.0 + relative_margin(len(radius) + 4)
    spread = rows.absolute.T @ radius
    more = float(np.abs(rows.h) @ radius) * margin + TINY
    error = proof.error + np.where(spread > 0, spread * margin + TINY, 0.0)
    return Combination(proof.sum, error * (1.0 + 4 * EPS), proof.most + more + 4 * EPS * (abs(proof.most) + more))


def _cover(least: Array, most: Array, extents: Extents, D: Array, u: Array) -> Array:
    """Return a lower bound of min over v_j of r_j v_j + D_j (v_j - u_j)^2 / 2 for every r_j of the interval."""
    corners = [product(a, b) for a in (least, most) for b in (extents.lower, extents.upper)]
    cover = np.minimum.reduce(corners)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        largest = np.maximum(np.abs(least), np.abs(most))
        tangent = np.minimum(least * u, most * u)
        # the quotient first: a product of small numbers would underflow before a small D makes it large
        fall = 0.5 * largest * ((largest / D) * (1.0 + 8 * EPS) + TINY)
        curved = tangent - fall * (1.0 + 8 * EPS) - 4 * EPS * np.abs(tangent) - TINY
        cover = np.where(D > 0.0, np.fmax(cover, curved), cover)
        far = np.maximum(np.abs(extents.lower - u), np.abs(extents.upper - u))
        bent = cover + (D * far) * (0.5 * far) * (1.0 + 8 * EPS) - 4 * EPS * np.abs(cover) - TINY
        result: Array = np.where(D < 0.0, bent, cover)
    return result
