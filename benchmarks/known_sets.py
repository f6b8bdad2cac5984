"""Sets of `decision.sets` around a given point x, and a vector p of their normal cone there: p'z <= p'x for z in X.

A cost f with -p among its subgradients at x has its minimum at x, so that a minimum over each kind of set is known
exactly: all data are integers times powers of two. Right-hand sides are fixed, a table of two contexts, or affine in
theta; they give X in the first context, and the second is any other set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from decision.sets import Affine, Ball, Box, ConicSet, Ellipsoid, FeasibleSet, Horizon, Intersection, Polytope, Product
from socicnn._arrays import Array

Draw = np.random.Generator
AnySet = FeasibleSet | ConicSet
THETA = np.array([[1.0, -2.0], [3.0, 0.0]])  # contexts, if right-hand sides are affine
LARGEST_LINKED = 12  # entries of one step of a horizon at most


@dataclass(frozen=True)
class Sides:
    """How right-hand sides are given.

    Args:
        draw: of what is random.
        kind: "fixed", "table" or "affine".
        scale: units of x, a power of two.
    """

    draw: Draw
    kind: str
    scale: float

    def __call__(self, values: Any, *, of_x: bool = True, grow: float = 1.0) -> Any:
        """Return right-hand sides that are `values` in the first context.

        Args:
            values: shape `(size,)`, in units of x if `of_x`.
            of_x: whether they are to be scaled with x.
            grow: sign of what the second row of a table adds.
        """
        values = np.atleast_1d(np.asarray(values, dtype=np.float64))
        unit = self.scale if of_x else 1.0
        if self.kind == "table":
            more = grow * self.draw.integers(0, 3, size=len(values))
            return unit * np.stack([values, values + more])
        if self.kind == "affine":
            W = self.draw.integers(-2, 3, size=(len(values), 2)).astype(np.float64)
            return Affine(unit * (values - W @ THETA[0]), unit * W)
        return unit * values


def known_set(draw: Draw, x: Array, scale: float) -> tuple[AnySet, Array, Array | None, str]:
    """Return a set that holds scale x, a vector of its normal cone in units of x, contexts, and the kind."""
    sides = Sides(draw, str(draw.choice(["fixed", "table", "affine"])), scale)
    makers: dict[str, Maker] = {**SINGLE, "product": product, "intersection": intersection, "horizon": horizon}
    kind = str(draw.choice(list(makers)))
    if kind in ("product", "horizon") and len(x) == 1:
        kind = "polytope"
    made, push = makers[kind](sides, x)
    moves = "" if sides.kind == "fixed" else f", {sides.kind}"
    context = THETA if isinstance(made, ConicSet) and made.moves and sides.kind == "affine" else None
    return made, push, context, f"{kind}{moves}"


def polytope(sides: Sides, x: Array) -> tuple[Polytope, Array]:
    """Return half-spaces, equalities and bounds, each where chance has it."""
    draw, n = sides.draw, len(x)
    push, given = np.zeros(n), {}
    if draw.random() < 0.7:
        rows = int(draw.integers(1, 2 * n + 2))
        A = (draw.integers(-2, 3, size=(rows, n)) * (draw.random((rows, n)) < 0.5)).astype(np.float64)
        slack = draw.integers(0, 3, size=rows)
        push += np.where(slack == 0, draw.integers(0, 3, size=rows), 0) @ A
        given |= {"A": A / sides.scale, "b": sides(A @ x + slack, of_x=False)}
    if draw.random() < 0.3 and n > 1:
        rows = int(draw.integers(1, max(2, n // 3)))
        E = draw.integers(-2, 3, size=(rows, n)).astype(np.float64)
        push += draw.integers(-2, 3, size=rows) @ E
        given |= {"E": E / sides.scale, "f": sides(E @ x, of_x=False)}
    if draw.random() < 0.6 or not given:
        below, above = draw.choice([0.0, 1.0, 1000.0], size=(2, n))
        push += np.where(above == 0, draw.integers(0, 3, size=n), 0) - np.where(
            below == 0, draw.integers(0, 3, size=n), 0
        )
        given |= {"lower": sides(x - below, grow=-1.0), "upper": sides(x + above)}
        if draw.random() < 0.3 and not (below == 0).any():
            del given["lower"]
    return Polytope(**given, n=n), push


def ball(sides: Sides, x: Array) -> tuple[Ball, Array]:
    """Return a ball with x on its rim, inside, or its only point."""
    draw, n = sides.draw, len(x)
    norm = str(draw.choice(["2", "1", "inf"]))
    direction = draw.integers(-3, 4, size=n).astype(np.float64) if norm != "2" else _with_whole_length(draw, n)
    away = direction * float(draw.choice([0.0, 1.0, 1.0, 1.0, 1000.0]))
    size = {"2": np.linalg.norm(away), "1": np.abs(away).sum(), "inf": np.abs(away).max()}[norm]
    slack = float(draw.choice([0.0, 0.0, 1.0]))
    made = Ball(n, sides(size + slack), sides(x - away), norm)  # type: ignore[arg-type]  # a Literal, drawn
    if slack:
        return made, np.zeros(n)
    if not size:
        return made, draw.integers(-2, 3, size=n).astype(np.float64)
    eta = float(draw.integers(0, 3))
    if norm == "2":
        return made, eta * direction
    if norm == "1":
        return made, eta * np.where(away == 0, draw.integers(-1, 2, size=n), np.sign(away))
    at_rim = np.where(np.abs(away) == size, np.sign(away), 0.0)
    return made, at_rim * draw.integers(0, 3, size=n)


def ellipsoid(sides: Sides, x: Array) -> tuple[Ellipsoid, Array]:
    """Return {c + B u : ||u|| <= r} with x = c + B u; p = eta e_j has B'p = eta B_j, a positive multiple of u."""
    draw, n = sides.draw, len(x)
    k = int(draw.integers(1, n + 1))
    B = draw.integers(-2, 3, size=(n, k)).astype(np.float64)
    if draw.random() < 0.3:
        B, k = np.diag(draw.choice([0.0, 1.0, 2.0, 64.0], size=n)), n
    j = int(draw.integers(n))
    B[j] = _with_whole_length(draw, k)
    length = np.linalg.norm(B[j])
    r = float(draw.choice([0.0, 1.0, 1.0, 1024.0]))
    slack, sign = float(draw.choice([0.0, 0.0, 1.0])), float(draw.choice([-1.0, 1.0]))
    # u = r times the unit vector sign B_j / length; r is multiplied by length, so that u is whole
    u, radius = r * sign * B[j], r * length
    made = Ellipsoid(B * sides.scale, sides(x - B @ u), sides(radius + slack, of_x=False))
    push = np.zeros(n)
    if not slack:
        push[j] = sign * float(draw.integers(0, 3))
        if not r:  # a single point: any p will do
            push = draw.integers(-2, 3, size=n).astype(np.float64)
    return made, push


def box(sides: Sides, x: Array) -> tuple[Box, Array]:
    """Return a box with x on some of its faces."""
    draw, n = sides.draw, len(x)
    side = draw.integers(-1, 2, size=n)
    lower = np.where(side < 0, x, x - draw.choice([1.0, 4.0, 1000.0], size=n))
    upper = np.where(side > 0, x, x + draw.choice([1.0, 4.0, 1000.0], size=n))
    return Box(n, lower * sides.scale, upper * sides.scale), side * draw.integers(0, 3, size=n).astype(np.float64)


Maker = Callable[[Sides, Array], tuple[AnySet, Array]]
SINGLE: dict[str, Maker] = {"polytope": polytope, "ball": ball, "ellipsoid": ellipsoid, "box": box}


def product(sides: Sides, x: Array) -> tuple[Product, Array]:
    """Return a product of two or three sets; normal cones are side by side."""
    cuts = np.sort(sides.draw.choice(np.arange(1, len(x)), size=min(len(x) - 1, 2), replace=False))
    made = [SINGLE[str(sides.draw.choice(list(SINGLE)))](sides, part) for part in np.split(x, cuts)]
    return Product([member for member, _ in made]), np.concatenate([push for _, push in made])


def intersection(sides: Sides, x: Array) -> tuple[Intersection, Array]:
    """Return an intersection of two or three sets; normal vectors add up."""
    names = sides.draw.choice(list(SINGLE), size=int(sides.draw.integers(2, 4)))
    made = [SINGLE[str(name)](sides, x) for name in names]
    return Intersection([member for member, _ in made]), np.sum([push for _, push in made], axis=0)


def horizon(sides: Sides, x: Array) -> tuple[Horizon, Array]:
    """Return steps y_t = [inputs | level] with links P y_t + Q y_{t+1} = r_t; x holds the inputs, or all of y.

    A level that x does not hold has no cost: its multipliers of links and of its bounds must cancel.
    """
    draw = sides.draw
    steps = max(k for k in range(1, len(x) + 1) if len(x) % k == 0 and (len(x) // k <= LARGEST_LINKED or k == len(x)))
    steps = int(draw.choice([k for k in range(1, steps + 1) if len(x) % k == 0]))
    inputs = len(x) // steps
    hidden = int(draw.integers(0, 3))
    y = np.hstack([x.reshape(steps, inputs), draw.integers(-3, 4, size=(steps, hidden))])
    width, rows = inputs + hidden, int(draw.integers(1, 3))
    P, Q = draw.integers(-2, 3, size=(2, rows, width)).astype(np.float64)
    normal, link = np.zeros_like(y), None
    if steps > 1 and draw.random() < 0.8:
        mu = draw.integers(-2, 3, size=(steps - 1, rows))
        normal[:-1] += mu @ P
        normal[1:] += mu @ Q
        link = (P / sides.scale, Q / sides.scale, sides((y[:-1] @ P.T + y[1:] @ Q.T).ravel(), of_x=False))
        if sides.kind == "table":
            link = (*link[:2], link[2].reshape(2, steps - 1, rows))
        elif sides.kind == "fixed":
            link = (*link[:2], link[2].reshape(steps - 1, rows))
    ends: dict[str, Any] = {}
    for name, t in (("first", 0), ("last", steps - 1)):
        if draw.random() < 0.4:
            E = draw.integers(-2, 3, size=(1, width)).astype(np.float64)
            normal[t] += float(draw.integers(-2, 3)) * E[0]
            ends[name] = (E / sides.scale, sides(E @ y[t], of_x=False))
    parts: list[AnySet] = []
    for t in range(steps):
        kind = str(draw.choice(list(SINGLE)))
        member, push = SINGLE[kind](sides, y[t, :inputs])
        normal[t, :inputs] += push
        parts.append(Product([member, _levels(sides, y[t, inputs:], normal[t, inputs:])]) if hidden else member)
    made = Horizon(parts, link=link, **ends, inputs=range(inputs) if hidden else None)
    return made, normal[:, :inputs].ravel()


def _levels(sides: Sides, y: Array, normal: Array) -> Polytope:
    """Return bounds of levels that are active where their multiplier must cancel a normal vector."""
    far = sides.draw.choice([1.0, 4.0, 1000.0], size=(2, len(y)))
    lower = np.where(normal > 0, y, y - far[0])
    upper = np.where(normal < 0, y, y + far[1])
    return Polytope(lower=sides(lower, grow=-1.0), upper=sides(upper))


def _with_whole_length(draw: Draw, n: int) -> Array:
    """Return a vector of integers whose 2-norm is one: along an axis, or 3, 4 along two of them."""
    vector = np.zeros(n)
    places = draw.permutation(n)
    if n > 1 and draw.random() < 0.5:
        vector[places[:2]] = draw.choice([-3.0, 3.0]), draw.choice([-4.0, 4.0])
    else:
        vector[places[0]] = float(draw.choice([-1.0, 1.0])) * float(draw.integers(1, 4))
    return vector
