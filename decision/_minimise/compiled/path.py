"""One context after the other along its central path, in compiled loops; nothing that comes out is trusted.

The method is that of `interior.path`: Mehrotra's predictor and corrector with every unit kept.
"""

from __future__ import annotations

import numpy as np

from decision._minimise.compiled.conditions import begin, lengths, products, settle, value_and_gap
from decision._minimise.compiled.loops import add, compiled
from decision._minimise.compiled.state import Common, PathPoint, Room, Vectors
from decision._minimise.compiled.step import assemble, direction
from socicnn._arrays import Array, IntArray

STEP = 0.99  # share of the way to the boundary
BEYOND = 2.0  # widths that a softplus unit may pass its bend by in one step
MISS, HOLD = 0.05, 0.3  # as in `interior.path`
CAUTION = 0.005


@compiled
def follow(
    common: Common,
    vectors: Vectors,
    x: Array,
    rtol: float,
    limit: int,
    best_at: PathPoint,
    counts: IntArray,
    room: Room,
    at: PathPoint,
    step: PathPoint,
) -> None:
    """Follow the path of each context from x, and write its best x, lambda and u into rows of `best_at`.

    Args:
        common: what contexts share.
        vectors: of each context.
        x: interior points to start from, one or one per context, shape `(1 or contexts, n)`.
        rtol: relative gap at which to stop.
        limit: iterations of a context at most.
        best_at: its x, lam and u are overwritten, one row per context.
        counts: iterations of each context; overwritten.
        room: room.
        at: room.
        step: room.
    """
    for i in range(len(counts)):
        at.x[:] = x[min(i, len(x) - 1)]
        np.dot(vectors.beta[i], common.grams, room.flat)
        for j in range(len(at.x)):
            for k in range(len(at.x)):
                room.H[j, k] = 2.0 * room.flat[j * len(at.x) + k]
        counts[i] = walk(common, vectors, i, rtol, limit, best_at, room, at, step)


@compiled
def walk(
    common: Common,
    vectors: Vectors,
    i: int,
    rtol: float,
    limit: int,
    best_at: PathPoint,
    room: Room,
    at: PathPoint,
    step: PathPoint,
) -> int:
    """Follow the path of context i from `at.x`; return its iterations."""
    offset, price, v = vectors.offset[i], vectors.price[i], vectors.v[i]
    images(common, offset, room, at)
    scale = size(room.image[: common.units])
    begin(common, price, vectors.mu[i], scale, room, at)
    total = products(common, price, room, at, step, 0.0, 0.0)
    pairs = max(len(at.s) + 2 * int(np.count_nonzero(common.tau == 0.0)) + len(common.first), 1)
    settle(common, price, total / pairs, scale, room, at)
    best, least, short = np.inf, total, 0
    for iteration in range(limit + 1):
        value, gap = value_and_gap(common, price, v, room, at)
        if gap < best:
            best = gap
            best_at.x[i], best_at.lam[i], best_at.u[i] = at.x, room.pull[: common.units], at.u
        allowed = rtol * min(max(vectors.most[i] - value - vectors.constant[i], 0.0), vectors.large[i])
        lost = short >= 3 or not total <= 100.0 * (least + gap)
        if best <= max(allowed, vectors.floor[i]) or lost or iteration == limit:
            break
        mu = total / pairs
        miss = lengths(common, price, room, at)
        if not assemble(common, price, room, at):
            break
        direction(common, price, v, mu, scale, 0.0, 0.0, room, at, step)
        primal, dual = reach(common, room, at, step)
        after = products(common, price, room, at, step, primal, dual)
        goal = max(min(max(after / total, 0.0), 1.0) ** 3 * mu, CAUTION * gap / pairs)
        if miss > MISS:
            goal = max(goal, HOLD * mu)
        direction(common, price, v, mu, scale, goal, primal * dual, room, at, step)
        length = STEP * min(reach(common, room, at, step))
        move(common, length, at, step)
        images(common, offset, room, at)
        total = products(common, price, room, at, step, 0.0, 0.0)
        settle(common, price, total / pairs, scale, room, at)
        least, short = min(least, total), short + 1 if length < 1e-2 else 0
    return iteration


@compiled
def images(common: Common, offset: Array, room: Room, at: PathPoint) -> None:
    """Write B x + offset."""
    np.dot(common.B, at.x, room.image)
    for k in range(len(offset)):
        room.image[k] += offset[k]


@compiled
def size(a: Array) -> float:
    """Return the mean of |a|, 1 if that is zero."""
    total = 0.0
    for entry in a:
        total += abs(entry)
    return total / len(a) if total > 0.0 else 1.0


@compiled
def reach(common: Common, room: Room, at: PathPoint, step: PathPoint) -> tuple[float, float]:
    """Return the largest primal and dual steps, at most 1, that keep every inequality, and softplus units near."""
    primal = 1.0
    dual = 1.0
    for i in range(len(at.s)):
        primal = max(primal, -step.s[i] / at.s[i])
        dual = max(dual, -step.y[i] / at.y[i])
    for i in range(common.units):
        if common.tau[i] == 0.0:
            primal = max(primal, -step.z[i] / at.z[i], -step.p[i] / at.p[i])
            dual = max(dual, -step.lam[i] / at.lam[i], -step.kap[i] / at.kap[i])
        elif room.image[i] * room.moved[i] < 0.0:
            primal = max(primal, abs(room.moved[i]) / (abs(room.image[i]) + BEYOND * room.width[i]))
    return 1.0 / primal, 1.0 / dual


@compiled
def move(common: Common, length: float, at: PathPoint, step: PathPoint) -> None:
    """Take a step, and cut u back into the unit ball."""
    add(at.x, step.x, length)
    add(at.s, step.s, length)
    add(at.y, step.y, length)
    add(at.z, step.z, length)
    add(at.p, step.p, length)
    add(at.lam, step.lam, length)
    add(at.kap, step.kap, length)
    add(at.u, step.u, length)
    add(at.turn, step.turn, length)
    for r in range(len(common.first)):
        start = common.first[r] - common.units
        square = 0.0
        for i in range(start, start + common.size[r]):
            square += at.u[i] * at.u[i]
        if square > 1.0:
            for i in range(start, start + common.size[r]):
                at.u[i] /= np.sqrt(square)
