"""A lower bound of the cost over the rows of a set, in real arithmetic, from a minorant, multipliers and extents.

slope'x + offset <= f(x) for all x, and (G'y)'v <= h'y on the set, so f(x) >= offset - h'y + r'v there with the residual
r = slope + G'y, which a solver leaves small but not zero. It is covered: r'v >= sum_j min r_j v_j over the extents of
v_j and the rounding interval of r_j. Over a coordinate without an upper bound this is finite only if r_j >= 0 for
sure; multipliers of rows v_j >= l are lowered for that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from decision._minimise.bounds import minorant, repaired
from decision._minimise.constrained.extents import Extents
from decision._minimise.constrained.weak_duality import WeakDuality
from decision._minimise.stack import Dual, Stack
from socicnn._arrays import Array, BoolArray
from socicnn._margins import EPS, TINY, relative_margin

SNAP = 1e-7  # what is smaller than this share of its size may be noise of the solver


@dataclass(frozen=True, eq=False)
class Line:
    """slope'v + offset <= f(x) for every v = [x | further variables], with bounds of the rounding errors.

    Args:
        slope: shape `(variables,)`.
        error: bound of the error of each entry, exactly 0 where f does not depend on the coordinate.
        offset: the constant, rounded down.
        size: sum of the absolute values of the terms of the constant.
    """

    slope: Array
    error: Array
    offset: float
    size: Array

    @classmethod
    def of(cls, stack: Stack, dual: Dual, variables: int) -> Line:
        """Return the minorant of one context that a guess of a dual point gives."""
        dual = repaired(stack, dual)
        tangent = minorant(stack, dual)
        margin = relative_margin(2 * tangent.terms)
        used = touched(stack, dual)
        more = variables - stack.in_features
        slope_size = tangent.slope_size[0].numpy()
        error = np.where(used, margin * slope_size + TINY, 0.0)
        size = float(tangent.offset_size[0])
        offset = float(tangent.offset[0]) - (margin * size + TINY * (1.0 + size))
        return cls(
            np.pad(np.where(used, tangent.slope[0].numpy(), 0.0), (0, more)),
            np.pad(error, (0, more)),
            offset,
            np.pad(slope_size, (0, more)),
        )


def touched(stack: Stack, dual: Dual) -> BoolArray:
    """Return the coordinates of x that the minorant of one context depends on, by its exact zeros, shape `(n,)`."""
    branches, inner = dual.p[: len(stack.quadratics)], list(dual.p[len(stack.quadratics) :])
    terms = zip((*stack.quadratics, *stack.norms), (*branches, *dual.u), strict=True)
    pairs = [(branch.matrix, at * (branch.row_weight != 0)) for branch, at in terms]
    for layer, lam in zip(stack.layers, dual.lam, strict=True):
        if layer.U is not None:
            pairs.append((layer.U, lam))
        for branch in layer.inner:
            on = (lam != 0) & (branch.weight != 0)
            pairs.append((branch.matrix, inner.pop(0) * branch.spread(on)))
    seen: BoolArray = (stack.v[0] != 0).numpy()
    for matrix, y in pairs:
        seen = seen | (matrix.absolute().sign().adjoint((y != 0).to(y.dtype))[0] > 0).numpy()
    return seen


def snapped(stack: Stack, dual: Dual, x: Tensor) -> Dual:
    """Return a dual point with exact zeros in place of numbers that are negligible next to the network's own."""

    def cut(values: Tensor, size: Tensor) -> Tensor:
        return torch.where(values.abs() <= SNAP * size, 0.0, values)

    lam: list[Tensor] = []
    box: Tensor = stack.w
    for k in reversed(range(len(stack.layers))):
        lam.insert(0, cut(dual.lam[k], box))
        W = stack.layers[k].W
        box = box if W is None else W.adjoint(torch.minimum(lam[0].clamp(min=0.0), box))
    u = tuple(cut(point, torch.ones_like(point)) for point in dual.u)
    sizes = [branch.size(x.abs()) for branch in stack.curved]
    return Dual(tuple(lam), u, tuple(cut(p, size) for p, size in zip(dual.p, sizes, strict=True)))


@dataclass(frozen=True, eq=False)
class Bound:
    """A lower bound, and what the residual costs it.

    Args:
        lower: the bound, -infinity if a coordinate that matters has no extent.
        cost: of each coordinate, >= 0, shape `(variables,)`.
        residual: bound of |r_j|, shape `(variables,)`.
    """

    lower: float
    cost: Array
    residual: Array


def lower_bound(line: Line, y: Array, *, weak: WeakDuality, extents: Extents) -> Bound:
    """Return the bound of one minorant and multipliers y in K* over a set with these extents."""
    y = _signed(line, weak, y, extents)
    proof = weak.combine(y)
    least, most = _interval(line.slope + proof.sum, line.error + proof.error, line.slope, proof.sum)
    corners = [_product(a, b) for a in (least, most) for b in (extents.lower, extents.upper)]
    cover = np.minimum.reduce(corners)
    size = np.abs(cover)
    total = float(cover.sum()) - relative_margin(len(cover) + 4) * float(size.sum()) - TINY * bool(size.any())
    parts = line.offset - proof.most + total
    rounding = 8 * EPS * (abs(line.offset) + abs(proof.most) + abs(total)) + TINY
    lower = parts - rounding
    residual = np.maximum(np.abs(least), np.abs(most))
    return Bound(lower if np.isfinite(lower) else -np.inf, np.maximum(-cover, 0.0), residual)


def _interval(r: Array, error: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """Return bounds of the residual: the sum of two floats rounds once, its ends once more."""
    error = error + 2 * EPS * np.where((first != 0) & (second != 0), np.abs(r), 0.0)
    error = error * (1.0 + 8 * EPS)
    exact = error == 0.0
    least = np.where(exact, r, np.nextafter(r - error, -np.inf))
    most = np.where(exact, r, np.nextafter(r + error, np.inf))
    return least, most


def _product(r: Array, end: Array) -> Array:
    """Return r times an end of the extents, 0 where r is 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(r == 0.0, 0.0, r * end)


def _signed(line: Line, weak: WeakDuality, y: Array, extents: Extents) -> Array:
    """Return y with multipliers of rows -v_j <= -l (or v_j <= u) lowered until r_j has the sign that they need."""
    sides = ((extents.upper == np.inf, 1.0), (extents.lower == -np.inf, -1.0))
    if not any(open_side.any() for open_side, _ in sides):
        return y
    y = y.copy()
    for open_side, sign in sides:
        proof = weak.combine(y)
        error = 2.0 * (line.error + proof.error) + 8 * EPS * (np.abs(line.slope) + np.abs(proof.sum)) + 2.0 * TINY
        short = open_side & (sign * (line.slope + proof.sum) < error) & (line.error + proof.error > 0)
        for j in np.flatnonzero(short):
            lack = error[j] - sign * (line.slope[j] + proof.sum[j])
            for i, g in weak.planes(int(j)):
                if sign * g < 0 and y[i] > 0:  # a smaller y_i moves r_j by |g| the right way
                    step = min(y[i], lack * (1.0 + 4 * EPS) / abs(g))
                    y[i] -= step
                    lack -= step * abs(g)
                if lack <= 0:
                    break
    return y
