"""Newton's method on the faces of decisions, and their adjoint systems: the loops of `polish` and `adjoint`."""

from __future__ import annotations

import numpy as np

from decision._layer.compiled.state import ContextArrays, FaceArrays, FacePoint, FaceRoom
from decision._layer.compiled.system import factorised, length_of, solve
from decision._layer.face import EXACT, ROUGH, SLACK, SMALL
from decision._layer.rows import ROUNDING
from decision._minimise.compiled.loops import compiled
from socicnn._arrays import Array, BoolArray


@compiled
def row_of(batch: ContextArrays, i: int) -> ContextArrays:
    """Return one context of a batch."""
    return ContextArrays(
        batch.offset[i], batch.price[i], batch.beta[i], batch.v[i], batch.h[i], batch.scale[i], batch.size[i]
    )


@compiled
def polish(
    shared: FaceArrays, batch: ContextArrays, x: Array, rounds: int, done: BoolArray, at: FacePoint, room: FaceRoom
) -> None:
    """Overwrite points by the stationary points near them, and `done` by which contexts have one."""
    for i in range(len(x)):
        at.x[:] = x[i]
        done[i] = polished(shared, row_of(batch, i), rounds, at, room)
        if done[i]:
            x[i] = at.x


@compiled
def polished(shared: FaceArrays, own: ContextArrays, rounds: int, at: FacePoint, room: FaceRoom) -> bool:
    """Move `at.x` to the stationary point of its face; return whether there is one."""
    moved(shared, own, at)
    placed(shared, own, at, ROUGH)
    at.mu[:], at.y[:] = 0.0, 0.0
    small = False
    for turn in range(rounds):
        if turn and revised(shared, own, at) and small:
            return True
        if not factorised(shared, own, at, room):
            return False
        gradient(shared, own, at, room)
        for j in range(len(at.x)):
            room.gradient[j] = -room.gradient[j]
        solve(shared, own, at, room.gradient, 1.0, room)
        step = 0.0
        for j in range(len(at.x)):
            at.x[j] += room.dx[j]
            step = max(step, abs(room.dx[j]))
            if not np.isfinite(room.dx[j]):
                return False
        for k in range(len(at.mu)):
            at.mu[k] += room.dmu[k]
        for j in range(len(at.y)):
            at.y[j] += room.dy[j]
        small = step <= SMALL * own.size[0]
        moved(shared, own, at)
    return False


@compiled
def adjoin(
    shared: FaceArrays,
    batch: ContextArrays,
    x: Array,
    slope: Array,
    tolerance: Array,
    answers: tuple[Array, Array, Array, Array, Array],
    done: BoolArray,
    at: FacePoint,
    room: FaceRoom,
) -> None:
    """Write mu, y, u and the adjoint's multipliers of kinks and constraints of each context whose system is regular."""
    mu, y, u, nu, eta = answers
    for i in range(len(x)):
        own = row_of(batch, i)
        at.x[:] = x[i]
        moved(shared, own, at)
        placed(shared, own, at, tolerance[i])
        at.mu[:], at.y[:] = 0.0, 0.0
        done[i] = factorised(shared, own, at, room)
        if done[i]:
            gradient(shared, own, at, room)
            for j in range(len(at.x)):
                room.gradient[j] = -room.gradient[j]
            solve(shared, own, at, room.gradient, 0.0, room)
            mu[i], y[i] = room.dmu, room.dy
            solve(shared, own, at, slope[i], 0.0, room)
            u[i], nu[i], eta[i] = room.dx, room.dmu, room.dy


@compiled
def moved(shared: FaceArrays, own: ContextArrays, at: FacePoint) -> None:
    """Write p and c at x."""
    for k in range(len(at.p)):
        total = own.offset[k]
        for j in range(len(at.x)):
            total += shared.B[k, j] * at.x[j]
        at.p[k] = total
    for i in range(len(at.c)):
        total = 0.0
        for j in range(len(at.x)):
            total += shared.G[i, j] * at.x[j]
        at.c[i] = total - own.h[i]


@compiled
def placed(shared: FaceArrays, own: ContextArrays, at: FacePoint, tolerance: float) -> None:
    """Write the face that x lies on: what is nearer than the tolerance is held."""
    for k in range(shared.units):
        at.on[k] = at.p[k] > 0.0
        at.held[k] = abs(at.p[k]) <= tolerance * own.scale[k]
    for r in range(len(shared.first)):
        at.held[shared.units + r] = length_of(shared, r, at.p) <= tolerance * own.scale[shared.units + r]
    for j in range(len(at.c)):
        at.tied[j] = j < shared.zero or at.c[j] >= -reach(shared, own, j, tolerance)


@compiled
def reach(shared: FaceArrays, own: ContextArrays, j: int, tolerance: float) -> float:
    """Return by how much a constraint changes over a distance relative to the set's size, and by rounding."""
    return float(shared.length[j] * tolerance * own.size[0] + ROUNDING * abs(own.h[j]))


@compiled
def gradient(shared: FaceArrays, own: ContextArrays, at: FacePoint, room: FaceRoom) -> None:
    """Write the gradient of f + mu'r + y'c to `room.gradient`."""
    n, out, pull = len(at.x), room.gradient, room.pull
    for k in range(shared.units):
        pull[k] = at.mu[k] + (own.price[k] if at.on[k] and not at.held[k] else 0.0)
    for r in range(len(shared.first)):
        length = length_of(shared, r, at.p)
        zero = at.held[shared.units + r] or length == 0.0
        weight = 0.0 if zero else own.price[shared.units + r] / length
        for k in range(shared.first[r], shared.first[r] + shared.size[r]):
            pull[k] = at.mu[k] + weight * at.p[k]
    for i in range(n):
        total = own.v[i]
        for q in range(len(own.beta)):
            inner = 0.0
            for j in range(n):
                inner += shared.grams[q, i * n + j] * at.x[j]
            total += 2.0 * own.beta[q] * inner
        out[i] = total
    for k in range(len(pull)):
        for j in range(n):
            out[j] += pull[k] * shared.B[k, j]
    for i in range(len(at.y)):
        for j in range(n):
            out[j] += at.y[i] * shared.G[i, j]


@compiled
def revised(shared: FaceArrays, own: ContextArrays, at: FacePoint) -> bool:
    """Hold what x has crossed, let go what has a wrong multiplier; return whether nothing has changed."""
    same, most = True, 0.0
    for k in range(shared.units):
        most = max(most, abs(own.price[k]))
    for k in range(shared.units):
        price = abs(own.price[k])
        if at.held[k]:
            held = -SLACK * most <= at.mu[k] <= price + SLACK * most
            at.on[k] = at.mu[k] > 0.5 * price
        else:
            held = (at.p[k] > 0.0) != at.on[k] and abs(at.p[k]) > EXACT * own.scale[k]
        same = same and held == at.held[k]
        at.held[k] = held
        if not at.held[k]:
            at.mu[k] = 0.0
    most = 0.0
    for r in range(len(shared.first)):
        most = max(most, abs(own.price[shared.units + r]))
    for r in range(len(shared.first)):
        k = shared.units + r
        if at.held[k] and not length_of(shared, r, at.mu) <= abs(own.price[k]) + SLACK * most:
            at.held[k], same = False, False
        if not at.held[k]:
            at.mu[shared.first[r] : shared.first[r] + shared.size[r]] = 0.0
    most = 0.0
    for j in range(len(at.y)):
        most = max(most, abs(at.y[j]))
    for j in range(len(at.y)):
        tied = at.y[j] >= -SLACK * most if at.tied[j] else at.c[j] > reach(shared, own, j, EXACT)
        tied = tied or j < shared.zero
        same = same and tied == at.tied[j]
        at.tied[j] = tied
        if not tied:
            at.y[j] = 0.0
    return same
