"""Products, gap and norms of an iterate: the conditions of the interior-point method, in compiled loops."""

from __future__ import annotations

import numpy as np

from decision._minimise.compiled.loops import add_adjoint, compiled, times
from decision._minimise.compiled.state import Common, PathPoint, Room
from socicnn._arrays import Array


@compiled
def ratio(mu: float, gamma: float) -> float:
    """Return m = mu / gamma; a norm without weight has no path, and any m will do."""
    return min(mu / max(gamma, 1e-300), 1e6)


@compiled
def begin(common: Common, price: Array, mu: float, scale: float, room: Room, at: PathPoint) -> None:
    """Put s, y, the units and the norms on the central path at mu, given x and its images."""
    slacks(common, at.x, at.s)
    for i in range(len(at.s)):
        at.y[i] = mu / at.s[i]
    for i in range(common.units):
        box = price[i] + mu / scale
        width, a = mu / box, room.image[i]
        root = np.sqrt(a * a + 4.0 * width * width) + abs(a)
        large, small = width + 0.5 * root, width + 2.0 * width * width / root
        at.z[i], at.p[i] = (large, small) if a > 0 else (small, large)
        at.lam[i] = box * at.z[i] / (at.z[i] + at.p[i])
        at.kap[i] = box * at.p[i] / (at.z[i] + at.p[i])
    at.turn[0] = mu
    for r in range(len(common.first)):
        start = common.first[r]
        square = 0.0
        for i in range(start, start + common.size[r]):
            square += room.image[i] * room.image[i]
        half = 0.5 * ratio(mu, price[common.units + r])
        for i in range(start, start + common.size[r]):
            at.u[i - common.units] = room.image[i] / (half + np.sqrt(half * half + square))


@compiled
def slacks(common: Common, x: Array, out: Array) -> None:
    """Write h - G x."""
    bounds = len(common.place)
    times(common.G, x, out[bounds:])
    for i in range(bounds):
        out[i] = common.sign[i] * x[common.place[i]]
    for i in range(len(out)):
        out[i] = common.h[i] - out[i]


@compiled
def products(
    common: Common, price: Array, room: Room, at: PathPoint, step: PathPoint, primal: float, dual: float
) -> float:
    """Return the sum of all products after a step of these lengths; `room.moved` holds B dx."""
    total = 0.0
    for i in range(len(at.s)):
        total += (at.s[i] + primal * step.s[i]) * (at.y[i] + dual * step.y[i])
    for i in range(common.units):
        total += (at.p[i] + primal * step.p[i]) * (at.lam[i] + dual * step.lam[i])
        total += (at.z[i] + primal * step.z[i]) * (at.kap[i] + dual * step.kap[i])
    turn = at.turn[0] + primal * step.turn[0]
    for r in range(len(common.first)):
        start = common.first[r]
        square, length, inner = 0.0, 0.0, 0.0
        for i in range(start, start + common.size[r]):
            p = room.image[i] + primal * room.moved[i]
            u = at.u[i - common.units] + dual * step.u[i - common.units]
            square, length, inner = square + p * p, length + u * u, inner + u * p
        gamma = price[common.units + r]
        half = 0.5 * ratio(turn, gamma)
        total += gamma * (half + np.sqrt(half * half + square) - inner / max(np.sqrt(length), 1.0))
    return total


@compiled
def value_and_gap(common: Common, price: Array, v: Array, room: Room, at: PathPoint) -> tuple[float, float]:
    """Return f(x) without its constant, and an upper bound of f(x) - min f, in plain float64.

    The multipliers, cut into their boxes, give a minorant of f with gradient g; what g + G'y + E'nu leaves counts with
    the width of the set: g'(x - x') <= y's + |g + G'y + E'nu|'width over x' in X.
    """
    value, slack = 0.0, 0.0
    np.dot(room.H, at.x, room.slope)
    for j in range(len(at.x)):
        value += at.x[j] * (v[j] + 0.5 * room.slope[j])
        room.slope[j] += v[j]
    for i in range(common.units):
        a, lam = room.image[i], min(at.lam[i], price[i])
        room.pull[i] = lam
        value += price[i] * max(a, 0.0)
        slack += price[i] * max(a, 0.0) - lam * a
    for r in range(len(common.first)):
        start, gamma = common.first[r], price[common.units + r]
        square, inner = 0.0, 0.0
        for i in range(start, start + common.size[r]):
            p, u = room.image[i], at.u[i - common.units]
            square, inner = square + p * p, inner + u * p
            room.pull[i] = gamma * u
        value += gamma * np.sqrt(square)
        slack += gamma * (np.sqrt(square) - inner)
    np.dot(common.B.T, room.pull, room.right)
    bounds = len(common.place)
    for i in range(len(at.s)):
        slack += at.y[i] * at.s[i]
    for j in range(len(at.x)):
        room.right[j] += room.slope[j]
    for i in range(bounds):
        room.right[common.place[i]] += common.sign[i] * at.y[i]
    add_adjoint(common.G, at.y[bounds:], room.right, 1.0)
    remove(common.E, room.right)
    for j in range(len(at.x)):
        slack += abs(room.right[j]) * common.width[j]
    return value, slack


@compiled
def remove(E: Array, r: Array) -> None:
    """Take the part of r in the rows of E, which are orthonormal, off r."""
    for i in range(len(E)):
        part = np.zeros(1)
        times(E[i : i + 1], r, part)
        add_adjoint(E[i : i + 1], part, r, -1.0)


@compiled
def lengths(common: Common, price: Array, room: Room, at: PathPoint) -> float:
    """Write sigma, root, rate and p / root of each norm; return how far the worst u is from p / sigma."""
    worst = 0.0
    for r in range(len(common.first)):
        start = common.first[r]
        square = 0.0
        for i in range(start, start + common.size[r]):
            square += room.image[i] * room.image[i]
        half = 0.5 * ratio(at.turn[0], price[common.units + r])
        root = max(np.sqrt(half * half + square), 1e-300)
        room.root[r], room.sigma[r], room.rate[r] = root, half + root, 0.5 * (1.0 + half / root)
        miss = 0.0
        for i in range(start, start + common.size[r]):
            row = i - common.units
            room.along[row] = room.image[i] / root
            miss += (at.u[row] - room.image[i] / room.sigma[r]) ** 2
        worst = max(worst, np.sqrt(miss))
    return worst
