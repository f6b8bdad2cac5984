"""A size of terms for functions that are only evaluated: how much f varies over a length that is its own.

Networks as arrays know their terms. A module does not, and how much it varies over the whole set grows with bounds that
nothing ever sees. So it is measured near an anchor a, the point of the set (within the ranges of the training data if
they are known) nearest to the origin:

    S(x) = max over signs s of f(project(a + s r)) - f(x),    r_i = max(l, |x_i - a_i|)

with the signs of the reference points P and the length l over which f changes its course, seen from a. Along a ray the
slope of a convex f grows by as much as f bends. Far out it grows in proportion to the distance, as that of a quadratic
does, or not at all. l is four times the distance within which half of the bending is done, less this background; where
nothing else bends, 16 times the distance at which the background has made up for the slope at a. Networks have the like
in `reference.own_length`; the factors keep sets that are not wide to the spread of f over P alone.

Where the slope grows faster than that, as that of exp(x) does, f at the end of a ray says nothing of f where it is
least. Such a ray is halved until its far half bends at most eight times as much as its near half (seven times for a
fourth power). l is then no longer than what is left of it, and S is measured within l alone: r_i = l. The anchor itself
may be where f is far above its minimum. So S is at most as much as f varies over the like length of x, if f grows like
that seen from x.

Only slopes are compared, so that a constant in f changes nothing, and lengths are fractions of a ray, in powers of
two, so that units of x and f that are powers of two change no bit. A function without such a length, ||x||^2, counts
over the whole set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from decision._minimise.reference import ROWS
from decision._minimise.surrogate import Reach
from decision.sets._base import FeasibleSet

BENDS = 4.0  # distances within which half of the bending is done, that l is
TURNS = 16.0  # distances to where the background has made up for the slope, that l is
SHORT = 2.0**-20  # of the width of R: a shorter ray is rounding
FASTER = 8.0  # times the bending of the near half, that the far half of a ray may bend
STEEP = 2.0**20  # times its slope half way, that a ray begins with where f is far above its minimum
FLAT = 2.0**-50  # of a ray: what is flat from here on has underflowed
LEVELS = 80  # of a ray: 2^-80 of it is next to its start
BLOCK = 8  # levels at a time, fewer where that would be more than ROWS points
VISIBLE = 2.0**-10  # of the background's bending: the least that is told from it
ROUNDING = 2.0**-40  # of two slopes: the least difference that is one
NOISE = 2.0**-46  # of f and of x at the anchor: what moves f by less, or lies nearer, is rounding


Slopes = Callable[[Tensor, Tensor], Tensor]  # f'(p; d) of each context, both of shape (contexts, points, n)


@dataclass(frozen=True, eq=False)
class OwnSize:
    """Where to measure functions.

    Args:
        feasible_set: the set X.
        reach: signs and width of the measure (`reference`).
        anchor: a of each context, shape `(contexts, n)`.
        length: l of each context, +inf if it has none, shape `(contexts,)`.
        grows: whether its slope grows faster than in proportion to the distance, shape `(contexts,)`.
        steep: whether it grows like that towards the anchor or away from it, shape `(contexts,)`.
    """

    feasible_set: FeasibleSet
    reach: Reach
    anchor: Tensor
    length: Tensor
    grows: Tensor
    steep: Tensor

    @classmethod
    def of(
        cls, slopes: Slopes, value: Tensor, feasible_set: FeasibleSet, reach: Reach, anchor: Tensor | None = None
    ) -> OwnSize:
        """Measure functions along rays from the anchor.

        Args:
            slopes: gives the slopes of each context, shape `(contexts, points)`.
            value: f at the anchor, shape `(contexts,)`.
            feasible_set: the set X.
            reach: where to measure.
            anchor: in place of that of `reach`, answers, shape `(contexts, n)`. As their slope may be rounding, they
                have a length only where the slope grows faster than in proportion.
        """
        count, usual = len(value), anchor is None
        a = (reach.anchor if anchor is None else anchor).expand(count, -1)[:, None, :]
        across = reach.rays - a
        rays = across.abs().amax(dim=2)
        usable = rays > SHORT * reach.half.amax()  # a corner of signs may fall on the anchor, as on a simplex
        if usual:  # the same rays for each context
            across, rays, usable = (part[:, usable[0]] for part in (across, rays, usable))
        sizes = torch.where(usable, rays, 1.0)
        moves = across.abs() > SHORT * rays[:, :, None]
        nearest = NOISE * torch.where(moves, a.abs(), 0.0).amax(dim=2) / sizes

        def along(shares: Sequence[float]) -> list[Tensor]:
            points = torch.cat([a + t * across for t in shares], dim=1)
            all_of_them = slopes(points, across.repeat(1, len(shares), 1))
            return list(all_of_them.reshape(count, len(shares), -1).unbind(dim=1))

        block = max(1, min(BLOCK, ROWS // max(1, rays.numel())))
        shares, left, steep = _shares(along, block, NOISE * value.abs()[:, None], nearest)
        lengths, halved = torch.where(usable, shares * rays, 0.0), usable & (left > 0)
        none = lengths.new_zeros(count, 1)
        length = torch.cat([lengths, none], dim=1).amax(dim=1)
        # what grows along one ray would drown all others at a length of theirs
        short = torch.where(halved, lengths if usual else left * rays, torch.inf)
        shortest = torch.cat([short, none + torch.inf], dim=1).amin(dim=1)
        length = torch.minimum(torch.where((length > 0) & usual, length, torch.inf), shortest)
        return cls(feasible_set, reach, a[:, 0], length, shortest.isfinite(), (usable & (halved | steep)).any(dim=1))

    def take(self, rows: Tensor) -> OwnSize:
        """Return the sizes of some contexts."""
        names = ("anchor", "length", "grows", "steep")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def points(self, x: Tensor) -> Tensor:
        """Return the points that answers x are measured at, shape `(contexts, points, n)`."""
        reach = self.reach.to(x)
        width = torch.minimum(self.length[:, None], 2.0 * reach.half)
        width = torch.where(self.grows[:, None], width, torch.maximum(width, (x - self.anchor).abs()))
        return self.feasible_set.project(self.anchor[:, None, :] + reach.signs * width[:, None, :])


def _shares(
    slopes: Callable[[Sequence[float]], list[Tensor]], block: int, noise: Tensor, nearest: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the length of each ray as a share of it, what is left of halved ones, and which begin steeply.

    All of shape `(contexts, rays)`; 0 for a ray without a length. A ray begins steeply if its slope is lost half way.

    Args:
        slopes: gives the slopes at some shares t of each ray, each of shape `(contexts, rays)`.
        block: how many shares to ask for at a time.
        noise: the least change of f that is not rounding, shape `(contexts, 1)`.
        nearest: the least share of each ray at which x is told from the anchor, shape `(contexts, rays)`.
    """
    near, *known = slopes((2.0**-LEVELS, 1.0, 0.5))
    steep = ~near.isfinite() | (near.abs() > STEEP * known[1].abs())

    def at_level(level: int) -> Tensor:
        """Return the slopes at 2^-level; some more are asked for along with them."""
        if level == len(known):
            known.extend(slopes([2.0**-k for k in range(level, min(level + block, LEVELS))]))
        return known[level]

    whole, end, before, settled = _halved(near, at_level)
    background = ((end - before) / (0.5 * whole)).clamp(min=0.0)
    finite = near.isfinite() & background.isfinite()
    near, end, background = (torch.where(finite, part, 0.0) for part in (near, end, background))
    most, share, open_ = torch.zeros_like(near), torch.zeros_like(near), finite
    for level in range(LEVELS - 1):
        t, at = 2.0**-level, at_level(level)
        bent = at - near
        kinks = bent - background * t
        seen = (kinks > VISIBLE * background * t) & _visible(near, at) & bent.isfinite() & (t <= whole)
        most = torch.where(open_ & seen, torch.maximum(most, kinks), most)
        half = open_ & seen & (kinks >= 0.5 * most)
        share = torch.where(half, t, share)
        open_ = open_ & (half | (most == 0))
        if not bool(open_.any()):
            break
    at_anchor = open_ | (most * share <= noise) | (share <= nearest)  # what bends at the anchor itself has no length
    share = torch.where(at_anchor, 0.0, share)
    quadratic = background * whole >= 0.5 * (end - near)
    made_up = torch.where(quadratic & (background > 0), near.abs() / background, 0.0)
    made_up = torch.where((near.abs() * made_up > noise) & (made_up > nearest.clamp(min=2.0**-LEVELS)), made_up, 0.0)
    length = torch.where(share > 0, BENDS * share, TURNS * made_up)
    halved = whole < 1.0
    grown = halved & settled & _visible(near, end) & ((end - near) * whole > noise) & (whole > nearest)
    length = torch.where(grown & (length == 0), whole, torch.where(halved & ~grown, 0.0, length))
    return torch.where(finite, torch.minimum(length, whole), 0.0), torch.where(finite & grown, whole, 0.0), steep


def _halved(near: Tensor, at_level: Callable[[int], Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what is left of rays whose slope grows faster than in proportion, and the slopes at its end and middle.

    A ray whose slope is not finite at its end is halved, too. The last part says where this came to an end: a high
    power of the distance from the anchor, and nothing else, has no length.

    Args:
        near: slopes at the anchor, shape `(contexts, rays)`.
        at_level: gives the slopes at 2^-level of each ray.
    """
    whole, end, before = torch.ones_like(near), at_level(0), at_level(1)
    going, settled = near.isfinite(), torch.ones_like(near, dtype=torch.bool)
    for level in range(1, LEVELS - 1):
        faster = ~(end - before <= FASTER * (before - near))
        going = going & (~end.isfinite() | (faster & _visible(near, before)))
        settled = ~going & (~faster | (whole > FLAT))
        if not bool(going.any()):
            break
        after = at_level(level + 1)
        whole = torch.where(going, 2.0**-level, whole)
        end, before = torch.where(going, before, end), torch.where(going, after, before)
    return whole, end, before, settled


def _visible(near: Tensor, at: Tensor) -> Tensor:
    """Return whether two slopes are told from each other."""
    return at - near > ROUNDING * (at.abs() + near.abs())
