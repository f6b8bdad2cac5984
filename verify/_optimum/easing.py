"""A short way into the cones: points on their surface have no slack, which a direction by linear algebra gives.

The direction keeps the equations and leads every active cone inwards at the rate of its size. It is far cheaper than a
point deep in the interior, which takes a solver.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray
from socicnn._margins import TINY
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from verify._optimum import bends
from verify._optimum.lengths import most_of, norms, spread
from verify._optimum.multipliers import NOISE, SoftEquations, normals

NEAR = 1e-6  # of a cone's size: the slack of an active cone
CLOSE = 1e-4  # the same of exponential cones, of which solvers know less
FAINT = 1e-7  # of the largest multiplier: cones with less are at their apex
SETTLED = 1e-8  # of the largest multiplier: what the steps inwards remove themselves
STEPS = 4  # of Newton's method with one factorisation
SHARES = (1e-12, 1e-10, 1e-8)  # of a cone's size: the slack that is tried


def eased_points(rows: Rows, v: Array, tight: BoolArray) -> Iterator[Array]:
    """Yield points next to v with slack in the cones, on the equalities and tight inequalities as far as floats can.

    Args:
        rows: the set.
        v: a point, shape `(variables,)`.
        tight: the inequalities that hold with equality, shape `(rows,)`.
    """
    cones, G = rows.cones, rows.G
    if not (cones.second_order or cones.exponential):
        return
    s, terms = rows.h - G @ v, rows.absolute @ np.abs(v) + np.abs(rows.h)
    size = most_of(cones, terms)
    active = s[cones.heads] - norms(cones, s) <= NEAR * size
    part = bends.triples(cones, s)
    room = bends.size(part, bends.triples(cones, terms))
    bent = (bends.slack(part) <= CLOSE * room) & (part[:, 1] > 0.0)
    if not (active.any() or bent.any()):
        return
    D, _, edge = normals(rows, v, tight, active)
    flat, D = D.shape[1], sparse.hstack([D, bends.rows_of(cones, bent, bends.slope(part)).T], format="csc")
    scale = float(np.abs(v).max(initial=0.0)) or 1.0
    held = tight.copy()
    held[: cones.zero] = True
    soft = SoftEquations.of(sparse.csr_array(D.T @ G), np.maximum(np.abs(v), 1e-3 * scale))
    if soft is None:
        return
    for share in SHARES:
        wanted, point = np.zeros(cones.rows), v
        wanted[cones.heads] = np.where(active, share * size, 0.0)
        for _ in range(STEPS):
            s = rows.h - G @ point
            right = D.T @ (s - wanted)
            right[flat - int(edge.sum()) : flat] = (s[cones.heads] - norms(cones, s) - share * size)[edge]
            right[flat:] = (bends.slack(bends.triples(cones, s)) - share * room)[bent]
            point = point + soft.step(right)
        s = rows.h - G @ point
        lack = s[cones.heads] - norms(cones, s) < 0.25 * share * size
        short = bends.slack(bends.triples(cones, s)) < 0.25 * share * room
        missed = np.abs(s) > 0.1 * share * np.maximum(terms, 1e-3 * scale)
        if np.isfinite(point).all() and not (missed[held].any() or lack[active].any() or short[bent].any()):
            yield point  # if something is missed, there is no way inwards


def eased_multipliers(rows: Rows, slope: Array, v: Array, y: Array) -> Iterator[Array]:
    """Yield multipliers next to y, inside the dual cones, with A'y = -slope as far as floats can.

    Multipliers that are 0 become slightly positive, too: otherwise the others may be unable to move.

    Args:
        rows: the set.
        slope: the slope of the cost, shape `(variables,)`.
        v: a point next to the optimum, shape `(variables,)`.
        y: multipliers, shape `(rows,)`.
    """
    cones, cut = rows.cones, rows.cones.zero + rows.cones.nonnegative
    most = float(np.abs(y).max(initial=0.0))
    size = most_of(cones, np.abs(y))
    idle = np.abs(y) <= NOISE * most
    idle[: cones.zero] = False
    s = rows.h - rows.G @ v
    terms = most_of(cones, rows.absolute @ np.abs(v) + np.abs(rows.h))
    terms = np.maximum(terms, 1e-6 * terms.max(initial=0.0)) + TINY
    share = (s[cones.heads] - norms(cones, s)) / terms
    resting = size <= most * np.maximum(FAINT, share)  # cones whose slack says more than their multipliers
    idle[cut : cones.exponential_start] = spread(cones, resting)
    part = bends.triples(cones, s)
    share = bends.slack(part) / (
        bends.size(part, bends.triples(cones, rows.absolute @ np.abs(v) + np.abs(rows.h))) + TINY
    )
    calm: BoolArray = np.abs(bends.triples(cones, y)).max(axis=1) <= most * np.maximum(FAINT, share)
    idle[cones.exponential_start :] = np.repeat(calm, 3)
    y = np.append(y[: cones.exponential_start], bends.closed(part, bends.triples(cones, y), ~calm))
    y, usual = np.where(idle, 0.0, y), np.abs(y[~idle & (y != 0.0)])
    typical = float(np.median(usual)) if len(usual) else 0.0
    if not typical > 0.0:
        return
    y = _settled(rows, slope, y, ~idle)
    length = norms(cones, y)
    active = y[cones.heads] - length <= NEAR * size  # idle cones, too
    planes, room = np.flatnonzero(idle[:cut]), np.where(resting, 8.0 * typical, size)[active]
    single = sparse.csr_array((np.ones(len(planes)), (np.arange(len(planes)), planes)), shape=(len(planes), len(y)))
    bends_in, own = bends.rows_of(cones, ~calm, bends.dual_slope(bends.triples(cones, y))), _own(cones, y)
    blocks = [rows.transposed, single, _inward(cones, y, length, active), bends_in]
    scale = np.maximum(np.abs(y), 1e-3 * typical)
    scale[cut : cones.exponential_start] = np.maximum(scale[cut : cones.exponential_start], spread(cones, size))
    scale[cones.exponential_start :] = own
    moving = np.flatnonzero(scale > 0.0)  # all but exponential cones at 0
    soft = SoftEquations.of(sparse.csr_array(sparse.vstack(blocks, format="csr")[:, moving]), scale[moving])
    if soft is None:
        return
    for step in (10 * share for share in SHARES[:2]):
        point = y.copy()
        for _ in range(2):
            slack = (point[cones.heads] - norms(cones, point))[active]
            left = [-slope - blocks[0] @ point, step * typical - point[planes], step * room - slack]
            left.append((step * own[1::3] - bends.dual_slack(bends.triples(cones, point)))[~calm])
            point[moving] += soft.step(np.concatenate(left))
        if np.isfinite(point).all():
            yield point


def _settled(rows: Rows, slope: Array, y: Array, used: BoolArray) -> Array:
    """Return y, of which only the used entries move, with A'y = -slope and active cones on their surface."""
    cones = rows.cones
    size = most_of(cones, np.abs(y))
    active = (size > 0.0) & (np.abs(y[cones.heads] - norms(cones, y)) <= NEAR * size)
    columns, transposed = np.flatnonzero(used), rows.transposed
    scale = np.abs(y)
    scale[cones.zero + cones.nonnegative : cones.exponential_start] = spread(cones, size)
    scale = np.maximum(scale, 1e-6 * float(scale.max()))
    scale[cones.exponential_start :] = _own(cones, y)
    largest, scale = float(scale.max()), scale[columns]
    bent = np.asarray(bends.triples(cones, y).any(axis=1), dtype=bool)
    point, best, least = y.copy(), y, np.inf
    for _ in range(STEPS):
        length = norms(cones, point)
        slack = (point[cones.heads] - length)[active]
        part = bends.triples(cones, point)
        left = np.concatenate([-slope - transposed @ point, -slack, -bends.dual_slack(part)[bent]])
        missed = float(np.abs(left).max(initial=0.0))
        if not missed < 0.5 * least:
            break
        best, least = point, missed
        if missed <= SETTLED * largest:
            break
        inward = bends.rows_of(cones, bent, bends.dual_slope(part))
        blocks = [transposed, _inward(cones, point, length, active), inward]
        soft = SoftEquations.of(sparse.csr_array(sparse.vstack(blocks, format="csr")[:, columns]), scale)
        if soft is None:
            break
        point = point.copy()
        point[columns] += soft.step(left)
    return best


def _own(cones: Cones, y: Array) -> Array:
    """Return sizes of the multipliers of exponential cones, entry by entry; 0 of cones at 0."""
    part = np.abs(bends.triples(cones, y))
    part[:, 1] = np.maximum(part[:, 0], part[:, 1])
    return part.reshape(-1)


def _inward(cones: Cones, y: Array, length: Array, active: BoolArray) -> sparse.csr_array:
    """Return (1, -u / ||u||) of the active cones of (y_0, u), as rows; (1, 0) if u is 0."""
    cut = cones.zero + cones.nonnegative
    inward = -y[cut : cones.exponential_start] / spread(cones, np.where(length > 0.0, length, 1.0))
    inward[cones.heads - cut] = 1.0
    at = np.flatnonzero(spread(cones, active))
    number = spread(cones, np.cumsum(active) - 1)[at]
    return sparse.csr_array((inward[at], (number, cut + at)), shape=(int(active.sum()), cones.rows))
