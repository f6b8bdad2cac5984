"""Points that solvers return, moved into the set: onto its equalities, then towards a point of its interior.

A solver misses its constraints by its tolerance. The correction of the equalities is the least-norm one. Of the
inequalities and cones, a point v with violation a >= 0 in a row where the interior point w has slack b > 0 satisfies
the row at v + t (w - v), t = a / (a + b), because violations are convex; the largest t of all rows will do. Where the
set has no interior, what a point crosses is held with equality.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import sparse

from decision._minimise.answers import FEASIBLE
from decision._minimise.constrained.constraints import some
from socicnn._arrays import Array, BoolArray
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.conic.solvers import Solver
from verify._optimum.extents import Extents, single_bounds
from verify._optimum.interior import deepest, slack
from verify._optimum.lengths import most_of, spread

LARGEST = 2000  # equalities or variables up to which a pseudoinverse is worth its cubes
INSIDE = 0.05  # of each row's width: slack of a point that is well inside
PASSES = 3  # each leaves the rounding of the one before
CROSSINGS = 8  # passes that hold what a point crosses
DEPENDENT = 1e-11  # singular values, relative to the largest, that count as zero
LEAST = 2.0**-50  # violation that is rounding
MORE = 1.0 + 2.0**-20  # of the step, for its own rounding


class Repair:
    """Moves points into {v : h - G v in K}.

    Args:
        rows: the set.
        keep: which of its rows the solver can be given, shape `(rows,)`.
        extents: how far it reaches; tells which slack is large for a row.
        solver: finds a point of the interior, when a point is to be pulled there.
        before: the repair of rows with the same matrix, whose pseudoinverse is used again.
    """

    def __init__(
        self, rows: Rows, keep: BoolArray, extents: Extents, solver: Solver, before: Repair | None = None
    ) -> None:
        self._rows, self._keep, self._extents, self._solver = rows, keep, extents, solver
        self._norms: Array = _norms(rows) if before is None else before._norms
        self._inner_before = None if before is None else before.__dict__.get("inner")
        self._near = _near_planes(rows, keep)
        zero = rows.cones.zero
        self._onto: Array | None = None if before is None else before._onto
        if before is None and zero and max(zero, rows.G.shape[1]) <= LARGEST:
            self._onto = np.linalg.pinv(rows.G[:zero].toarray())

    @cached_property
    def inner(self) -> Array | None:
        """A point of the interior, that of the rows before if it is as far inside; None without an interior."""
        near = some(self._rows, self._keep)
        if _pinched(self._rows):
            return None
        if self._inner_before is not None and self._keep.all():
            v, cones, widths = self._on_equalities(self._inner_before), near.cones, _widths(near, self._extents)
            planes = widths[cones.zero : cones.zero + cones.nonnegative]
            if (slack(near, v) >= INSIDE * np.concatenate([planes, most_of(cones, widths)])).all():
                return v
        return self._interior(near)

    def __call__(self, v: Array) -> tuple[Array, float]:
        """Return the repaired point and its violation, relative to the row's own data; the best of a few."""
        missed = self.violation(v)
        if missed <= LEAST:
            return v, missed
        repaired = v
        for _ in range(2):  # the second time near by, with the rounding of near points
            repaired = self._pulled(self._on_equalities(repaired))
        best = min((repaired, self.violation(repaired)), (v, missed), key=lambda pair: pair[1])
        if not best[1] > FEASIBLE or max(self._rows.G.shape) > LARGEST:
            return best
        held = _onto_crossed(self._rows, self._norms, best[0])
        return min(best, (held, self.violation(held)), key=lambda pair: pair[1])

    def violation(self, v: Array) -> float:
        """Return the worst violation of a row or cone, relative to its own size, max(|h_i|, |G_i| |v|).

        Rows of a cone share the largest size among them. Other rows do not matter: next to a bound of 1e8,
        x_1 + x_2 <= 1.4 still leaves out (1, 0.41). What rounding leaves of numbers as large as the planes next to the
        origin that cut the same axes counts as rounding: -1e-17 in x >= 0, where x <= 1.
        """
        rows = self._rows
        missed = rows.cones.violation(rows.h - rows.G @ v)
        if not missed.any():
            return 0.0
        size = _shared(rows.cones, np.maximum(np.abs(rows.h), rows.absolute @ np.abs(v)))
        size = np.where(missed <= LEAST * self._near, np.maximum(size, self._near), size)
        return float(np.divide(missed, size, out=np.zeros_like(missed), where=missed != 0.0).max())

    def _on_equalities(self, v: Array) -> Array:
        zero = self._rows.cones.zero
        if self._onto is None:
            return v
        G, h = self._rows.G[:zero], self._rows.h[:zero]
        for _ in range(PASSES):
            v = v - self._onto @ (G @ v - h)
        return v

    def _pulled(self, v: Array) -> Array:
        if not (slack(self._rows, v) < 0).any() or self.inner is None:
            return v
        for _ in range(PASSES):
            missed, room = slack(self._rows, v), slack(self._rows, self.inner)
            outside = missed < 0
            if not outside.any():
                break
            t = float(np.max(-missed[outside] / (room[outside] - missed[outside])))
            v = v + min(t * MORE, 1.0) * (self.inner - v)
        return v

    def _interior(self, rows: Rows) -> Array | None:
        """Return the point of the largest share of each row's width, or None if there is no interior."""
        v = deepest(rows, _widths(rows, self._extents), self._solver)
        if not np.isfinite(v).all():
            return None
        v = self._on_equalities(v)
        return v if (slack(self._rows, v) > 0).all() else None


def _pinched(rows: Rows) -> bool:
    """Return whether two bounds of a coordinate that are inequalities leave it no room."""
    planes = np.arange(rows.cones.zero, rows.cones.zero + rows.cones.nonnegative)
    alone = Rows(sparse.csr_array(rows.G[planes]), rows.h[planes], Cones(0, len(planes)))
    ends = single_bounds(alone)
    return bool((np.nextafter(ends.lower, np.inf) >= np.nextafter(ends.upper, -np.inf)).any())


def _near_planes(rows: Rows, keep: BoolArray) -> Array:
    """Return min_j |G_ij| d_j of each row, d_j the least |h_k / G_kj| of the rows that are kept and cut axis j.

    An axis that none of them cuts has the least d of all, and 1 if all rows go through the origin.
    """
    G = sparse.coo_array(rows.G)
    entries, cut = np.abs(G.data), keep[G.row] & (rows.h[G.row] != 0.0) & (G.data != 0.0)
    d = np.full(G.shape[1], np.inf)
    np.minimum.at(d, G.col[cut], np.abs(rows.h[G.row[cut]]) / entries[cut])
    least = float(d.min(initial=np.inf))
    d[np.isinf(d)] = least if np.isfinite(least) else 1.0
    nearest = np.full(G.shape[0], np.inf)
    np.minimum.at(nearest, G.row, np.where(entries > 0.0, entries * d[G.col], np.inf))
    return _shared(rows.cones, np.where(np.isfinite(nearest), nearest, 0.0))


def _shared(cones: Cones, sizes: Array) -> Array:
    """Return sizes of rows, those of a cone all the largest of its rows."""
    sizes = sizes.copy()
    sizes[cones.zero + cones.nonnegative :] = spread(cones, most_of(cones, sizes))
    return sizes


def _norms(rows: Rows) -> Array:
    """Return ||G_i|| of each row, the largest of its cone for rows of a cone, 1 for rows of zeros."""
    norms = _shared(rows.cones, rows.lengths)
    return np.where(norms > 0, norms, 1.0)


def _widths(rows: Rows, extents: Extents) -> Array:
    """Return how much slack each row can have about, shape `(rows,)`; the size of its data if it is unbounded."""
    span = extents.upper - extents.lower
    size = rows.absolute @ np.where(np.isfinite(span), np.maximum(span, 0.0), 0.0)
    return np.where(size > 0, size, np.maximum(np.abs(rows.h), _norms(rows)))


def _onto_crossed(rows: Rows, norms: Array, v: Array) -> Array:
    """Return a point next to v that crosses less of h - G v in K; v itself if it crosses nothing.

    With c_i the held constraints and J their gradients, v moves by the least-norm solution of J dv = -c. What it
    crosses then is held too. A point that misses the set by a solver's tolerance crosses what is tight near by, which
    all hold with equality at a point near by; so few passes do.
    """
    cones = rows.cones
    held = np.zeros(cones.zero + cones.nonnegative + len(cones.second_order), dtype=bool)
    for _ in range(CROSSINGS):
        c, J = _constraints(rows, norms, v)
        held[: cones.zero] = True
        held |= c > 0.0
        if not (np.abs(c[: cones.zero]).any() or (c > 0.0).any()):
            break
        v = v - np.linalg.lstsq(J[held], c[held], rcond=DEPENDENT)[0]
    return v


def _constraints(rows: Rows, norms: Array, v: Array) -> tuple[Array, Array]:
    """Return each constraint, at most zero where it holds, and its gradient: rows, then ||u|| - t of cones."""
    cones = rows.cones
    G, h = rows.G.toarray() / norms[:, None], rows.h / norms
    s = h - G @ v
    linear = cones.zero + cones.nonnegative
    values, slopes = [-s[:linear]], [G[:linear]]
    for head, size in zip(cones.heads.tolist(), cones.second_order, strict=True):
        t, u = s[head], s[head + 1 : head + size]
        length = float(np.linalg.norm(u))
        values.append(np.array([length - t]))
        slopes.append((G[head] - (u / length if length > 0 else u) @ G[head + 1 : head + size])[None])
    return np.concatenate(values), np.vstack(slopes)
