"""The trusted core: judge a claimed value from exported arrays alone.

It sees A, B, b, q, d, r and the cones K of

    f(x) = min_v  q'v + d'x + r     s.t.   A v + s = b + B x,   s in K
    dual:  max_y  -(b + B x)'y + d'x + r     s.t.   A'y + q = 0,   y in K*

a point x, vectors v and y, and a forward value that was computed by another road. It knows no network, asks no
solver and trusts no label: the names of the rows only name the metrics. By weak duality, v in the primal cone, y in
the dual cone, A'y + q = 0 and a zero gap prove the value of the program; agreement with the forward value proves
program = network at x. NumPy and SciPy alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from verify.core.terms import Array, Arrays, Point, evaluate, lifts_exact

if TYPE_CHECKING:
    from socicnn.conic.program import ValueProgram

# names of the metrics of one family of rows: primal violation, dual violation, complementarity, slack
_LINEAR = {
    "relu": ("relu_primal", "relu_dual_box", "relu_complementarity", ""),
    "other": ("inequality_primal", "inequality_dual", "inequality_complementarity", ""),
}
_CONIC = {
    "quadratic": ("quadratic_epigraph", "quadratic_dual_cone", "quadratic_complementarity", "quadratic_slack"),
    "norm": ("norm_epigraph", "norm_dual_ball", "norm_dual_alignment", "norm_slack"),
    "other": ("cone_primal", "cone_dual", "cone_complementarity", "cone_slack"),
}
# a slack is no error: where its cost is zero an epigraph variable may lie above, and elsewhere the gap judges it
INFORMATIVE = frozenset({"quadratic_slack", "norm_slack", "cone_slack"})


@dataclass(frozen=True, eq=False)
class Checked:
    """The verdict on each point of a batch of N.

    Args:
        value: primal objective q'v + d'x + r, shape `(N,)`.
        dual: dual objective -(b + B x)'y + d'x + r, shape `(N,)`.
        forward: the value computed by another road, shape `(N,)`.
        slope: d - B'y, the subgradient that y proves, shape `(N, n)`.
        offset: r - b'y, so that f(z) >= slope'z + offset for every z, shape `(N,)`.
        residuals: name of a metric -> its worst residual at each point, shape `(N,)`.
        tolerances: name -> the tolerance at the place of that residual, or a smaller one that already sufficed; a
            metric without tolerance is reported and not judged.
        ok: whether every judged metric is within its tolerance, shape `(N,)`; NaN is not.
    """

    value: Array
    dual: Array
    forward: Array
    slope: Array
    offset: Array
    residuals: dict[str, Array]
    tolerances: dict[str, Array]
    ok: NDArray[np.bool_]

    @property
    def gap(self) -> Array:
        """Primal minus dual objective; a quarter of honest gaps are negative by rounding."""
        return self.value - self.dual


class _Run(NamedTuple):
    """Consecutive rows of one family: `cones` second-order cones of `size` rows, or linear rows (size 0)."""

    names: tuple[str, str, str, str]
    start: int
    stop: int
    cones: int
    size: int


class Checker:
    """Holds the arrays of one program and checks witnesses against them.

    With scale_i = sum_j |A_ij||v_j| + sum_j |B_ij||x_j| + |b_i|, a residual of row i passes within
    `tolerance * (1 + scale_i)`, one of a cone within the same with the 2-norm of its rows' scales, a stationarity
    residual within the same built from A', y and q, a dual cone within `tolerance * (1 + ||y||)`, a product s'y within
    `tolerance * (1 + sum_i scale_i |y_i|)`, gap and forward value within `tolerance * (1 + S)`, S the sum of the
    absolute values of the terms of both objectives.

    Args:
        program: the exported arrays, of one context or with stacked contexts.
        tolerance: relative tolerance.
    """

    def __init__(self, program: ValueProgram, tolerance: float = 1e-12) -> None:
        self.tolerance = float(tolerance)
        parts = [sparse.csr_array(program.A), -sparse.csr_array(program.B)]
        rows = sparse.csr_array(sparse.hstack(parts, format="csr"))  # [A | -B](v, x) = b - s
        # features first, one column a context
        b, q, d = (np.atleast_2d(vector).T for vector in (program.b, program.q, program.d))
        r = np.atleast_1d(program.r)
        self._finite = all(bool(np.isfinite(array).all()) for array in (rows.data, b, q, d, r))
        self._zero = program.cones.zero
        self._runs = _runs(program)
        t, heads = (np.asarray(index, dtype=np.int64) for index in (program.lifts.columns, program.lifts.heads))
        self._lifts_exact = bool(np.isin(heads, program.cones.heads).all()) and lifts_exact(rows, b, t, heads)
        if not self._lifts_exact:  # nothing passes; the metrics are those of the program as it stands
            t = heads = t[:0]
        a, offset = np.asarray(rows[heads, t]).reshape(-1, 1), b[heads]
        if len(t):  # the two rows of a lift that hold t move with k, so they are kept apart
            keep = np.ones(rows.shape[0])
            keep[heads] = keep[heads + 1] = 0.0
            rows.data *= np.repeat(keep, np.diff(rows.indptr))
            rows.eliminate_zeros()
            b = b * keep[:, None]
        self._lifts = len(program.lifts)
        self._arrays = Arrays(rows, rows.T, b, q, d, r, a, offset, t, heads)

    def __call__(
        self,
        x: Array,
        v: Array,
        y: Array,
        forward: Array,
        k: Array | None = None,
        *,
        contexts: slice | None = None,
        forward_scale: Array | None = None,
    ) -> Checked:
        """Check N points.

        Args:
            x: points, shape `(N, n)`.
            v: primal points, shape `(N, variables)`.
            y: dual points, shape `(N, m)`.
            forward: values by another road, shape `(N,)`.
            k: scale of each quadratic's lift, shape `(N, quadratics)`: v and y then belong to the program with
                t = k t' and its cone rotated, ((t' + k)/2, (t' - k)/2, p). One where None.
            contexts: which of the stacked contexts the points belong to, in order; all where None.
            forward_scale: takes the place of S in the tolerance of the forward value where larger, shape `(N,)`.

        Raises:
            ValueError: the shapes do not fit the program.
        """
        N, arrays = len(x), self._arrays
        k = np.ones((N, self._lifts)) if k is None else k
        m, variables, n = arrays.rows.shape[0], arrays.q.shape[0], arrays.d.shape[0]
        wanted = {"x": (N, n), "v": (N, variables), "y": (N, m), "forward": (N,), "k": (N, self._lifts)}
        for (name, shape), array in zip(wanted.items(), (x, v, y, forward, k), strict=True):
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape} for this program; received {array.shape}")
        arrays = arrays.context(slice(None) if contexts is None else contexts)
        if any(array.shape[-1] not in (1, N) for array in (arrays.b, arrays.q, arrays.d, arrays.r)):
            raise ValueError(f"{arrays.r.shape[-1]} contexts need as many points; received {N}")
        point = Point(*(np.ascontiguousarray(array.T) for array in (x, v, y, k[:, : len(arrays.t)])))
        with np.errstate(all="ignore"):  # overflow and NaN end as a failed check
            checked = self._quick(arrays, point, forward)
            scaled = (np.isfinite(k) & (k > 0)).all(axis=1)  # only then does t = k t' map the cone onto itself
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
                scale = np.zeros(len(doubtful)) if forward_scale is None else forward_scale[doubtful]
                self._scaled(arrays.context(doubtful), point.take(doubtful), checked, doubtful, scale)
        return checked

    def _residuals(self, lack: Array, y: Array) -> Iterator[tuple[str, Array]]:
        """Yield name and residuals, one row a row or a cone, one column a point; negative is satisfied."""
        if self._zero:
            yield "equality_primal", np.abs(lack[: self._zero])
        for run in self._runs:
            s, own = lack[run.start : run.stop], y[run.start : run.stop]  # s is negated
            primal, dual, complementarity, slack = run.names
            if run.size:
                s, own = (part.reshape(run.cones, run.size, -1) for part in (s, own))
                violation = _length(s[:, 1:]) + s[:, 0]
                yield primal, violation
                yield slack, -violation
                yield dual, _length(own[:, 1:]) - own[:, 0]
                yield complementarity, np.abs(np.einsum("ckn,ckn->cn", s, own))
            else:
                yield primal, s
                yield dual, -own
                yield complementarity, np.abs(s * own)

    def _scales(self, scale: Array, y: Array) -> Iterator[tuple[str, Array]]:
        """Yield, in the order of `_residuals`, what the tolerance of each residual grows with."""
        if self._zero:
            yield "equality_primal", scale[: self._zero]
        for run in self._runs:
            s, own = scale[run.start : run.stop], y[run.start : run.stop]
            primal, dual, complementarity, slack = run.names
            if run.size:
                s, own = (part.reshape(run.cones, run.size, -1) for part in (s, own))
                yield primal, _length(s)
                yield slack, _length(s)
                yield dual, _length(own)
                yield complementarity, np.einsum("ckn,ckn->cn", s, own)
            else:
                yield primal, s
                yield dual, own
                yield complementarity, s * own

    def _quick(self, arrays: Arrays, point: Point, forward: Array) -> Checked:
        """Compare every residual with the least its tolerance can be: no sums of absolute values, few passes."""
        terms = evaluate(arrays, point, -1.0)
        residuals: dict[str, Array] = {}
        for name, matrix in self._residuals(terms.lack, point.y):
            worst = matrix.max(axis=0)  # NaN stays NaN
            residuals[name] = np.maximum(residuals.get(name, 0.0), worst)
        if len(terms.stationarity):
            residuals["stationarity"] = np.abs(terms.stationarity).max(axis=0)
        tolerances = dict.fromkeys(residuals, np.full(len(forward), self.tolerance))
        value, dual = terms.primal, terms.dual
        residuals["gap"] = np.abs(value - dual)
        residuals["forward"] = np.maximum(np.abs(value - forward), np.abs(dual - forward))
        least = self.tolerance * (1.0 + np.abs(value) + np.abs(dual))  # <= tolerance (1 + S)
        tolerances["gap"] = tolerances["forward"] = np.where(np.isfinite(least), least, 0.0)
        tolerances = {name: values for name, values in tolerances.items() if name not in INFORMATIVE}
        ok = np.logical_and.reduce([residuals[name] <= tolerances[name] for name in tolerances])
        return Checked(value, dual, forward, terms.slope.T, terms.offset, residuals, tolerances, ok)

    def _scaled(
        self, arrays: Arrays, point: Point, checked: Checked, where: NDArray[np.intp], forward_scale: Array
    ) -> None:
        """Judge some points again with the tolerances in full, and enter the verdict into `checked`."""
        terms = evaluate(arrays, point, -1.0)
        sizes = evaluate(arrays.absolute(), point.absolute(), 1.0)
        found: dict[str, tuple[Array, Array]] = {}
        pairs = zip(
            (*self._residuals(terms.lack, point.y), ("stationarity", np.abs(terms.stationarity))),
            (*self._scales(sizes.lack, np.abs(point.y)), ("stationarity", sizes.stationarity)),
            strict=True,
        )
        columns = np.arange(len(where))
        for (name, matrix), (_, scale) in pairs:
            if not len(matrix):
                continue
            allowed = self.tolerance * (1.0 + scale)
            allowed[~np.isfinite(allowed)] = 0.0
            ratio = np.where(matrix <= 0, 0.0, matrix / allowed)
            at = ratio.argmax(axis=0), columns  # the first NaN where there is one
            residual, limit = np.maximum(matrix[at], 0.0), allowed[at]
            if name in found:
                old, old_limit = found[name]
                keep = (old / old_limit > residual / limit) | np.isnan(old)
                residual, limit = np.where(keep, old, residual), np.where(keep, old_limit, limit)
            found[name] = residual, limit
        S = sizes.primal + sizes.dual
        for name, scale in (("gap", S), ("forward", np.fmax(S, forward_scale))):
            limit = self.tolerance * (1.0 + scale)
            found[name] = checked.residuals[name][where], np.where(np.isfinite(limit), limit, 0.0)
        ok = np.ones(len(where), dtype=bool)
        for name, (residual, limit) in found.items():
            checked.residuals[name][where] = residual
            if name not in INFORMATIVE:
                ok &= residual <= limit
                checked.tolerances[name] = checked.tolerances[name].copy()  # shared between metrics until now
                checked.tolerances[name][where] = limit
        checked.ok[where] = ok


def _length(values: Array) -> Array:
    """Return the 2-norm over the middle axis; where squares overflow or underflow, of values scaled down or up."""
    # not `socicnn.arrays.lengths`: the core shares no code with what it checks
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        found = np.sqrt(np.einsum("ckn,ckn->cn", values, values))
        doubtful = ~((found > 1e-140) & (found < np.inf))
        if not doubtful.any():
            return found
        largest = np.abs(values).max(axis=1, initial=0.0)
        scaled = np.isfinite(largest) & (largest > 0)
        unit = values / np.where(scaled, largest, 1.0)[:, None]
        return np.where(doubtful & scaled, largest * np.sqrt(np.einsum("ckn,ckn->cn", unit, unit)), found)


def _runs(program: ValueProgram) -> list[_Run]:
    """Split the cone's rows into runs of one family and size; every row past the equalities is in exactly one run."""
    cones = program.cones
    m = program.A.shape[0]
    kinds = np.full(m, "other", dtype="U16")
    for block in program.rows:
        kinds[max(block.start, 0) : max(block.stop, 0)] = {"nonnegative": "relu"}.get(block.kind, block.kind)
    linear = np.arange(cones.zero, cones.zero + cones.nonnegative)
    sizes = np.asarray(cones.second_order, dtype=np.int64)
    heads = np.asarray(cones.heads, dtype=np.int64)
    runs = []
    for families, starts, lengths in (
        (_LINEAR, linear, np.zeros(len(linear), dtype=np.int64)),
        (_CONIC, heads, sizes),
    ):
        kind = np.where(np.isin(kinds[starts], list(families)), kinds[starts], "other")
        change = np.flatnonzero((kind[1:] != kind[:-1]) | (lengths[1:] != lengths[:-1])) + 1
        for group in np.split(np.arange(len(starts)), change):
            if len(group):
                first, size = int(starts[group[0]]), int(lengths[group[0]])
                stop = first + len(group) * max(size, 1)
                runs.append(_Run(families[str(kind[group[0]])], first, stop, len(group), size))
    return runs
