"""The Newton matrix and its steps for networks of at most one hidden layer, in compiled loops.

The equations are those of `interior.newton` and `interior.norms`, with units and norms eliminated.
"""

from __future__ import annotations

import numpy as np

from decision._minimise.compiled.conditions import ratio
from decision._minimise.compiled.loops import add_adjoint, compiled, factor, solve_factored, times
from decision._minimise.compiled.state import Common, PathPoint, Room
from socicnn._arrays import Array

FLAT, LEAST = 1e-15, 1e-154  # as in `interior.newton`: multipliers of softplus units count as no less


@compiled
def assemble(common: Common, price: Array, room: Room, at: PathPoint) -> bool:
    """Factor the Newton matrix at an iterate whose norms have been measured; return whether it is positive definite."""
    for i in range(common.units):
        if common.tau[i] > 0.0:
            least = FLAT * price[i] + LEAST
            room.soft[i], room.give[i] = room.width[i] / (at.lam[i] + least), room.width[i] / (at.kap[i] + least)
        else:
            room.soft[i], room.give[i] = at.p[i] / at.lam[i], at.z[i] / at.kap[i]
        room.steep[i] = 1.0 / (room.soft[i] + room.give[i])
        for j in range(len(at.x)):
            room.turned[i, j] = room.steep[i] * common.B[i, j]
    for r in range(len(common.first)):
        turn_rows(common, r, price[common.units + r] / room.sigma[r], room, at.u)
    np.dot(common.B.T, room.turned, room.M)
    for i in range(len(at.x)):
        for j in range(len(at.x)):
            room.M[i, j] += room.H[i, j]
    bounds = len(common.place)
    for i in range(bounds):
        room.M[common.place[i], common.place[i]] += common.sign[i] * common.sign[i] * at.y[i] / at.s[i]
    for k in range(len(common.G)):
        weight = at.y[bounds + k] / at.s[bounds + k]
        for i in range(len(at.x)):
            for j in range(len(at.x)):
                room.M[i, j] += weight * common.G[k, i] * common.G[k, j]
    if not factor(room.M):
        return False
    for i in range(len(common.E)):
        room.ME[i] = common.E[i]
        solve_factored(room.M, room.ME[i])
        times(common.E, room.ME[i], room.EME[i])
    return factor(room.EME)


@compiled
def turn_rows(common: Common, r: int, weight: float, room: Room, u: Array) -> None:
    """Write weight (I - (u q' + q u') / 2) C of one group, q = p / root."""
    start, stop, n = common.first[r], common.first[r] + common.size[r], common.B.shape[1]
    by_u, by_q = np.zeros(n), np.zeros(n)
    for i in range(start, stop):
        for j in range(n):
            by_u[j] += u[i - common.units] * common.B[i, j]
            by_q[j] += room.along[i - common.units] * common.B[i, j]
    for i in range(start, stop):
        half_u, half_q = 0.5 * u[i - common.units], 0.5 * room.along[i - common.units]
        for j in range(n):
            room.turned[i, j] = weight * (common.B[i, j] - half_u * by_q[j] - half_q * by_u[j])


@compiled
def direction(
    common: Common,
    price: Array,
    v: Array,
    mu: float,
    scale: float,
    goal: float,
    share: float,
    room: Room,
    at: PathPoint,
    step: PathPoint,
) -> None:
    """Overwrite a step by the one towards the products `goal`, less `share` of the products of its increments.

    Args:
        common: what contexts share.
        price: [w | gamma] of this context.
        v: its gradient at 0.
        mu: mean product of the iterate.
        scale: size of the pre-activations.
        goal: target of the products.
        share: 0 for a first step.
        room: holds the factorised matrix; `moved` holds B dx of the step that comes in.
        at: the iterate.
        step: a first step; overwritten.
    """
    aim(common, price, mu, scale, goal, share, room, at, step)
    np.dot(common.B.T, room.pull, room.right)
    np.dot(room.H, at.x, room.slope)
    for j in range(len(at.x)):
        room.right[j] = -(room.right[j] + room.slope[j] + v[j])
    bounds = len(common.place)
    for i in range(bounds):
        room.right[common.place[i]] -= common.sign[i] * (at.y[i] + room.raised[i])
    for i in range(bounds, len(at.s)):
        add_adjoint(common.G[i - bounds : i - bounds + 1], room.raised[i : i + 1] + at.y[i : i + 1], room.right, -1.0)
    solve_factored(room.M, room.right)
    if len(common.E):
        part = np.zeros(len(common.E))
        times(common.E, room.right, part)
        solve_factored(room.EME, part)
        add_adjoint(room.ME, part, room.right, -1.0)
    at_x = step.x
    for j in range(len(at.x)):
        at_x[j] = room.right[j]
    np.dot(common.B, step.x, room.moved)
    spread(common, goal, room, at, step)


@compiled
def aim(
    common: Common,
    price: Array,
    mu: float,
    scale: float,
    goal: float,
    share: float,
    room: Room,
    at: PathPoint,
    step: PathPoint,
) -> None:
    """Write what units, norms and inequalities add to the right-hand side."""
    for i in range(len(at.s)):
        room.raised[i] = (goal - share * step.s[i] * step.y[i]) / at.s[i] - at.y[i]
    for i in range(common.units):
        if common.tau[i] > 0.0:  # where they belong
            room.lift[i] = room.push[i] = room.rest[i] = 0.0
            room.pull[i] = at.lam[i]
            continue
        miss = (room.image[i] - at.z[i] + at.p[i]) / room.soft[i]
        up = (goal - share * step.p[i] * step.lam[i]) / at.p[i] - at.lam[i] + miss
        room.lift[i] = (goal - share * step.z[i] * step.kap[i]) / at.z[i] - at.kap[i]
        room.push[i] = up + room.lift[i] - (price[i] + mu / scale - at.lam[i] - at.kap[i])
        room.rest[i] = up - room.give[i] * room.steep[i] * room.push[i]
        room.pull[i] = at.lam[i] + room.rest[i]
    for r in range(len(common.first)):
        gamma, start = price[common.units + r], common.first[r]
        now, then = ratio(at.turn[0], gamma), ratio(goal, gamma)
        longer = -room.rate[r] * now
        for i in range(start, start + common.size[r]):
            longer += room.along[i - common.units] * room.moved[i]
        for i in range(start, start + common.size[r]):
            row = i - common.units
            turned = room.image[i] - room.rate[r] * (then - now) * at.u[row] - share * longer * step.u[row]
            room.target[row] = turned / room.sigma[r]
            room.pull[i] = gamma * room.target[row]


@compiled
def spread(common: Common, goal: float, room: Room, at: PathPoint, step: PathPoint) -> None:
    """Write the steps of everything but x, given B dx."""
    bounds = len(common.place)
    times(common.G, step.x, step.s[bounds:])
    for i in range(bounds):
        step.s[i] = common.sign[i] * step.x[common.place[i]]
    for i in range(len(at.s)):
        step.s[i] = -step.s[i]
        step.y[i] = room.raised[i] - at.y[i] / at.s[i] * step.s[i]
    for i in range(common.units):
        da, miss = room.moved[i], room.image[i] - at.z[i] + at.p[i]
        step.lam[i] = room.rest[i] + room.steep[i] * da
        step.z[i] = room.give[i] * room.steep[i] * (da + room.soft[i] * room.push[i])
        step.p[i] = step.z[i] - da - miss
        step.kap[i] = room.lift[i] - step.z[i] / room.give[i]
    for r in range(len(common.first)):
        start = common.first[r]
        longer = 0.0
        for i in range(start, start + common.size[r]):
            longer += room.along[i - common.units] * room.moved[i]
        for i in range(start, start + common.size[r]):
            row = i - common.units
            step.u[row] = (room.moved[i] - at.u[row] * longer) / room.sigma[r] + room.target[row] - at.u[row]
    step.turn[0] = goal - at.turn[0]
