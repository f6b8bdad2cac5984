"""Weak duality on the rows of a set, in real arithmetic: y in K* proves (G'y)'v <= h'y for every v of the set.

v of the set has h - G v = s in K, and y's >= 0 for every y in K*. Multipliers y are floats that are first moved into K*
with room for rounding; G'y is returned with a bound of its rounding error, h'y is rounded up.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn._margins import TINY, relative_margin
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows

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


class WeakDuality:
    """The rows of a set, prepared for many multipliers.

    Args:
        rows: the set, G v + s = h, s in K.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._transposed = sparse.csr_array(rows.G.T)
        self._absolute = abs(self._transposed)
        self._planes = _single_planes(rows)
        self._pattern = sparse.csr_array(self._absolute > 0, dtype=np.float64)

    def moved(self, rows: Rows) -> WeakDuality:
        """Return the same for rows of the same matrix with other right-hand sides."""
        other = copy(self)
        other.rows = rows
        return other

    def planes(self, j: int) -> list[tuple[int, float]]:
        """Return (row, entry) of the inequalities that hold v_j alone."""
        return self._planes.get(j, [])

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
    for head, size in zip(cones.heads, cones.second_order, strict=True):
        if np.abs(y[head : head + size]).max() <= noise:
            y[head : head + size] = 0.0
        tail = y[head + 1 : head + size]
        largest = np.abs(tail).max(initial=0.0)
        length = 0.0
        if largest > 0.0:  # divided out first: squares neither overflow nor underflow
            length = largest * float(np.linalg.norm(tail / largest)) * (1.0 + relative_margin(size + 8)) + TINY
        y[head] = max(y[head], length)
    return y


def _single_planes(rows: Rows) -> dict[int, list[tuple[int, float]]]:
    """Return (row, entry) of the inequalities with one entry, by their coordinate."""
    G, zero = rows.G, rows.cones.zero
    planes: dict[int, list[tuple[int, float]]] = {}
    for i in np.flatnonzero(np.diff(G.indptr)[: zero + rows.cones.nonnegative] == 1):
        if i >= zero and G.data[G.indptr[i]] != 0.0:
            planes.setdefault(int(G.indices[G.indptr[i]]), []).append((int(i), float(G.data[G.indptr[i]])))
    return planes
