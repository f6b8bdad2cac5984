"""The second-order cones of a program: enclosures of the variable that each bounds, from x alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np

from socicnn._arrays import Array, BoolArray, IntArray
from socicnn._margins import EPS, TINY, relative_margin

LOOSE = 2.0**-40  # relative width with which a cone that is not in its usual form is enclosed

# the ends to fill, the enclosed ||p||^2, and -1 for the lower, 1 for the upper ends
_Sides: TypeAlias = list[tuple[Array, Array, float]]


@final
@dataclass(frozen=True, eq=False)
class Lengths:
    """Cones alpha s + h >= ||u||, u affine in x.

    Args:
        heads: row of each head.
        sizes: rows of each cone.
        s: the variable of each.
        weight: alpha of each, not zero.
    """

    heads: IntArray
    sizes: IntArray
    s: IntArray
    weight: Array

    def enclose(self, right: Array, margin: Array, low: Array, high: Array) -> None:
        """Set both ends of s = (||u|| - h) / alpha.

        Args:
            right: b + B x, shape `(rows, N)`.
            margin: how far rounding can be off.
            low: lower ends of all variables, shape `(variables, N)`.
            high: upper ends.
        """
        heads, weight = self.heads, self.weight[:, None]
        for ends, square, side in _sides(heads, self.sizes, 1, right, margin, low, high):
            length = np.sqrt(square) * (1 + side * 4 * EPS)
            if (self.weight < 0).any():
                length = np.where(weight < 0, 0.0, length)
            p = (length - right[heads]) / weight
            off = 8 * EPS * (length + np.abs(right[heads])) + margin[heads]
            exact = (weight == 1.0) & (right[heads] == 0.0) & (margin[heads] <= TINY)
            off = off / np.abs(weight) + 8 * EPS * np.abs(p) + TINY
            ends[self.s] = np.where(exact, length, p + side * off)


@final
@dataclass(frozen=True, eq=False)
class LiftedSquares:
    """Cones alpha t + h >= ||(alpha' t + h', p)||, p affine in x: t >= ||p||^2 in the usual form.

    Args:
        heads: row of each head; the second row follows it.
        sizes: rows of each cone.
        t: the variable of each.
        weight: alpha of each.
        second: alpha' of each.
        exact: whether h and h' hold no input, so that they were not rounded.
        usual: whether they are exactly 1/2 and -1/2 in every context.
    """

    heads: IntArray
    sizes: IntArray
    t: IntArray
    weight: Array
    second: Array
    exact: BoolArray
    usual: BoolArray

    def enclose(self, right: Array, margin: Array, low: Array, high: Array) -> tuple[BoolArray, BoolArray]:
        """Set both ends of the least t; return where all of them are proven, and where one has no t.

        Args:
            right: b + B x, shape `(rows, N)`.
            margin: how far rounding can be off.
            low: lower ends of all variables, shape `(variables, N)`.
            high: upper ends.
        """
        heads, a, a2 = self.heads, self.weight[:, None], self.second[:, None]
        h, h2 = right[heads], right[heads + 1]
        usual = ((self.weight == 0.5) & (self.second == 0.5) & self.usual)[:, None]
        sound = np.ones(right.shape[1], dtype=bool)
        if not len(heads):
            return sound, ~sound
        sides = _sides(heads, self.sizes, 2, right, margin, low, high)
        for ends, square, side in sides:
            ends[self.t] = square
            if usual.all():
                continue
            # a root of (a t + h)^2 = (a2 t + h2)^2 + ||p||^2, moved outwards, then checked
            A, B, C = a * a - a2 * a2, a * h - a2 * h2, h * h - h2 * h2 - square
            root = np.sqrt(np.maximum(B * B - A * C, 0.0))
            guess = np.where(np.abs(A) > 1e-9, -C / (B + root), -C / (2 * B))
            end = guess + side * (LOOSE * (np.abs(guess) + 1.0))
            s0, s1 = a * end + h, a2 * end + h2
            off = 8 * EPS * (np.abs(a * end) + np.abs(h)) + margin[heads]
            off2 = 8 * EPS * (np.abs(a2 * end) + np.abs(h2)) + margin[heads + 1]
            if side > 0:
                tail = np.sqrt((np.abs(s1) + off2) ** 2 + square) * (1 + 8 * EPS)
                good = s0 - off >= tail
            else:
                tail = np.sqrt(np.maximum(np.abs(s1) - off2, 0.0) ** 2 + square) * (1 - 8 * EPS)
                good = s0 + off < tail
            ends[self.t] = np.where(usual, ends[self.t], end)
            sound &= (usual | good).all(axis=0)
        return sound, self._empty(right, margin, sides[0][1])

    def _empty(self, right: Array, margin: Array, least: Array) -> BoolArray:
        """Tell where no t has s_0 >= ||(s_1, p)||, s_0 = alpha t + h, s_1 = alpha' t + h', given ||p||^2 >= least.

        It asks for s_0 - s_1 >= 0, s_0 + s_1 >= 0 and (s_0 - s_1)(s_0 + s_1) >= ||p||^2, and either factor may be the
        same whatever t is; where neither is, the product is a quadratic in t that may have no root.
        """
        heads, a, a2 = self.heads, self.weight[:, None], self.second[:, None]
        h, h2, exact = right[heads], right[heads + 1], self.exact[:, None]
        off = margin[heads] + margin[heads + 1] + 2 * EPS * (np.abs(h) + np.abs(h2))
        never = np.zeros(least.shape, dtype=bool)
        for fixed, factor in ((a == a2, h - h2), (a == -a2, h + h2)):
            never |= fixed & ((factor + off < 0) | (exact & (factor == 0) & (least > 0)))
        bend, constant = a * a - a2 * a2, h * h - h2 * h2 - least
        middle = a * h - a2 * h2
        size = (np.abs(a * h) + np.abs(a2 * h2)) ** 2 + (a * a + a2 * a2) * (h * h + h2 * h2 + least)
        never |= exact & (bend < 0) & (middle * middle - bend * constant < -LOOSE * size)
        return np.asarray(never.any(axis=0))


def _sides(heads: IntArray, sizes: IntArray, skip: int, right: Array, margin: Array, low: Array, high: Array) -> _Sides:
    """Enclose the sum of the squares of each cone's rows past the first `skip`."""
    if not len(heads):
        return []
    rows = np.concatenate([np.arange(h + skip, h + k) for h, k in zip(heads, sizes, strict=True)])
    cuts = np.concatenate([[0], np.cumsum(sizes - skip)[:-1]])
    most, empty = int(sizes.max()), sizes == skip
    size = np.abs(right[rows])
    sides: _Sides = []
    for ends, side in ((low, -1.0), (high, 1.0)):
        squares = np.maximum(size + side * margin[rows], 0.0) ** 2
        total = np.zeros((len(heads), right.shape[1]))
        if len(rows):
            total[~empty] = np.add.reduceat(squares, cuts[~empty], axis=0)
        sides.append((ends, np.maximum(total * (1 + side * relative_margin(most + 2)) + side * TINY, 0.0), side))
    return sides
