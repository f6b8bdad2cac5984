"""What a gap is measured against: the terms of f at the answer, and how much f varies over fixed points of the set.

scale(x) = min(max_{p in P} f(p) - f(x), S(x)),    S(x) = the sum of the absolute values of the terms of f, without c

P holds the projections onto X of the centre of R, of the 2m ends of m of its axes through the centre and of 2m of its
corners, whose signs are m rows of a Hadamard matrix cut to n and their negatives. m is n up to n = 256, where P holds
all axes, and else the larger of 4 and 2^14 / n: fewer points make a smaller scale, so a stricter one. R is X within the
ranges of the training data if they are known, else X. Of sets that are given by rows or constraints, P is that of the
box that is proven to hold X, where there is one. P is fixed before the search, so that what counts as certified
depends neither on the method nor on the start. A constant in f changes neither part; bounds that are far away move the
first alone. As f may vanish where it is least, as ||x|| does, an entry of x counts in S with at least the network's own
length, or half the width of R if that is less.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from decision._minimise.extents import coordinate_ends
from decision._minimise.stack import Stack
from decision._minimise.surrogate import Reach, Surrogate
from decision.sets._base import FeasibleSet
from socicnn._arrays import Array
from socicnn._ranges import Ranges

ROUNDING = 64 * 2.0**-52  # of the terms: the least gap that arithmetic can be asked for
UNDERFLOW = 2.0**-900  # sums of what is added for products below the smallest float stay below it
ROWS, ENTRIES = 4096, 2**20  # evaluations at a time, and entries of their points: rows of x take memory, too
RAYS = 2  # corners, and as many opposite ones, towards which a length is looked for
ALL, COORDINATES, FEWEST = 256, 2**14, 4  # inputs up to which m = n; else m n is at most this, and m at least four


@dataclass(frozen=True, eq=False)
class Reference:
    """The points P of a set, and how far R reaches from its centre.

    Args:
        points: shape `(4 m + 1, n)`, float64.
        reach: what else is measured by: half the width of R, an anchor and rays.
        ranges: ends of R, each of shape `(n,)`, if it is X within ranges that are known.

    >>> from decision.sets import Box
    >>> Reference.of(Box(1, 2.0, 4.0)).points[:, 0].tolist()
    [3.0, 4.0, 2.0, 4.0, 2.0]
    """

    points: Tensor
    reach: Reach
    ranges: tuple[Tensor, Tensor] | None = None

    @property
    def half(self) -> Tensor:
        """Half the width of R in each coordinate, shape `(n,)`."""
        return self.reach.half

    @classmethod
    def of(cls, feasible_set: FeasibleSet, ranges: Ranges | None = None) -> Reference:
        """Return the reference points of X within the ranges of the training data, of X alone if it lies outside."""
        n = feasible_set.n
        lower, upper = coordinate_ends(feasible_set)
        inner = None
        if ranges is not None:
            low, high = (torch.tensor(end).reshape(-1) for end in (ranges.x_lower, ranges.x_upper))
            low, high = torch.maximum(lower, low), torch.minimum(upper, high)
            if bool((low <= high).all()):
                lower, upper = inner = low, high
        centre, half = lower / 2 + upper / 2, upper / 2 - lower / 2
        signs = directions(n)
        m = len(signs) // 4
        points = feasible_set.project(centre + signs * half)
        ends = [corner for row in range(min(m, RAYS)) for corner in (2 * m + 1 + row, 3 * m + 1 + row)]
        anchor = feasible_set.project(torch.zeros_like(half).clamp(lower, upper))
        return cls(points, Reach(anchor, half, signs, points[ends]), inner)

    def largest(self, surrogate: Surrogate) -> Tensor:
        """Return max_P f for each context, shape `(contexts,)`.

        Where f overflows it is +inf, as S stays finite; if the terms of f are not known, such points do not count.
        """
        contexts = len(surrogate)
        most = surrogate.constant.new_full((contexts,), -torch.inf)
        overflow = torch.inf if surrogate.proves else -torch.inf
        together = min(ROWS, ENTRIES // self.points.shape[1]) // max(contexts, 1)
        for some in self.points.to(most.device).split(max(1, together)):
            values = surrogate.grid(some)
            most = torch.maximum(most, values.nan_to_num(nan=overflow, posinf=overflow, neginf=-torch.inf).amax(dim=1))
        return most


def least_gap(size: Tensor) -> Tensor:
    """Return the gap that rounding alone may leave, size being the sum of the absolute values of all terms."""
    return ROUNDING * size + UNDERFLOW


@dataclass(frozen=True, eq=False)
class Within:
    """The same for a set of which no more is known than a box that holds it.

    Args:
        half: half the width of the box in each coordinate, shape `(n,)`, infinite where no bound is proven.
        points: P of the box, shape `(4 m + 1, n)`; none where a coordinate has no bound.
    """

    half: Tensor
    points: Tensor

    @classmethod
    def of(cls, lower: Array, upper: Array) -> Within:
        """Return what gaps are measured against, the set being within these ends, each of shape `(n,)`."""
        low, high = torch.from_numpy(lower), torch.from_numpy(upper)
        half = (high / 2 - low / 2).clamp(min=0.0)
        bounded = bool(half.isfinite().all())
        signs = directions(len(half)) if bounded else torch.empty(0, len(half), dtype=torch.float64)
        return cls(half, low / 2 + high / 2 + signs * half if bounded else signs)

    def terms(self, stack: Stack, x: Tensor) -> Tensor:
        """Return S(x), shape `(contexts,)`."""
        reach = torch.minimum(own_length(stack)[:, None], self.half)
        return terms(stack, x, reach.nan_to_num(posinf=0.0))

    def slope(self, stack: Stack, x: Tensor) -> Tensor:
        """Return S(x) over the network's own length: what is large for a slope, also where f has none; 0 if no length.

        Shape `(contexts,)`.
        """
        return self.terms(stack, x) / own_length(stack)

    def scale(self, stack: Stack, x: Tensor, value: Tensor) -> Tensor:
        """Return the scale of a gap at x, shape `(contexts,)`; value is f there.

        The box may reach farther than the set, where f is lower than it is at x: that counts as variation, too.
        """
        size, least, most = self.terms(stack, x), value, value
        if not len(self.points):
            return size
        for some in self.points.split(max(1, min(ROWS, ENTRIES // self.points.shape[1]) // max(len(stack), 1))):
            values = stack.grid(some).nan_to_num(nan=torch.inf, posinf=torch.inf)
            least, most = torch.minimum(least, values.amin(dim=1)), torch.maximum(most, values.amax(dim=1))
        return torch.minimum(size, most - least)


def directions(n: int) -> Tensor:
    """Return P of the box [-1, 1]^n: its centre, the ends of m axes and 2m corners, shape `(4 m + 1, n)`."""
    m = n if n <= ALL else max(FEWEST, COORDINATES // n)
    some = torch.linspace(0, n - 1, m, dtype=torch.float64).round().long()
    axes, corners = torch.zeros(m, n, dtype=torch.float64), hadamard(n, some)
    axes[torch.arange(m), some] = 1.0
    return torch.cat([torch.zeros(1, n, dtype=torch.float64), axes, -axes, corners, -corners])


def hadamard(n: int, rows: Tensor) -> Tensor:
    """Return some rows of Sylvester's Hadamard matrix, cut to n columns: -1 to the number of bits that i and j share.

    >>> hadamard(2, torch.arange(2)).tolist()
    [[1.0, 1.0], [1.0, -1.0]]
    """
    shared, odd = rows[:, None] & torch.arange(n), torch.zeros(len(rows), n, dtype=torch.int64)
    while bool(shared.any()):
        odd ^= shared & 1
        shared = shared >> 1
    return 1.0 - 2.0 * odd.double()


def own_length(stack: Stack) -> Tensor:
    """Return a length in x over which each network changes its course, shape `(contexts,)`; +inf if it has none.

    The larger of the median distance |offset_i| / ||row_i|| from the origin to the zeros of its rows, where softplus
    units count tau more, and of the Newton step |slope| / curvature of its quadratics at the origin.
    """
    if stack not in _LENGTHS:
        _LENGTHS[stack] = _own_length(stack)
    return _LENGTHS[stack]


_LENGTHS: WeakKeyDictionary[Stack, Tensor] = WeakKeyDictionary()  # stacks are values: once for each


def _own_length(stack: Stack) -> Tensor:
    distances = [(offset.abs() + width) / matrix.row_norms for matrix, offset, width in stack.rows()]
    joined = torch.cat([stack.v.new_zeros(len(stack), 1), *distances], dim=1)
    joined = torch.where(joined.isfinite() & (joined > 0), joined, torch.nan)
    length = joined.nanmedian(dim=1).values.nan_to_num(nan=0.0)
    slope, curvature = stack.v, torch.zeros_like(length)
    for branch in stack.quadratics:
        slope = slope + 2.0 * branch.weight * branch.matrix.adjoint(branch.offset)
        curvature = curvature + 2.0 * branch.weight[:, 0] * branch.matrix.row_norms.square().sum() / stack.in_features
    step = torch.where(curvature > 0, torch.linalg.vector_norm(slope, dim=1) / curvature, 0.0)
    length = torch.maximum(length, torch.where(step.isfinite(), step, 0.0))
    return torch.where(length > 0, length, torch.inf)


def own_reach(stack: Stack) -> Tensor:
    """Return the network's own length for each entry of x, 0 if it has none: `reach` of a set that is not known."""
    return own_length(stack).nan_to_num(posinf=0.0)[:, None].expand_as(stack.v)


def own_points(stack: Stack, reach: Array) -> Array:
    """Return points as far from the origin as the networks' own lengths, and the origin itself, shape `(points, n)`.

    What nearly vanishes at the origin has its usual size at one of them.

    Args:
        stack: the networks.
        reach: largest |x| of each coordinate in the set, shape `(n,)`, infinite where no bound is proven.
    """
    length = float(own_length(stack).nan_to_num(posinf=0.0).amax())
    signs = np.ones((3, stack.in_features))
    signs[1, ::2], signs[2] = -1.0, 0.0
    return signs * np.minimum(length, reach)


def terms(stack: Stack, x: Tensor, reach: Tensor) -> Tensor:
    """Return S(x), the sum of the absolute values of the products that f(x) is made of, without c.

    A unit that is on counts with all its terms, one that is off with twice its positive ones, size + a: f is a
    difference of terms where it vanishes, too, but a unit that is far from ever turning on adds little.

    Args:
        stack: the networks.
        x: points, shape `(contexts, n)`.
        reach: the least size at which an entry of x counts, shape `(contexts, n)`: f may vanish where it is least.

    >>> from socicnn.frozen import FrozenNet, Output, Quadratic
    >>> stack = Stack.of(FrozenNet([], Output([], [0.0]), [Quadratic(2.0, [[1.0]], [-3.0])]))
    >>> three = torch.tensor([[3.0]], dtype=torch.float64)
    >>> terms(stack, three, torch.zeros_like(three)).tolist()
    [72.0]
    """
    reach = torch.maximum(x.abs(), reach)
    z = counted = None
    for layer in stack.layers:
        a = layer.preactivation(x, z)
        size = layer.size(reach, counted)
        z = layer.unit(a)
        counted = (size + a.clamp(max=0.0)).clamp(min=0.0) + (z - a.relu())
    total = (stack.v.abs() * reach).sum(dim=-1)
    if counted is not None:
        total = total + (counted * stack.w).sum(dim=-1)
    for branch in (*stack.quadratics, *stack.norms):
        total = total + branch.total(branch.size(reach))
    for smooth in stack.exponentials:
        total = total + smooth.total(smooth.size(reach))
    return total
