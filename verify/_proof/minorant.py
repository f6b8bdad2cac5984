"""The affine minorant of a dual point, with the sizes that its rounding errors scale with, in NumPy or in torch.

A dual point (lambda, u) and any p give, with p_m(x) = A_m x + e_m,

    l(x) = sum_k lambda_k'(U_k x + b_k) + v'x + c + sum_m beta_m p_m'(2 p_m(x) - p_m) + sum_r gamma_r u_r'(C_r x + d_r)

below f everywhere (a quadratic inside layer k counts with beta = rho_i lambda_ki; softplus units add their entropies,
`verify._proof.softplus`, and terms of exponentials their tangents, `verify._proof.exponentials`). Every sum of m
products is within g(m) times the sum of the absolute values of its real value. What underflows is off by 2^-1074 per
product; so every factor of the absolute sums is enlarged by TINY = 2^-1000 before it meets the next one, as
g(m) TINY > 2^-1074 m: this error then grows with the matrices and the extent of a set as the product would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from socicnn._margins import TINY, group_sums, relative_margin
from verify._proof.columns import Linear, NetColumns, TermColumns, Values
from verify._proof.softplus import entropy_below

Parts: TypeAlias = Sequence[Values]


@dataclass(frozen=True, eq=False)
class Minorant:
    """An affine minorant slope'x + offset of f for each context, and the sizes that its rounding errors scale with.

    Args:
        slope: shape `(n, N)`.
        offset: shape `(N,)`.
        slope_size: sum of the absolute values of the terms of each entry of the slope.
        offset_size: the same for the offset.
        terms: number of terms, at most.
    """

    slope: Values
    offset: Values
    slope_size: Values
    offset_size: Values
    terms: int


def minorant(net: NetColumns, lam: Parts, us: Parts, ps: Parts, boxes: Parts | None = None) -> Minorant:
    """Return the affine minorant of a dual point that is feasible.

    Args:
        net: the network.
        lam: multipliers of each layer, shape `(h, N)`.
        us: of each norm, shape `(rows, N)`, ||u|| <= 1 in each group.
        ps: where each quadratic is linearised, shape `(rows, N)`: the branches, then those inside layers; then of each
            term of exponentials a guess >= 0 of the softmax of its rows, any of which will do.
        boxes: upper bounds of lam, as `verify._proof.passes.multipliers` gives them, by which softplus units add their
            entropies; a minorant without them is lower.
    """
    sums = _Sums(net)
    u, p = iter(us), iter(ps)
    for term in net.terms:
        sums.term(term, next(u) if term.root else next(p), row_weight(term))
    for k, (layer, multiplier) in enumerate(zip(net.layers, lam, strict=True)):
        sums.affine(layer.U, layer.U_absolute, layer.b, multiplier)
        if layer.smooth and boxes is not None:
            sums.constants(layer.smoothing * (boxes[k] * entropy_below(multiplier, boxes[k], net.xp)))
        for term in layer.inner:
            sums.term(term, next(u) if term.root else next(p), spread(term, term.weight * multiplier))
    for exponential in net.exponentials:
        y, size, constants = exponential.tangent(next(p))
        sums.affine(exponential.matrix, exponential.absolute, exponential.offset, y, size)
        sums.terms += exponential.rows + 4
        sums.constants(constants)
    return Minorant(sums.slope, sums.offset, sums.slope_size, sums.offset_size, sums.terms)


class _Sums:
    """Sums of the terms of a minorant, and of their absolute values."""

    def __init__(self, net: NetColumns) -> None:
        self.slope, self.slope_size = net.v, abs(net.v) + TINY
        self.offset, self.offset_size = net.c, abs(net.c) + TINY
        self.terms = 8 + net.n

    def affine(self, matrix: Linear, absolute: Linear, offset: Values, y: Values, y_size: Values = None) -> None:
        """Add y'(matrix x + offset); `y_size` bounds |y| and what underflowed in it, |y| + TINY if omitted."""
        size = abs(y) + TINY if y_size is None else y_size
        self.terms += len(y) + 4
        self.offset = self.offset + (y * offset).sum(0)
        self.offset_size = self.offset_size + (size * abs(offset)).sum(0)
        self.slope = self.slope + matrix.T @ y
        self.slope_size = self.slope_size + absolute.T @ size

    def constants(self, values: Values) -> None:
        """Add numbers >= 0, products of three."""
        self.terms += len(values) + 4
        self.offset = self.offset + values.sum(0)
        self.offset_size = self.offset_size + (values + TINY).sum(0)

    def term(self, term: TermColumns, at: Values, weight: Values) -> None:
        """Add weight'(u * (M x + o)) of a norm with u = at, or weight'(p * (2 (M x + o) - p)) of a square, p = at."""
        if term.root:
            self.affine(term.matrix, term.absolute, term.offset, weight * at)
            return
        heavy, large = weight + TINY, abs(at) + TINY
        self.affine(term.matrix, term.absolute, term.offset, 2.0 * weight * at, 2.0 * heavy * large + TINY)
        self.offset = self.offset - (weight * at**2).sum(0)
        self.offset_size = self.offset_size + (heavy * (large**2 + TINY)).sum(0)


def spread(term: TermColumns, values: Values) -> Values:
    """Return values of the groups, shape `(groups, N)`, as values of their rows."""
    shape = (len(values), term.rows, values.shape[1])
    return term.xp.broadcast_to(values[:, None, :], shape).reshape(-1, shape[2])


def row_weight(term: TermColumns) -> Values:
    """Return the weights of a branch as weights of its rows, shape `(rows in all, N)`; a common one is one row."""
    if term.weight.ndim == 1:
        return term.weight[None]
    return term.weight if len(term.weight) == 1 else spread(term, term.weight)


def in_ball(term: TermColumns, guess: Values) -> Values:
    """Return a guess of u, shape `(rows in all, N)`, with ||u|| <= 1 in each group in real arithmetic.

    A branch gamma sum_i ||p_i|| has a vector u_i for each group i of its rows; a check takes the best u, so its value.
    """
    length = term.xp.sqrt(group_sums(guess**2, term.rows) + TINY)
    longest = term.xp.maximum(length, term.xp.ones_like(length))
    return guess * spread(term, (1 - relative_margin(term.rows + 8)) / longest)
