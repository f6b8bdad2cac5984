"""Products, gap and norms of an iterate: the conditions of the interior-point method, in compiled loops."""

from __future__ import annotations

import numpy as np

from decision._minimise.compiled.loops import add, add_adjoint, compiled, softplus, times
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
    for i in range(common.units):  # softplus units are put there by `settle`
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
def settle(common: Common, price: Array, mu: float, scale: float, room: Room, at: PathPoint) -> None:
    """Put softplus units where they belong, as `interior.start.settled` does, given their images."""
    for i in range(common.units):
        tau = common.tau[i]
        if tau > 0.0:
            a, width = room.image[i], max(tau, mu / (price[i] + mu / scale))
            t = abs(a) / width
            e = np.exp(-t)
            bend, large, small = np.log1p(e), 1.0 / (1.0 + e), e / (1.0 + e)
            at.z[i], at.p[i] = max(a, 0.0) + width * bend, max(-a, 0.0) + width * bend
            at.lam[i], at.kap[i] = price[i] * (large if a > 0.0 else small), price[i] * (small if a > 0.0 else large)
            room.width[i], room.entropy[i] = width, tau * (bend + t * small)
            room.height[i] = at.z[i] if width == tau else softplus(a, tau)


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
        if common.tau[i] == 0.0:
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

    The multipliers, cut into their boxes, give a minorant of f with gradient g. With the bounds lower <= x' <= upper of
    the set and the multipliers y of its other inequalities, r = g + G'y + E'nu gives, for any nu,
    g'(x - x') <= y's + sum_j max(r_j (x_j - lower_j), r_j (x_j - upper_j)) over x' in X.
    """
    value, slack = 0.0, 0.0
    np.dot(room.H, at.x, room.slope)
    for j in range(len(at.x)):
        value += at.x[j] * (v[j] + 0.5 * room.slope[j])
        room.slope[j] += v[j]
    for i in range(common.units):
        a, lam = room.image[i], min(at.lam[i], price[i])
        height, entropy = (room.height[i], room.entropy[i]) if common.tau[i] > 0.0 else (max(a, 0.0), 0.0)
        room.pull[i] = lam
        value += price[i] * height
        slack += price[i] * (height - entropy) - lam * a
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
    for i in range(bounds, len(at.s)):
        slack += at.y[i] * at.s[i]
    add_adjoint(common.G, at.y[bounds:], room.right, 1.0)
    for j in range(len(at.x)):
        room.right[j] += room.slope[j]
        room.slope[j] = room.right[j]
        room.down[j], room.up[j] = max(at.x[j] - common.lower[j], 0.0), max(common.upper[j] - at.x[j], 0.0)
    for i in range(bounds):
        room.slope[common.place[i]] += common.sign[i] * at.y[i]
    for k in range(len(common.E)):
        add(room.right, common.E[k], -np.dot(common.E[k], room.slope))
    for k in range(len(common.E)):
        add(room.right, common.E[k], balance(common.E[k], room))
    for j in range(len(at.x)):
        slack += max(room.right[j] * room.down[j], -room.right[j] * room.up[j])
    return value, slack


@compiled
def balance(e: Array, room: Room) -> float:
    """Return the nu at which sum_j max(r_j down_j, -r_j up_j) of r = right + nu e is least: a weighted median."""
    nu, weight, slope = np.zeros(len(e)), np.zeros(len(e)), 0.0
    for j in range(len(e)):
        if e[j] != 0.0:
            nu[j], weight[j] = -room.right[j] / e[j], abs(e[j]) * (room.down[j] + room.up[j])
            slope -= abs(e[j]) * (room.up[j] if e[j] > 0.0 else room.down[j])
    for j in np.argsort(nu):
        slope += weight[j]
        if weight[j] > 0.0 and slope >= 0.0:
            return nu[j]
    return 0.0


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
