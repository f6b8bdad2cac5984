"""Weak duality on the rows of a set, in real arithmetic: y in K* proves (G'y)'v <= h'y for every v of the set.

v of the set has h - G v = s in K, and y's >= 0 for every y in K*. Multipliers y are floats that are first moved into K*
with room for rounding; G'y is returned with a bound of its rounding error, h'y is rounded up.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn._margins import EPS, TINY, relative_margin
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from verify._optimum.lengths import lengths, most_of, spread

CLEAN = 1e-10  # multipliers of planes this many times smaller than the largest are noise


@dataclass(frozen=True, eq=False)
class Combination:
    """sum'v <= most for every v of the set.

    Args:
        sum: G'y in float64, shape `(variables,)`.
        error: bound of |sum - G'y|, exactly 0 where no row in use has an entry.
        most: upper bound of h'y.
    """

    sum: Array
    error: Array
    most: float


@dataclass(frozen=True, eq=False)
class SinglePlanes:
    """The inequalities with one entry, sorted by their coordinate.

    Args:
        row: shape `(planes,)`.
        column: their coordinate, shape `(planes,)`.
        entry: shape `(planes,)`.
        rank: how many planes of the same coordinate stand before, shape `(planes,)`.
    """

    row: IntArray
    column: IntArray
    entry: Array
    rank: IntArray

    @classmethod
    def of(cls, rows: Rows) -> Self:
        """Return those of a set."""
        G, cones = rows.G, rows.cones
        row = np.flatnonzero(np.diff(G.indptr)[: cones.zero + cones.nonnegative] == 1)
        row = row[row >= cones.zero]
        row = row[G.data[G.indptr[row]] != 0.0]
        row = row[np.argsort(G.indices[G.indptr[row]], kind="stable")]
        column = G.indices[G.indptr[row]].astype(np.int64)
        rank = np.arange(len(row)) - np.searchsorted(column, column)
        return cls(row, column, G.data[G.indptr[row]], rank)


class WeakDuality:
    """The rows of a set, prepared for many multipliers.

    Args:
        rows: the set, G v + s = h, s in K.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._transposed = rows.transposed
        self._absolute = abs(self._transposed)
        self._pattern = sparse.csr_array(self._absolute > 0, dtype=np.float64)
        self.single = SinglePlanes.of(rows)

    def moved(self, rows: Rows) -> WeakDuality:
        """Return the same for rows of the same matrix with other right-hand sides."""
        other = copy(self)
        other.rows = rows
        return other

    def lowered(self, y: Array, lack: Array, sign: Array) -> tuple[Array, Array]:
        """Return y with multipliers of single bounds lowered until r_j has moved by `lack` to its sign, and what lacks.

        Lowering the multiplier of v_j >= l by d moves the bound by nothing: h'y and r_j l change alike.
        """
        y, lack, single = y.copy(), lack.copy(), self.single
        for rank in range(int(single.rank.max(initial=-1)) + 1 if (lack > 0.0).any() else 0):
            i, j, g = (part[single.rank == rank] for part in (single.row, single.column, single.entry))
            some = (lack[j] > 0.0) & (sign[j] * g < 0.0) & (y[i] > 0.0)
            i, j, g = i[some], j[some], np.abs(g[some])
            step = np.minimum(y[i], lack[j] * (1.0 + 4 * EPS) / g)
            y[i] -= step
            lack[j] -= step * g
        return y, lack

    def combine(self, y: Array) -> Combination:
        """Return what the multipliers y prove; y is in K*, as `into_dual_cone` returns it."""
        size = np.abs(y)
        terms = len(y)
        used = self._pattern @ (size > 0).astype(np.float64) > 0
        error = np.where(used, relative_margin(terms) * (self._absolute @ size) + TINY, 0.0)
        h = self.rows.h
        most = float(h @ y)
        most += relative_margin(terms + 2) * float(np.abs(h) @ size) + TINY
        return Combination(self._transposed @ y, error, most)


def into_dual_cone(y: Array, cones: Cones, noise: float = 0.0) -> Array:
    """Return y moved into K*, in real arithmetic: inequalities clipped at 0, heads of cones raised to their length.

    Multipliers of exponential cones are only clipped: their membership is judged in the box where they end.

    Args:
        y: multipliers, shape `(rows,)`.
        cones: the cone K.
        noise: entries of planes up to this are set to 0, and cones with no larger entry.
    """
    y = y.copy()
    cut = cones.zero + cones.nonnegative
    planes = y[:cut]
    planes[np.abs(planes) <= max(noise, CLEAN * np.abs(y).max(initial=0.0))] = 0.0
    y[cones.zero : cut] = np.maximum(y[cones.zero : cut], 0.0)
    if cones.second_order:
        if noise > 0.0:
            faint = most_of(cones, np.abs(y)) <= noise
            y[cut : cones.exponential_start][spread(cones, faint)] = 0.0
        y[cones.heads] = np.fmax(y[cones.heads], lengths(cones, y))
    if cones.exponential:
        part = y[cones.exponential_start :].reshape(-1, 3)
        part[np.abs(part).max(axis=1) <= max(noise, CLEAN * np.abs(y).max(initial=0.0))] = 0.0
        part[:, 0], part[:, 2] = np.minimum(part[:, 0], 0.0), np.maximum(part[:, 2], 0.0)
    return y
