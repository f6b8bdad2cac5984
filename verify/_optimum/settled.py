"""What is settled once some variables are fixed: rows that fix others, and rows that nothing can change any more.

Big-M rows 0 <= v_j <= M v_k have no interior where v_k = 0: v_j is 0, too. The search fixes such variables and looks
for slack in the other rows alone. Nothing here is believed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray
from socicnn.conic._cones import Cones
from socicnn.conic._rows import ProgramRows, Rows

ROOM = 1e-9  # of a row's size: bounds that are this close are one


@dataclass(frozen=True, eq=False)
class Settled:
    """Variables that the rows fix.

    Args:
        v: their values, NaN of the others, shape `(variables,)`.
        tight: the inequalities that fix them, shape `(rows,)`.
        possible: whether no row is violated for sure.
    """

    v: Array
    tight: BoolArray
    possible: bool

    def put(self, v: Array) -> Array:
        """Return a point with these values."""
        return np.where(np.isnan(self.v), v, self.v)

    def rest(self, rows: Rows) -> Rows:
        """Return the rows of the other variables; rows that hold no others are left out."""
        free = np.isnan(self.v)
        G = sparse.csr_array(rows.G)
        h = rows.h - G @ np.where(free, 0.0, self.v)
        part = sparse.csr_array(G[:, np.flatnonzero(free)])
        some = np.asarray(abs(part).sum(axis=1)).reshape(-1) > 0
        cones, cut = rows.cones, rows.cones.zero + rows.cones.nonnegative
        keep, sizes = some.copy(), []
        for head, size in zip(cones.heads, cones.second_order, strict=True):
            keep[head : head + size] = some[head : head + size].any()
            sizes += [size] if keep[head] else []
        keep[cones.exponential_start :] = np.repeat(some[cones.exponential_start :].reshape(-1, 3).any(axis=1), 3)
        zero, planes = int(keep[: cones.zero].sum()), int(keep[cones.zero : cut].sum())
        curved = int(keep[cones.exponential_start :].sum()) // 3
        return ProgramRows(sparse.csr_array(part[keep]), h[keep], Cones(zero, planes, tuple(sizes), curved))


def settle(rows: Rows) -> Settled:
    """Return the variables that equalities and bounds fix one after the other."""
    G, h, cones = sparse.csr_array(rows.G), rows.h, rows.cones
    cut = cones.zero + cones.nonnegative
    v = np.full(G.shape[1], np.nan)
    tight = np.zeros(cones.rows, dtype=bool)
    absolute = abs(G)
    coo = sparse.coo_array(G)
    some = coo.data != 0.0
    at, columns, entries = coo.row[some], coo.col[some], coo.data[some]
    while True:
        known = np.where(np.isnan(v), 0.0, v)
        left = h - G @ known
        room = ROOM * (np.abs(h) + absolute @ np.abs(known))
        count = (absolute > 0) @ np.isnan(v).astype(np.float64)
        done = np.flatnonzero(count[:cut] == 0)
        wrong = (left[done] < -room[done]) | ((done < cones.zero) & (left[done] > room[done]))
        if wrong.any():
            return Settled(v, tight, possible=False)
        single = (count[at] == 1) & (at < cut) & np.isnan(v[columns])
        i, j, g = at[single], columns[single], entries[single]
        ends = left[i] / g
        lower, upper = np.full(len(v), -np.inf), np.full(len(v), np.inf)
        high, low = (g > 0) | (i < cones.zero), (g < 0) | (i < cones.zero)
        np.minimum.at(upper, j[high], ends[high])
        np.maximum.at(lower, j[low], ends[low])
        size = ROOM * np.maximum(np.abs(lower), np.abs(upper))
        with np.errstate(invalid="ignore"):
            if (lower > upper + size).any():
                return Settled(v, tight, possible=False)
            met = np.flatnonzero(lower >= upper - np.where(np.isfinite(size), size, 0.0))
        if not len(met):
            return Settled(v, tight, possible=True)
        v[met] = np.where(np.abs(lower[met]) <= np.abs(upper[met]), lower[met], upper[met])
        for row in i[(i >= cones.zero) & (ends == v[j])]:  # one row for each variable
            tight[row] = not tight[i[j == j[i == row][0]]].any()
