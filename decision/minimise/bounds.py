"""Proven bounds of a decision: what rounding can change is counted in, so that f(x) - gap <= min_X f holds.

A dual point (lambda, u) of a context and any omega give an affine minorant of f,

    l(x) = sum_k lambda_k'(U_k x + b_k) + v'x + c + sum_m beta_m (omega_m'p_m(x) - ||omega_m||^2 / 4)
           + sum_r gamma_r u_r'(C_r x + d_r),        p_m(x) = A_m x + e_m

(a quadratic inside layer k counts with beta = rho_i lambda_ki), and min_X l is a lower bound of min_X f. Every sum of m
products computed in float64 is within g(m) times the sum of the absolute values, g(m) = 1.01 (m + 4) 2^-53, in whatever
order it is taken (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1). What underflows is
off by 2^-1074 a product; so every factor of the absolute sums is enlarged by TINY = 2^-1000 before it meets the next
one, as g(m) TINY > 2^-1074 m: this error then grows with the matrices and the extent of the set as the product would
have. The multipliers are cut into their boxes with the same margin first. Assumed: the arithmetic is IEEE float64, and
`minimize_linear` returns a vertex that is exact to a few units in the last place.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from decision.minimise.linear_map import Map
from decision.minimise.stack import Dual, Stack
from decision.sets.base import FeasibleSet
from socicnn.margins import EPS, TINY, relative_margin


def repaired(stack: Stack, dual: Dual) -> Dual:
    """Return multipliers that are dual feasible in real arithmetic: cut into their boxes, top layer down."""
    lam: list[Tensor] = []
    above: Tensor | None = None
    for k in reversed(range(len(stack.layers))):
        if above is None:
            box = stack.w
        else:
            W = stack.layers[k + 1].W
            assert W is not None, "a layer after the first has a hidden weight"
            box = (W.adjoint(above) * (1.0 - relative_margin(W.shape[0])) - TINY).clamp(min=0.0)
        above = torch.minimum(dual.lam[k].clamp(min=0.0), box)
        lam.insert(0, above)
    u = []
    for one, guess in zip(stack.norms, dual.u, strict=True):
        length = torch.linalg.vector_norm(one.grouped(guess), dim=-1).repeat_interleave(one.group, dim=1)
        u.append(guess * (1.0 - relative_margin(one.group + 8)) / length.clamp(min=1.0))
    return Dual(tuple(lam), tuple(u), dual.p)


@dataclass(frozen=True, eq=False)
class Minorant:
    """An affine minorant slope'x + offset of f for each context, and the sizes that its rounding errors scale with.

    Args:
        slope: shape `(contexts, n)`.
        offset: shape `(contexts,)`.
        slope_size: sum of the absolute values of the terms of each entry of the slope.
        offset_size: the same for the offset.
        terms: number of terms, at most.
    """

    slope: Tensor
    offset: Tensor
    slope_size: Tensor
    offset_size: Tensor
    terms: int


def minorant(stack: Stack, dual: Dual) -> Minorant:
    """Return the affine minorant of a dual point that is feasible."""
    sums = _Sums(stack)
    branches, inner = dual.p[: len(stack.quadratics)], list(dual.p[len(stack.quadratics) :])
    for layer, lam in zip(stack.layers, dual.lam, strict=True):
        sums.affine(layer.U, layer.b, lam)
        if layer.squares is not None:
            inside = layer.squares
            weight = (inside.rho * lam).repeat_interleave(inside.g.shape[1] // len(inside.rho), dim=1)
            sums.quadratic(inside.F, inside.g, inner.pop(0), weight)
    for one, p in zip(stack.quadratics, branches, strict=True):
        sums.quadratic(one.matrix, one.offset, p, one.weight[:, None])
    for one, u in zip(stack.norms, dual.u, strict=True):
        sums.affine(one.matrix, one.offset, one.weight[:, None] * u)
    return Minorant(sums.slope, sums.offset, sums.slope_size, sums.offset_size, sums.terms)


class _Sums:
    """Sums of the terms of a minorant, and of their absolute values."""

    def __init__(self, stack: Stack) -> None:
        self.slope, self.slope_size = stack.v, stack.v.abs() + TINY
        self.offset, self.offset_size = stack.c, stack.c.abs() + TINY
        self.terms = 8 + stack.in_features

    def affine(self, matrix: Map | None, offset: Tensor, y: Tensor, y_size: Tensor | None = None) -> None:
        """Add y'(matrix x + offset); `y_size` bounds |y| and what underflowed in it, |y| + TINY if omitted."""
        size = y.abs() + TINY if y_size is None else y_size
        self.terms += y.shape[1] + 4
        self.offset = self.offset + (y * offset).sum(dim=-1)
        self.offset_size = self.offset_size + (size * offset.abs()).sum(dim=-1)
        if matrix is not None:
            self.slope = self.slope + matrix.adjoint(y)
            self.slope_size = self.slope_size + matrix.absolute().adjoint(size)

    def quadratic(self, matrix: Map, offset: Tensor, p: Tensor, weight: Tensor) -> None:
        """Add sum_i weight_i p_i (2 (matrix x + offset)_i - p_i), a minorant of the quadratic for any p."""
        heavy, large = weight + TINY, p.abs() + TINY
        self.affine(matrix, offset, 2.0 * weight * p, 2.0 * heavy * large + TINY)
        self.offset = self.offset - (weight * p.square()).sum(dim=-1)
        self.offset_size = self.offset_size + (heavy * (large.square() + TINY)).sum(dim=-1)


def extent(feasible_set: FeasibleSet, device: torch.device) -> Tensor:
    """Return max over X of |x_j| for each coordinate, shape `(n,)`."""
    eye = torch.eye(feasible_set.n, dtype=torch.float64, device=device)
    ends = feasible_set.minimize_linear(torch.cat([eye, -eye]))
    return ends.abs().amax(dim=0)


def lower_bound(stack: Stack, feasible_set: FeasibleSet, dual: Dual) -> Tensor:
    """Return a proven lower bound of min_X f for each context, shape `(contexts,)`.

    Args:
        stack: the networks.
        feasible_set: the set X.
        dual: a guess of a dual point; it is repaired first. Where it is not finite the bound is -infinity.
    """
    line = minorant(stack, repaired(stack, dual))
    vertex = feasible_set.minimize_linear(line.slope)
    bound = (line.slope * vertex).sum(dim=-1) + line.offset
    reach = extent(feasible_set, bound.device) * (1.0 + 8 * EPS)
    size = (line.slope_size * reach).sum(dim=-1) + line.offset_size
    bound = bound - (relative_margin(2 * line.terms) * size + TINY * (1.0 + size))
    return torch.where(bound.isfinite(), bound, -torch.inf)


def upper_bound(stack: Stack, x: Tensor) -> Tensor:
    """Return a proven upper bound of f(x) for each context: its value and what rounding can have taken off it."""
    z: Tensor | None = None
    terms = 8 + stack.in_features
    for layer in stack.layers:
        a = layer.preactivation(x, z)
        size = layer.b.abs()
        columns = stack.in_features + 1
        if layer.U is not None:
            size = size + layer.U.absolute().apply(x.abs())
        if layer.W is not None and z is not None:
            size = size + layer.W.apply(z)
            columns += z.shape[1]
        if layer.squares is not None:
            inside = layer.squares
            p = _widened(inside.F, inside.g, x).reshape(len(x), len(inside.rho), -1)
            extra = inside.rho * (p.square().sum(dim=-1) * (1.0 + relative_margin(p.shape[-1] + 3)) + TINY)
            a = a + (extra - inside.rho * inside.image(x).square().sum(dim=-1)).clamp(min=0.0)
            size = size + extra
        z = (a + (relative_margin(columns) * size + TINY)).clamp(min=0.0)
    value = (x * stack.v).sum(dim=-1) + stack.c
    size = (x * stack.v).abs().sum(dim=-1) + stack.c.abs()
    if z is not None:
        terms += z.shape[1]
        value, size = value + (z * stack.w).sum(dim=-1), size + (z * stack.w).sum(dim=-1)
    for one in (*stack.quadratics, *stack.norms):
        p = _widened(one.matrix, one.offset, x)
        squares = one.grouped(p).square().sum(dim=-1) * (1.0 + relative_margin(one.group + 2)) + TINY
        is_norm = any(one is other for other in stack.norms)
        part = one.weight * (squares.sqrt() * (1.0 + 4 * EPS) if is_norm else squares).sum(dim=-1)
        terms += 4 + squares.shape[1]
        value, size = value + part, size + part
    return value + (relative_margin(terms) * size + TINY * (1.0 + size))


def _widened(matrix: Map, offset: Tensor, x: Tensor) -> Tensor:
    """Return |matrix x + offset| and what rounding can have taken off it."""
    size = matrix.absolute().apply(x.abs()) + offset.abs()
    return (matrix.apply(x) + offset).abs() + (relative_margin(x.shape[1] + 1) * size + TINY)
