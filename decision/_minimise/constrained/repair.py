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
from decision._minimise.constrained.crossed import onto_crossed
from socicnn._arrays import Array, BoolArray
from socicnn.conic._cones import Cones
from socicnn.conic._program import ConicProgram
from socicnn.conic._rows import Rows
from socicnn.conic._scaled import Scaled
from socicnn.conic.solvers import Solver
from verify._optimum.extents import Extents, single_bounds

LARGEST = 2000  # equalities or variables up to which a pseudoinverse is worth its cubes
INSIDE = 0.05  # of each row's width: slack of a point that is well inside
PASSES = 3  # each leaves the rounding of the one before
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
        self._size = float((np.abs(rows.h) / self._norms)[keep].max(initial=0.0))
        zero = rows.cones.zero
        self._onto: Array | None = None if before is None else before._onto
        if before is None and zero and max(zero, rows.G.shape[1]) <= LARGEST:
            self._onto = np.linalg.pinv(rows.G[:zero].toarray())

    @cached_property
    def inner(self) -> Array | None:
        """A point of the interior, that of the rows before if it is as far inside; None without an interior."""
        if _pinched(self._rows):
            return None
        if self._inner_before is not None and self._keep.all():
            v = self._on_equalities(self._inner_before)
            if (self._slack(v) >= INSIDE * _widths(some(self._rows, self._keep), self._extents)).all():
                return v
        return self._interior(some(self._rows, self._keep), self._extents, self._solver)

    def __call__(self, v: Array) -> tuple[Array, float]:
        """Return the repaired point and its violation, relative to the data of the rows; the best of a few."""
        missed = self.violation(v)
        if missed <= LEAST:
            return v, missed
        repaired = v
        for _ in range(2):  # the second time near by, with the rounding of near points
            repaired = self._pulled(self._on_equalities(repaired))
        best = min((repaired, self.violation(repaired)), (v, missed), key=lambda pair: pair[1])
        if not best[1] > FEASIBLE or max(self._rows.G.shape) > LARGEST:
            return best
        held = onto_crossed(self._rows, self._norms, best[0])
        return min(best, (held, self.violation(held)), key=lambda pair: pair[1])

    def violation(self, v: Array) -> float:
        """Return max_i (violation_i / ||G_i||) / max(max_i |h_i| / ||G_i||, max_j |v_j|).

        Rows of a cone share the largest norm among them; planes that are far away, like x <= 1e15, do not enlarge the
        data.
        """
        missed = self._rows.cones.violation(self._rows.h - self._rows.G @ v) / self._norms
        size = max(self._size, float(np.abs(v).max(initial=0.0)))
        worst = float(missed.max(initial=0.0))
        return worst / size if worst > 0.0 else worst

    def _on_equalities(self, v: Array) -> Array:
        zero = self._rows.cones.zero
        if self._onto is None:
            return v
        G, h = self._rows.G[:zero], self._rows.h[:zero]
        for _ in range(PASSES):
            v = v - self._onto @ (G @ v - h)
        return v

    def _pulled(self, v: Array) -> Array:
        if not (self._slack(v) < 0).any() or self.inner is None:
            return v
        for _ in range(PASSES):
            missed, slack = self._slack(v), self._slack(self.inner)
            outside = missed < 0
            if not outside.any():
                break
            t = float(np.max(-missed[outside] / (slack[outside] - missed[outside])))
            v = v + min(t * MORE, 1.0) * (self.inner - v)
        return v

    def _slack(self, v: Array) -> Array:
        """Return s_i of each inequality and s_0 - ||u|| of each cone."""
        cones = self._rows.cones
        s = self._rows.h - self._rows.G @ v
        plain = s[cones.zero : cones.zero + cones.nonnegative]
        pairs = zip(cones.heads, cones.second_order, strict=True)
        return np.concatenate([plain, [s[head] - np.linalg.norm(s[head + 1 : head + k]) for head, k in pairs]])

    def _interior(self, rows: Rows, extents: Extents, solver: Solver) -> Array | None:
        """Return the point of the largest share tau of each row's width, or None if there is no interior."""
        cones, variables = rows.cones, rows.G.shape[1]
        width = _widths(rows, extents)
        if not len(width):
            return None
        place = np.concatenate([np.arange(cones.zero, cones.zero + cones.nonnegative), cones.heads])
        column = np.zeros(cones.rows)
        column[place] = width
        top = np.zeros((1, variables + 1))
        top[0, -1] = 1.0
        G = sparse.hstack([rows.G, sparse.csr_array(column[:, None])], format="csr")
        cut = cones.zero
        A = sparse.vstack([G[:cut], top, G[cut:]], format="csc")
        h = np.concatenate([rows.h[:cut], [1.0], rows.h[cut:]])
        program = ConicProgram(
            sparse.csc_array(A), h, -top[0], 0.0, Cones(cut, cones.nonnegative + 1, cones.second_order)
        )
        v = Scaled(solver, program).solve(h, program.c, 0.0).v[:-1]
        if not np.isfinite(v).all():
            return None
        v = self._on_equalities(v)
        return v if (self._slack(v) > 0).all() else None


def _pinched(rows: Rows) -> bool:
    """Return whether two bounds of a coordinate that are inequalities leave it no room."""
    planes = np.arange(rows.cones.zero, rows.cones.zero + rows.cones.nonnegative)
    alone = Rows(sparse.csr_array(rows.G[planes]), rows.h[planes], Cones(0, len(planes)))
    ends = single_bounds(alone)
    return bool((np.nextafter(ends.lower, np.inf) >= np.nextafter(ends.upper, -np.inf)).any())


def _norms(rows: Rows) -> Array:
    """Return ||G_i|| of each row, the largest of its cone for rows of a cone, 1 for rows of zeros."""
    norms = np.sqrt(np.asarray((rows.G * rows.G).sum(axis=1)).reshape(-1))
    for head, size in zip(rows.cones.heads, rows.cones.second_order, strict=True):
        norms[head : head + size] = norms[head : head + size].max()
    return np.where(norms > 0, norms, 1.0)


def _widths(rows: Rows, extents: Extents) -> Array:
    """Return how much slack each inequality and cone can have about; the size of its data if it is unbounded."""
    cones = rows.cones
    span = extents.upper - extents.lower
    size = abs(rows.G) @ np.where(np.isfinite(span), np.maximum(span, 0.0), 0.0)
    widths = np.where(size > 0, size, np.maximum(np.abs(rows.h), _norms(rows)))
    planes = widths[cones.zero : cones.zero + cones.nonnegative]
    pairs = zip(cones.heads, cones.second_order, strict=True)
    return np.concatenate([planes, [widths[head : head + k].max() for head, k in pairs]])
