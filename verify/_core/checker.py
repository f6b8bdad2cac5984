"""The trusted core: judge a claimed value from exported arrays alone.

It sees A, B, b, q, d, r and the cones K of

    f(x) = min_v  q'v + d'x + r     s.t.   A v + s = b + B x,   s in K
    dual:  max_y  -(b + B x)'y + d'x + r     s.t.   A'y + q = 0,   y in K*

a point x, vectors v and y, a forward value that was computed independently, and the data scale S of that forward
value. It knows no network, asks no solver and trusts no label: the names of the rows only name the metrics. By weak
duality, v in the primal cone, y in the dual cone, A'y + q = 0 and a zero gap prove the value of the program; agreement
with the forward value proves program = network at x. Nothing that a claimant chooses sets the tolerance of a value:
S comes from network and x, and the scales k of the rotated cones are held next to ||p||. NumPy and SciPy alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from socicnn._arrays import Array, BoolArray
from socicnn.conic._data import ValueData
from verify._core.lifts import Scales, lifts_exact
from verify._core.products import Split
from verify._core.rows import SMALLEST, Worst, allowances, residuals, rounding, runs_of
from verify._core.terms import Arrays, Point, evaluate, own_entries


@dataclass(frozen=True, eq=False)
class Checked:
    """The verdict on each point of a batch of N: arrays of shape `(N,)`."""

    value: Array  # primal objective q'v + d'x + r
    dual: Array  # dual objective -(b + B x)'y + d'x + r
    forward: Array  # the value that was computed independently
    slope: Array  # d - B'y, the subgradient that y proves, shape `(N, n)`
    offset: Array  # r - b'y, so that f(z) >= slope'z + offset for every z
    residuals: dict[str, Array]  # name of a metric -> its worst residual at each point
    # name -> the tolerance at the place of that residual, or a smaller one that already sufficed; a metric without a
    # tolerance is reported and not judged
    tolerances: dict[str, Array]
    ok: BoolArray  # whether every judged metric is within its tolerance; NaN is not

    @property
    def gap(self) -> Array:
        """Primal minus dual objective; a quarter of honest gaps are negative by rounding."""
        return self.value - self.dual


class Checker:
    """Holds the arrays of one program and checks witnesses against them.

    With scale_i = sum_j |A_ij||v_j| + sum_j |B_ij||x_j| + |b_i|, a residual of row i passes within
    `tolerance * (1 + scale_i)`, one of a cone within the same with the 2-norm of its rows' scales, a product s'y within
    `tolerance * (1 + sum_i scale_i |y_i|)`.

    The dual point has relative tolerances alone, since a multiplier that is small next to 1 may weigh a large row, and
    they are those of rounding, since y speaks of every x: with c = min(1, 1e12 (m + 8) 2^-52), m the number of entries
    that are summed, stationarity passes within `c * tolerance * (sum_i |A_ij||y_i| + |q_j|)`, a dual cone within
    `c * tolerance * ||y||`; the multiplier of an inequality must be >= 0.

    Gap and forward value pass within `tolerance * (1 + S)`, S the data scale of the network at x, and what rounding of
    the network leaves open: its bracket may be wider than that at kinks and where terms cancel inside a layer.

    Args:
        program: the exported arrays, of one context or with stacked contexts.
        tolerance: relative tolerance.
    """

    def __init__(self, program: ValueData, tolerance: float = 1e-12) -> None:
        self.tolerance = float(tolerance)
        parts = [sparse.csr_array(program.A), -sparse.csr_array(program.B)]
        rows = sparse.csr_array(sparse.hstack(parts, format="csr"))  # [A | -B](v, x) = b - s
        rows.sum_duplicates()  # several entries of one place stand for their sum
        # features first, one column per context
        b, q, d = (np.atleast_2d(vector).T for vector in (program.b, program.q, program.d))
        r = np.atleast_1d(program.r)
        self._finite = all(bool(np.isfinite(array).all()) for array in (rows.data, b, q, d, r))
        self._zero = program.cones.zero
        self._runs = runs_of(program)
        t, heads = (np.asarray(index, dtype=np.int64) for index in (program.lifts.columns, program.lifts.heads))
        cones = dict(zip(program.cones.heads.tolist(), program.cones.second_order, strict=True))
        sizes = np.asarray([cones.get(head, 0) for head in heads.tolist()], dtype=np.int64)
        self._lifts_exact = bool((sizes >= 2).all()) and lifts_exact(rows, b, t, heads)
        if not self._lifts_exact:  # nothing passes; the metrics are those of the program as it stands
            t = heads = sizes = t[:0]
        self._scales = Scales(sparse.csr_array(program.B), heads, sizes)
        a, offset = np.asarray(rows[heads, t]).reshape(-1, 1), b[heads]
        if len(t):  # the two rows of a lift that hold t move with k, so they are kept apart
            keep = np.ones(rows.shape[0])
            keep[heads] = keep[heads + 1] = 0.0
            rows.data *= np.repeat(keep, np.diff(rows.indptr))
            rows.eliminate_zeros()
            b = b * keep[:, None]
        self._lifts = len(program.lifts)
        sides = (program.rows, program.columns)
        cuts = [[end for block in blocks for end in (block.start, block.stop)] for blocks in sides]
        cuts[1].append(len(q))
        turned = Split(sparse.csr_array(rows.T), *cuts[::-1])
        self._arrays = Arrays(self._parts(rows, cuts), turned, b, q, d, r, a, offset, t, heads)
        self._own = own_entries(rows, len(q))
        curved = self._own.indices - program.cones.exponential_start
        self._own.data[(curved >= 0) & (curved % 3 == 0)] *= -1.0  # the first multiplier of their cones is negative
        self._rounding = rounding(np.bincount(rows.indices, minlength=rows.shape[1])[: len(q)])[:, None]

    def _parts(self, rows: sparse.csr_array, cuts: list[list[int]]) -> tuple[Split, ...]:
        """Return the equalities and each run of rows, with the places of blocks of rows and of columns."""
        places = [(0, self._zero)] * (self._zero > 0) + [(run.start, run.stop) for run in self._runs]
        return tuple(Split(rows[a:b], [cut - a for cut in cuts[0]], cuts[1]) for a, b in places)

    def __call__(
        self,
        x: Array,
        v: Array,
        y: Array,
        forward: Array,
        k: Array | None = None,
        *,
        scale: Array,
        slack: Array | None = None,
        contexts: slice = slice(None),
    ) -> Checked:
        """Check N points.

        Args:
            x: points, shape `(N, n)`.
            v: primal points, shape `(N, variables)`.
            y: dual points, shape `(N, m)`.
            forward: values that were computed independently, shape `(N,)`.
            k: scale of each quadratic's lift, shape `(N, quadratics)`, within a factor of four of the power of two
                next to ||p||: t = k t', the cone ((t' + k)/2, (t' - k)/2, p). Defaults to 1, which passes for every p.
            scale: S, the data scale of the forward value, shape `(N,)`, from network and x alone; less is safe too.
            slack: distance from the forward value to the nearer end of the network's proven bracket, shape `(N,)`: a
                value that passes lies in the bracket widened by `tolerance * (1 + S)`. Defaults to 0.
            contexts: which of the stacked contexts the points belong to, in order; defaults to all.

        Raises:
            ValueError: the shapes do not fit the program.
        """
        N, arrays = len(x), self._arrays
        plain = k is None
        k = np.ones((N, self._lifts)) if k is None else k
        m, variables, n = arrays.columns.shape[1], arrays.q.shape[0], arrays.d.shape[0]
        wanted = {"x": (N, n), "v": (N, variables), "y": (N, m), "forward": (N,), "k": (N, self._lifts), "scale": (N,)}
        for (name, shape), array in zip(wanted.items(), (x, v, y, forward, k, scale), strict=True):
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape} for this program; received {array.shape}")
        arrays = arrays.context(contexts)
        if any(array.shape[-1] not in (1, N) for array in (arrays.b, arrays.q, arrays.d, arrays.r)):
            raise ValueError(f"{arrays.r.shape[-1]} contexts need as many points; received {N}")
        point = Point(*(np.ascontiguousarray(array.T) for array in (x, v, y, k[:, : len(arrays.t)])))
        with np.errstate(all="ignore"):  # overflow and NaN end as a failed check
            limit = self._of_values(scale, slack)
            checked = self._quick(arrays, point, forward, limit)
            scaled = np.ones(N, dtype=bool) if plain else self._scales.allowed(point.x, arrays.b, point.k)
            if not scaled.all():
                checked.residuals["lift_scale"] = np.where(scaled, 0.0, np.inf)
                checked.tolerances["lift_scale"] = np.zeros(N)
                checked.ok[~scaled] = False
            if not (self._finite and self._lifts_exact):
                name = "lift_rows" if self._finite else "finite_program"
                checked.residuals[name], checked.tolerances[name] = np.full(N, np.inf), np.zeros(N)
                checked.ok[:] = False
            elif not checked.ok.all():
                doubtful = np.flatnonzero(~checked.ok & scaled)
                self._scaled(arrays.context(doubtful), point.take(doubtful), checked, doubtful, limit[doubtful])
        return checked

    def _least(self, arrays: Arrays, point: Point) -> Array:
        """Return part of the tolerance of A'y + q = 0: of the cost, and of the rows that bound each variable."""
        y, q, t = point.y, np.abs(arrays.q), arrays.t
        size: Array = self._own @ y  # each y with the sign that its cone asks for
        lifted = size[t] + q[t] * point.k + np.abs(arrays.a) * (np.abs(y[arrays.heads]) + np.abs(y[arrays.heads + 1]))
        size += q
        size[t] = lifted
        np.maximum(size, 0.0, out=size)
        size *= self.tolerance * self._rounding
        size += SMALLEST
        return size

    def _of_values(self, scale: Array, slack: Array | None) -> Array:
        """Return the tolerance of gap and forward value, 0 where it is NaN."""
        limit = self.tolerance * (1.0 + scale)
        if slack is not None:  # a tolerance below the default asks for less than the rounding of the network
            limit = limit + np.maximum(slack, 0.0) * min(1.0, self.tolerance / 1e-12)
        return _finite(limit)

    def _quick(self, arrays: Arrays, point: Point, forward: Array, limit: Array) -> Checked:
        """Compare every residual with a number that its tolerance is not below: few passes, few absolute values."""
        terms, worst = evaluate(arrays, point, -1.0), Worst()
        for name, matrix, least in residuals(self._zero, self._runs, terms.lack, point.y):
            least *= self.tolerance
            if not isinstance(least, float):
                least += SMALLEST
            worst.bound(name, matrix, least)
        if len(terms.stationarity):
            residual = np.abs(terms.stationarity, out=terms.stationarity)
            worst.bound("stationarity", residual, self._least(arrays, point))
        value, dual = terms.primal, terms.dual
        worst["gap"] = np.abs(value - dual), limit
        worst["forward"] = np.maximum(np.abs(value - forward), np.abs(dual - forward)), limit.copy()
        return Checked(value, dual, forward, terms.slope.T, terms.offset, *worst.verdict())

    def _scaled(self, arrays: Arrays, point: Point, checked: Checked, where: NDArray[np.intp], values: Array) -> None:
        """Judge some points again with the tolerances in full, and enter the verdict into `checked`."""
        terms, worst = evaluate(arrays, point, -1.0), Worst()
        sizes = evaluate(arrays.absolute(), point.absolute(), 1.0)
        rows = residuals(self._zero, self._runs, terms.lack, point.y)
        scales = allowances(self._zero, self._runs, sizes.lack, np.abs(point.y))
        for (name, matrix, _), size in zip(rows, scales, strict=True):
            worst.enter(name, matrix, _finite(self.tolerance * size))
        if len(terms.stationarity):
            allowed = self.tolerance * self._rounding * sizes.stationarity + SMALLEST
            worst.enter("stationarity", np.abs(terms.stationarity), _finite(allowed))
        for name in ("gap", "forward"):
            worst[name] = checked.residuals[name][where], values
        *metrics, checked.ok[where] = worst.verdict()
        for kept, judged in zip((checked.residuals, checked.tolerances), metrics, strict=True):
            for name, array in judged.items():
                kept[name][where] = array


def _finite(allowed: Array) -> Array:
    """Return tolerances, 0 in place of what is not finite."""
    return np.where(np.isfinite(allowed), allowed, 0.0)
