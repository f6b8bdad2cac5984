"""What a minimiser knows of a surrogate: a batch of convex functions f_i of x in R^n, one per context.

Networks as arrays (`stack_surrogate`) and torch modules (`module_surrogate`)
both give it; the methods work on either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from decision._minimise.stack import Dual
from decision._minimise.units import Units
from decision.sets import Box
from decision.sets._base import FeasibleSet


@dataclass(frozen=True, eq=False)
class Tangent:
    """A smoothed f_delta at x, and an affine minorant of f that has its gradient.

    Args:
        x: points, shape `(contexts, n)`.
        value: f_delta(x), shape `(contexts,)`.
        gradient: of f_delta at x, shape `(contexts, n)`.
        minorant: value at x of the affine minorant minorant + gradient'(. - x) <= f, shape `(contexts,)`.
        above: at least f(x), shape `(contexts,)`; `above - minorant` is what the smoothing costs.
        multipliers: what `Surrogate.bound` proves the minorant by.
    """

    x: Tensor
    value: Tensor
    gradient: Tensor
    minorant: Tensor
    above: Tensor
    multipliers: Dual

    def fall(self, feasible_set: FeasibleSet) -> Tensor:
        """Return the Frank-Wolfe gap max over y in X of gradient'(x - y), shape `(contexts,)`."""
        return (self.gradient * (self.x - feasible_set.minimise_linear(self.gradient))).sum(dim=-1)


@dataclass(frozen=True, eq=False)
class Proof:
    """What is known of f(x) and of min_X f, one entry per context.

    Args:
        above: at least f(x).
        below: at most min_X f.
        size: the terms of both that rounding errors scale with.
        note: why there may be no bound, one sentence; empty if there is nothing to say.
    """

    above: Tensor
    below: Tensor
    size: Tensor
    note: str = ""


@dataclass(frozen=True, eq=False)
class Reach:
    """Where a size of terms is measured.

    Args:
        anchor: the point of R nearest to the origin, projected onto X, shape `(n,)` (`reference`).
        half: half the width of R in each coordinate, shape `(n,)`.
        signs: of the reference points, in each coordinate -1, 0 or 1, shape `(points, n)`.
        rays: points of X that are far from the anchor, shape `(rays, n)`.
    """

    anchor: Tensor
    half: Tensor
    signs: Tensor
    rays: Tensor

    def to(self, like: Tensor) -> Reach:
        """Return the same in the type and on the device of a tensor."""
        return Reach(self.anchor.to(like), self.half.to(like), self.signs.to(like), self.rays.to(like))


class Surrogate(Protocol):
    """A batch of convex functions, one per context, less their constants."""

    @property
    def proves(self) -> bool:
        """Whether `prove` counts rounding in."""

    @property
    def finer(self) -> bool:
        """Whether a part of a box is searched to a finer accuracy than the box, as f is curved where it is least."""

    @property
    def wider(self) -> float:
        """How many times as wide the next part of a box is, where a search ended on the side of the last."""

    @property
    def constant(self) -> Tensor:
        """What `value` leaves out of the user's f, shape `(contexts,)`."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def __len__(self) -> int:
        """Number of contexts."""

    def take(self, rows: Tensor) -> Self:
        """Return the functions of some contexts."""

    def in_units(self, units: Units) -> tuple[Self, Units]:
        """Return the functions in other units of f and x, and the units that were possible."""

    def value(self, x: Tensor) -> Tensor:
        """Return f(x), shape `(contexts,)`."""

    def measured(self, feasible_set: FeasibleSet, reach: Reach) -> Self:
        """Return the same functions, ready to tell their `size` over a set."""

    def most(self, reached: Tensor) -> Tensor:
        """Return what a search measures itself by in place of the largest value that is found at P, if that is less."""

    def grid(self, points: Tensor) -> Tensor:
        """Return f of each context at each point, shape `(contexts, points)`."""

    def size(self, x: Tensor, half: Tensor) -> Tensor:
        """Return the sum of the absolute values of the terms of f at x, or what stands for it; +inf if not known.

        Args:
            x: points, shape `(contexts, n)`.
            half: half the width of the set in each coordinate (`reference`), shape `(n,)`.
        """

    def smooth(self, x: Tensor, delta: Tensor) -> Tangent:
        """Return the smoothed function at x, delta being a width per context."""

    def smooth_value(self, x: Tensor, delta: Tensor) -> Tensor:
        """Return f_delta(x) alone."""

    def hessian(self, x: Tensor, delta: Tensor) -> tuple[Tangent, Tensor]:
        """Return the smoothed function at x, `above` being f(x) itself, and its Hessian, shape `(contexts, n, n)`."""

    def first_box(self, box: Box) -> Box | None:
        """Return the part of a box to search first; None if it is all of it."""

    def multipliers(self, x: Tensor) -> Dual:
        """Return multipliers to begin with."""

    def bound(self, feasible_set: FeasibleSet, multipliers: Dual) -> Tensor:
        """Return the lower bound of min_X f that belongs to multipliers, shape `(contexts,)`."""

    def prove(self, feasible_set: FeasibleSet, x: Tensor, multipliers: Dual, size: Tensor, allowed: Tensor) -> Proof:
        """Return what is known at last.

        Args:
            feasible_set: the set X.
            x: decisions, shape `(contexts, n)`.
            multipliers: of the best bound.
            size: terms of f at x, shape `(contexts,)`.
            allowed: the gap asked for; what leaves more open may be worth more work, shape `(contexts,)`.
        """
