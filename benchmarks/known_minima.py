"""Random constrained problems whose minimum is known exactly, by their optimality conditions.

All data are small integers times powers of two, so that floats hold them exactly. A point x is drawn, then rows of a
set with multipliers y in K*, complementary to the slacks at x, and terms of a cost with a subgradient g at x each; the
linear term is -(G'y + sum of g). The problem is convex, so x is a minimiser and the minimum is f(x), a rational.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from benchmarks.known_sets import AnySet, known_set
from decision.sets import Box, Simplex
from socicnn._arrays import Array
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic

Draw = np.random.Generator
SCALES = (1.0, 1.0, 2.0**20, 2.0**-20)  # of x and of f: 1, 10^6 and 10^-6, about


@dataclass
class Problem:
    """A problem min f(x) over a set, and its minimum.

    Args:
        net: the cost f.
        feasible_set: one of `decision.sets`, or CVXPY constraints.
        minimum: the exact minimum.
        kind: what was drawn, for reports.
        context: contexts that the set moves with; the minimum is that of the first.
    """

    net: FrozenNet
    feasible_set: AnySet | list[Any]
    minimum: Fraction
    kind: str
    context: Array | None = None


@dataclass
class Terms:
    """The parts of a cost drawn so far: f at the minimiser without its linear term, and a subgradient there."""

    gradient: Array
    value: Fraction = Fraction(0)
    layers: list[Layer] = field(default_factory=list)
    w: Array = field(default_factory=lambda: np.zeros(0))
    quadratics: list[Quadratic] = field(default_factory=list)
    norms: list[Norm] = field(default_factory=list)


def problem(draw: Draw, largest: int = 50) -> Problem:
    """Draw one problem of 1 to `largest` inputs."""
    n = int(np.clip(np.round(np.exp(draw.uniform(0.0, np.log(largest + 0.49)))), 1, largest))
    scale, height = draw.choice(SCALES, size=2)
    x = draw.integers(-3, 4, size=n).astype(np.float64)
    weak = 1.0
    if draw.random() < 0.4:  # a minimiser far out, along directions where the cost hardly falls
        x *= draw.choice([1.0, 2.0**10, 2.0**20], size=n)
        weak = float(draw.choice([1.0, 2.0**-20, 2.0**-30]))
    kind = str(draw.choice(["cvxpy", "cvxpy", "cvxpy", "box", "simplex", "set", "set", "set"]))
    feasible_set: AnySet | list[Any]
    context: Array | None = None
    if kind == "box":
        feasible_set, push = _box(draw, x, scale)
    elif kind == "simplex":
        x, push = _simplex(draw, n)
        feasible_set, scale = Simplex(n), 1.0
    elif kind == "set":
        feasible_set, push, context, kind = known_set(draw, x, scale)
    else:
        feasible_set, push, kind = _rows(draw, x, scale)
    terms = _cost(draw, x)
    return Problem(*_assembled(draw, terms, x, weak * push, scale, height, feasible_set), kind, context)


def _cost(draw: Draw, x: Array) -> Terms:
    """Draw relu units, quadratics and norms, flat in some directions, or none of them."""
    n = len(x)
    terms = Terms(np.zeros(n))
    seen = (draw.random(n) < draw.choice([0.5, 1.0])).astype(np.float64)  # the others are flat

    def matrix(rows: int) -> Array:
        return draw.integers(-2, 3, size=(rows, n)) * seen

    if draw.random() < 0.6:
        rows = int(draw.integers(1, 8))
        U, w = matrix(rows), draw.integers(0, 4, size=rows).astype(np.float64)
        a = draw.integers(-2, 3, size=rows).astype(np.float64)
        share = np.where(a > 0, 1.0, np.where(a < 0, 0.0, draw.choice([0.0, 0.5, 1.0], size=rows)))
        terms.layers, terms.w = [Layer(None, U, a - U @ x)], w
        terms.gradient += (w * share) @ U
        terms.value += Fraction(float(w @ np.maximum(a, 0.0)))
    if draw.random() < 0.7:
        rows = int(draw.integers(1, n + 1))
        A, p, beta = matrix(rows), draw.integers(-2, 3, size=rows), float(draw.choice([0.25, 1.0, 2.0]))
        if draw.random() < 0.5:
            A, p = np.diag(seen), draw.integers(-2, 3, size=n)
        terms.quadratics = [Quadratic(beta, A, p - A @ x)]
        terms.gradient += 2.0 * beta * (p @ A)
        terms.value += Fraction(beta) * int(p @ p)
    for _ in range(int(draw.integers(0, 3)) if draw.random() < 0.8 else int(draw.integers(3, 18))):
        rows = int(draw.integers(1, 4))
        C, gamma = matrix(rows), float(draw.choice([0.5, 1.0, 3.0]))
        unit = np.zeros(rows)
        unit[draw.integers(rows)] = draw.choice([-1.0, 1.0])
        length = float(draw.integers(0, 3))
        share = 1.0 if length else float(draw.choice([0.0, 0.5, 1.0]))
        terms.norms.append(Norm(gamma, C, length * unit - C @ x))
        terms.gradient += gamma * share * (unit @ C)
        terms.value += Fraction(gamma * length)
    return terms


def _assembled(
    draw: Draw, terms: Terms, x: Array, push: Array, scale: float, height: float, feasible_set: Any
) -> tuple[FrozenNet, Any, Fraction]:
    """Return the network h f(x / s) and its minimum; s and h are powers of two, so nothing is rounded."""
    v, c = -(push + terms.gradient), float(draw.choice([0.0, 1.0, 1000.0]))
    minimum = terms.value + sum(Fraction(a) * Fraction(b) for a, b in zip(v, x, strict=True)) + Fraction(c)
    layers = [replace(layer, U=np.asarray(layer.U) / scale) for layer in terms.layers]
    quadratics = [Quadratic(one.beta * height, np.asarray(one.A) / scale, one.e) for one in terms.quadratics]
    norms = [Norm(one.gamma * height, np.asarray(one.C) / scale, one.d) for one in terms.norms]
    net = FrozenNet(layers, Output(terms.w * height, v * height / scale, c * height), quadratics, norms)
    return net, feasible_set, minimum * Fraction(height)


def _box(draw: Draw, x: Array, scale: float) -> tuple[Box, Array]:
    """Return a box with x on some of its faces, and G'y."""
    n = len(x)
    side = draw.integers(-1, 2, size=n)
    far = draw.choice([1.0, 4.0, 1000.0], size=n)
    lower = np.where(side < 0, x, x - far)
    upper = np.where(side > 0, x, x + draw.choice([1.0, 4.0, 1000.0], size=n))
    push = side * draw.integers(0, 3, size=n).astype(np.float64)
    return Box(n, lower * scale, upper * scale), push


def _simplex(draw: Draw, n: int) -> tuple[Array, Array]:
    """Return a point of the simplex in multiples of 2^-10, and G'y = mu - y with y on the zeros."""
    x = draw.multinomial(1024, draw.dirichlet(np.full(n, 0.3))) / 1024.0
    return x, float(draw.integers(-2, 3)) - np.where(x == 0, draw.integers(0, 3, size=n), 0).astype(np.float64)


def _rows(draw: Draw, x: Array, scale: float) -> tuple[list[Any], Array, str]:
    """Return CVXPY constraints that hold at scale x, G'y in units of x, and their kind."""
    import cvxpy as cp

    n = len(x)
    z = cp.Variable(n)
    unit = z / scale
    push = np.zeros(n)
    given: list[Any] = []
    names = []

    def multiplier() -> float:
        return float(draw.integers(0, 3))

    if draw.random() < 0.5:  # a ball or box around everything: a bounded set, or none
        names.append("bounded")
        radius = float(draw.choice([1.0, 1000.0])) + float(np.abs(x).sum())
        given.append(cp.norm(unit) <= radius if draw.random() < 0.5 else cp.norm_inf(unit) <= radius)
    if draw.random() < 0.6:
        names.append("half-spaces")
        rows = int(draw.integers(1, 2 * n + 2))
        G = draw.integers(-2, 3, size=(rows, n)) * (draw.random((rows, n)) < draw.choice([0.3, 1.0]))
        slack = draw.integers(0, 3, size=rows).astype(np.float64)
        given.append(G @ unit <= G @ x + slack)
        push += np.where(slack == 0, draw.integers(0, 3, size=rows), 0) @ G
    if draw.random() < 0.4:
        names.append("signs")
        low = np.minimum(x, 0.0) * (draw.random(n) < 0.7)
        low = np.minimum(low, x)
        given.append(unit >= low)
        push -= np.where(x == low, draw.integers(0, 3, size=n), 0)
    if draw.random() < 0.3 and n > 1:
        names.append("equalities")
        rows = int(draw.integers(1, max(2, n // 3)))
        G = draw.integers(-2, 3, size=(rows, n)).astype(np.float64)
        given.append(G @ unit == G @ x)
        push += draw.integers(-2, 3, size=rows) @ G
    if draw.random() < 0.5 or not given:
        names.append("cones")
        for _ in range(int(draw.integers(1, 4)) if draw.random() < 0.8 else int(draw.integers(4, 19))):
            constraint, more = _cone(draw, x, unit, multiplier())
            given.append(constraint)
            push += more
    return given, push, "+".join(names)


def _cone(draw: Draw, x: Array, unit: Any, eta: float) -> tuple[Any, Array]:
    """Return ||M x + q|| <= g'x + d, active at its curved side, at its apex, or inactive, and its G'y."""
    import cvxpy as cp

    n = len(x)
    rows = int(draw.integers(1, 4))
    M = draw.integers(-2, 3, size=(rows, n)).astype(np.float64)
    g = draw.integers(-1, 2, size=n) * float(draw.integers(0, 2))
    u = np.zeros(rows)
    u[draw.integers(rows)] = 1.0
    length = float(draw.integers(0, 3))
    slack = float(draw.integers(0, 2))
    q, d = length * u - M @ x, length + slack - float(g @ x)
    # s = (g'x + d, M x + q), y = eta (1, -share u) is complementary if there is no slack: G'y = -eta g + eta share M'u
    share = 1.0 if length else float(draw.choice([-1.0, 0.0, 0.5, 1.0]))
    push = np.zeros(n) if slack else eta * (share * (u @ M) - g)
    return cp.norm(M @ unit + q) <= g @ unit + d, push
