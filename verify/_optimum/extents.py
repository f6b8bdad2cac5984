"""How far a set reaches in each coordinate, proven: lower <= v <= upper for every v of it.

Bounds come from single rows (v_j <= h_i / G_ij), and from cuts v_j <= most_j + rest_j'|v| whose small rests are what a
solver left. No rest needs a bounded set to begin with: v is a point with finite coordinates, so with R the rests of
the cuts of both signs, |v| <= c + R |v|; if d > 0 has R d <= theta d, theta < 1, then in the norm max_j |v_j| / d_j

    |v|_d <= |c|_d + theta |v|_d,   that is   |v_j| <= d_j max_k (c_k / d_k) / (1 - theta).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn._margins import EPS, TINY, relative_margin
from socicnn.conic._rows import Rows

STEPS = 60  # of the iteration for d
THETA = 0.9


@dataclass(frozen=True, eq=False)
class Extents:
    """Bounds of each coordinate over a set, infinite where nothing is proven; shape `(variables,)`."""

    lower: Array
    upper: Array

    @classmethod
    def free(cls, variables: int) -> Extents:
        """Return no bounds."""
        return cls(np.full(variables, -np.inf), np.full(variables, np.inf))

    @property
    def reach(self) -> Array:
        """The largest |v_j|."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    def within(self, other: Extents) -> Extents:
        """Return the tighter bound of each side."""
        return Extents(np.maximum(self.lower, other.lower), np.minimum(self.upper, other.upper))


@dataclass(frozen=True, eq=False)
class Cuts:
    """sign v_j <= most_j + rest_j'|v|, one per coordinate; most_j is infinite where there is no cut.

    Args:
        most: shape `(variables,)`.
        rest: shape `(variables, variables)`, entries >= 0.
    """

    most: Array
    rest: Array

    @classmethod
    def none(cls, variables: int) -> Cuts:
        """Return no cuts."""
        return cls(np.full(variables, np.inf), np.zeros((variables, variables)))

    def put(self, j: int, most: float, rest: Array) -> None:
        """Set the cut of coordinate j, if its numbers are finite."""
        if np.isfinite(most) and np.isfinite(rest).all():
            self.most[j], self.rest[j] = most, rest


def single_bounds(rows: Rows) -> Extents:
    """Return the bounds of rows with one entry: v_j <= h_i / G_ij, or = of an equality, rounded outward."""
    free = Extents.free(rows.G.shape[1])
    lower, upper, G, cones = free.lower, free.upper, rows.G, rows.cones
    at = np.flatnonzero(np.diff(G.indptr) == 1)
    at = at[(at < cones.zero + cones.nonnegative) & (G.data[G.indptr[at]] != 0.0)]
    j, g = G.indices[G.indptr[at]], G.data[G.indptr[at]]
    with np.errstate(over="ignore"):
        end = rows.h[at] / g
    above, below = (g > 0) | (at < cones.zero), (g < 0) | (at < cones.zero)
    np.minimum.at(upper, j[above], np.nextafter(end[above], np.inf))
    np.maximum.at(lower, j[below], np.nextafter(end[below], -np.inf))
    return Extents(lower, upper)


def propagated(rows: Rows, known: Extents, rounds: int = 2) -> Extents:
    """Return what linear rows add to extents: g_j v_j <= h - sum over k != j of min g_k v_k, rounded outward.

    Args:
        rows: the set.
        known: bounds that hold already.
        rounds: times that all rows are used.
    """
    cut = rows.cones.zero + rows.cones.nonnegative
    G = sparse.coo_array(rows.G[:cut])
    some = G.data != 0.0
    at, j, g, h = G.row[some], G.col[some], G.data[some], rows.h[:cut]
    equal = at < rows.cones.zero
    at, j, g = (np.concatenate([part, sign * part[equal]]) for part, sign in ((at, 1), (j, 1), (g, -1.0)))
    side = np.concatenate([np.ones(int(some.sum())), -np.ones(int(equal.sum()))])
    group = at + cut * (side < 0)  # an equality is two inequalities
    count = np.bincount(group, minlength=2 * cut)
    for _ in range(rounds):
        with np.errstate(invalid="ignore", over="ignore"):
            least = np.where(g > 0, g * known.lower[j], g * known.upper[j])
        open_side = ~np.isfinite(least)
        value = np.where(open_side, 0.0, least)
        opens, sums, sizes = (np.bincount(group, part, 2 * cut) for part in (open_side, value, np.abs(value)))
        alone = opens[group] - open_side == 0  # nothing else in the row is without bound
        top = side * h[at] - (sums[group] - value)
        error = relative_margin(4) * (np.abs(h[at]) + 2 * sizes[group]) * (count[group] + 4) + TINY
        with np.errstate(over="ignore", invalid="ignore"):
            end = (top + error) / g
        ok = alone & np.isfinite(end)
        upper, lower = known.upper.copy(), known.lower.copy()
        high, low = ok & (g > 0), ok & (g < 0)
        np.minimum.at(upper, j[high], np.nextafter(end[high] + 4 * EPS * np.abs(end[high]), np.inf))
        np.maximum.at(lower, j[low], np.nextafter(end[low] - 4 * EPS * np.abs(end[low]), -np.inf))
        known = Extents(lower, upper)
    return known


def chained(start: Extents, above: Cuts, below: Cuts) -> Extents:
    """Return the extents that cuts of both signs add to those that are known.

    Args:
        start: what is known.
        above: cuts of v_j.
        below: cuts of -v_j.
    """
    reach = start.reach
    reach = _chain(reach, np.maximum(above.most, below.most), np.maximum(above.rest, below.rest))
    extents = Extents(np.maximum(start.lower, -reach), np.minimum(start.upper, reach))
    for _ in range(2):
        reach = extents.reach
        upper, lower = _value(above, reach), -_value(below, reach)
        extents = extents.within(Extents(lower, upper))
    return extents


def _value(cuts: Cuts, reach: Array) -> Array:
    """Return most + rest'reach, rounded up; a rest of 0 needs no reach."""
    with np.errstate(invalid="ignore"):
        products = np.where(cuts.rest == 0.0, 0.0, cuts.rest * reach)
    rest = products.sum(axis=1) * (1.0 + relative_margin(len(reach))) + TINY * (products > 0).any(axis=1)
    return cuts.most + rest + EPS * 4 * (np.abs(cuts.most) + rest)


def _chain(reach: Array, most: Array, rest: Array) -> Array:
    """Return the reach with the coordinates that cuts bound through each other."""
    known = np.isfinite(reach)
    some = ~known & np.isfinite(most)
    while True:  # a cut whose rest needs a coordinate that nothing bounds is no cut
        left = some & ~(rest[:, ~known & ~some] > 0).any(axis=1)
        if (left == some).all():
            break
        some = left
    if not some.any():
        return reach
    margin = 1.0 + relative_margin(4 * len(reach))
    c = np.maximum(_value(Cuts(most[some], rest[some][:, known]), reach[known]), 0.0)
    R = rest[some][:, some]
    d = least = np.maximum(c, TINY)
    with np.errstate(over="ignore", invalid="ignore"):  # rests that are no rests, of a solver that lies
        for _ in range(STEPS):
            d = least + 2.0 * (R @ d)
        theta = float(np.max((R @ d + TINY) * margin / d))
    if not (np.isfinite(d).all() and theta <= THETA):
        return reach
    reach = reach.copy()
    reach[some] = d * (np.max(c / d) / (1.0 - theta)) * margin + TINY
    return reach
