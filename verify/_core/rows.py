"""The rows of a program in runs of one family: their residuals, and how these are measured by what is allowed.

Part of the trusted core. The names of the rows only name the metrics: every row past the equalities is judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from socicnn._arrays import Array, BoolArray
from socicnn.conic._data import ValueData

PIECE = 768  # rows of cones that are judged at a time: they stay in a processor's cache
SMALLEST = 2.0**-1000  # below every underflow: what is smaller counts as zero
# names of the metrics of one family of rows: primal violation, dual violation, complementarity, slack
LINEAR = {
    "relu": ("relu_primal", "relu_dual_box", "relu_complementarity", ""),
    "softplus": ("softplus_sum", "softplus_multiplier", "softplus_sum_complementarity", ""),
    "logsumexp": ("logsumexp_sum", "logsumexp_multiplier", "logsumexp_sum_complementarity", ""),
    "other": ("inequality_primal", "inequality_dual", "inequality_complementarity", ""),
}
EXPONENTIAL = {
    "softplus": ("softplus_epigraph", "softplus_dual_cone", "softplus_complementarity", "softplus_slack"),
    "logsumexp": ("logsumexp_epigraph", "logsumexp_dual_cone", "logsumexp_complementarity", "logsumexp_slack"),
    "other": ("exponential_primal", "exponential_dual", "exponential_complementarity", "exponential_slack"),
}
CONIC = {
    "quadratic": ("quadratic_epigraph", "quadratic_dual_cone", "quadratic_complementarity", "quadratic_slack"),
    "norm": ("norm_epigraph", "norm_dual_ball", "norm_dual_alignment", "norm_slack"),
    "other": ("cone_primal", "cone_dual", "cone_complementarity", "cone_slack"),
}
# a slack is no error: where its cost is zero an epigraph variable may lie above, and elsewhere the gap judges it
INFORMATIVE = frozenset(names[3] for family in (CONIC, EXPONENTIAL) for names in family.values())


class RowRun(NamedTuple):
    """Consecutive rows of one family: `cones` cones of `size` rows, second-order or exponential, or linear (size 0)."""

    names: tuple[str, str, str, str]
    start: int
    stop: int
    cones: int
    size: int
    exponential: bool

    def of(self, rows: Array) -> Array:
        """Return these rows of all, one column per point; of cones with the shape `(cones, size, N)`."""
        return self.shaped(rows[self.start : self.stop])

    def shaped(self, part: Array) -> Array:
        """Return these rows alike."""
        return part.reshape(self.cones, self.size, -1) if self.size else part


def runs_of(program: ValueData) -> list[RowRun]:
    """Split the cone's rows into runs of one family and size; every row past the equalities is in exactly one run."""
    cones = program.cones
    kinds = np.full(program.A.shape[0], "other", dtype="U16")
    for block in program.rows:
        kinds[max(block.start, 0) : max(block.stop, 0)] = {"nonnegative": "relu"}.get(block.kind, block.kind)
    linear = np.arange(cones.zero, cones.zero + cones.nonnegative)
    sizes = np.asarray(cones.second_order, dtype=np.int64)
    edges = np.sort([block.start for block in program.rows])
    curved = np.arange(program.A.shape[0] - 3 * cones.exponential, program.A.shape[0], 3)
    runs = []
    for families, starts, lengths in (
        (LINEAR, linear, np.zeros_like(linear)),
        (CONIC, cones.heads, sizes),
        (EXPONENTIAL, curved, np.full_like(curved, 3)),
    ):
        kind = np.where(np.isin(kinds[starts], list(families)), kinds[starts], "other")
        long = max(len(lengths), lengths.sum()) > PIECE
        part = np.searchsorted(edges, starts, side="right") if long else np.zeros_like(starts)
        unlike = (kind[1:] != kind[:-1]) | (lengths[1:] != lengths[:-1]) | (part[1:] != part[:-1])
        for whole in np.split(np.arange(len(starts)), np.flatnonzero(unlike) + 1):
            rows = max(len(whole), int(lengths[whole].sum()))
            for group in np.array_split(whole, min(len(whole), -(-rows // PIECE))) if len(whole) else ():
                first, size = int(starts[group[0]]), int(lengths[group[0]])
                stop = first + len(group) * max(size, 1)
                names = families[str(kind[group[0]])]
                runs.append(RowRun(names, first, stop, len(group), size, families is EXPONENTIAL))
    return runs


def residuals(
    zero: int, runs: list[RowRun], lack: Iterator[Array], y: Array
) -> Iterator[tuple[str, Array, Array | float]]:
    """Yield the residuals of `zero` equalities and of each run, from lack = -s by runs and y; negative is satisfied.

    With each comes its metric and what the tolerance is at least a multiple of.
    """
    if zero:
        yield "equality_primal", np.abs(next(lack)), 1.0
    for run, part in zip(runs, lack, strict=True):
        s, own = run.shaped(part), run.of(y)
        primal, dual, complementarity, slack = run.names
        if run.exponential:
            with np.errstate(all="ignore"):
                violation, cone, allowed = _exponential(s, own)
            yield primal, violation, 1.0
            yield slack, -violation.min(axis=0, keepdims=True), 1.0
            yield dual, cone, allowed
            yield complementarity, _size(np.einsum("ckn,ckn->cn", s, own)), 1.0
        elif run.size:
            violation = length(s[:, 1:]) + s[:, 0]
            yield primal, violation, 1.0
            yield slack, -violation.min(axis=0, keepdims=True), 1.0
            yield dual, length(own[:, 1:]) - own[:, 0], rounding(run.size) * np.abs(own[:, 0])
            yield complementarity, _size(np.einsum("ckn,ckn->cn", s, own)), 1.0
        else:
            yield primal, s, 1.0
            yield dual, -own.min(axis=0, keepdims=True), 0.0
            yield complementarity, _size(s * own), 1.0


def _size(values: Array) -> Array:
    return np.abs(values, out=values)


def allowances(zero: int, runs: list[RowRun], scale: Iterator[Array], y: Array) -> Iterator[Array]:
    """Yield, in the order of `residuals`, what the tolerances are multiples of: from the rows' scales and |y|."""
    if zero:
        yield 1.0 + next(scale)
    for run, part in zip(runs, scale, strict=True):
        s, own = run.shaped(part), run.of(y)
        if run.size:
            size = 1.0 + length(s)
            yield from (size, np.ones_like(size[:1]))
            yield _uncertain(own) if run.exponential else rounding(run.size) * length(own) + SMALLEST
            yield 1.0 + np.einsum("ckn,ckn->cn", s, own)
        else:
            yield from (1.0 + s, np.zeros_like(own[:1]), 1.0 + s * own)


def _exponential(lack: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return y exp(x / y) - s of -lack = (x, y, s) in Kexp, of (u, v, w) in its dual the residual and its rounding.

    The dual cone asks for -u exp(v / u - 1) <= w with u < 0, or for v, w >= 0 with u = 0. A point with y <= 0 fails.
    """
    u, v, w, middle = y[:, 0], y[:, 1], y[:, 2], lack[:, 1]
    primal, ratio = lack[:, 0] / middle, v / u
    dual = ratio - 1.0
    for values, factor in ((primal, middle), (dual, u)):  # in place: a new array costs as much as its numbers
        np.exp(values, out=values)
        values *= factor
    np.subtract(lack[:, 2], primal, out=primal)
    dual += w
    np.negative(dual, out=dual)
    np.abs(ratio, out=ratio)
    if not middle.max(initial=-1.0) < 0:
        primal = np.where(middle < 0, primal, np.inf)
    if not u.max(initial=-1.0) < 0:
        ratio = np.where(np.abs(u) > 0, ratio, 0.0)
        dual = np.where(u == 0, -np.minimum(v, w), np.where(u < 0, dual, np.inf))
    return primal, dual, _loss(ratio, w if w.min(initial=0.0) == 0.0 else np.abs(w))


def _uncertain(y: Array) -> Array:
    """Return the rounding of the dual cone's residual, from |y|: exp(v / u - 1) loses 1 + |v / u| units."""
    return _loss(np.divide(y[:, 1], y[:, 0], out=np.zeros_like(y[:, 0]), where=y[:, 0] > 0), y[:, 2])


def _loss(ratio: Array, w: Array) -> Array:
    loss = np.minimum(ratio, 2_000.0)  # no exp is a number beyond 2,000
    loss += 1.0
    loss *= rounding(3)
    loss *= w
    return loss


def rounding(terms: Any) -> Any:
    """Return which part of 1e-12 the rounding of a sum of `terms` products may take, at most 1."""
    return np.minimum(1.0, 1e12 * (np.asarray(terms) + 8.0) * 2.0**-52)


class Worst(dict[str, tuple[Array, Array]]):
    """Of each metric and point the residual that is largest measured by what is allowed, with that; NaN is largest."""

    def enter(self, name: str, residual: Array, allowed: Array) -> None:
        """Enter residuals of one metric, one row per row or cone."""
        at = _ratio(residual, allowed).argmax(axis=0), np.arange(residual.shape[1])
        self.keep(name, residual[at], allowed[at])

    def bound(self, name: str, residual: Array, least: Array | float) -> None:
        """Enter residuals, their tolerances at least `least`: one number per metric, or positive, of their shape."""
        largest = residual.max(axis=0)  # NaN stays NaN
        if not isinstance(least, float):
            ratio = np.divide(residual, least, out=least).max(axis=0)
            fine = (ratio <= 0) | (largest == np.inf)
            self.keep(name, largest, np.where(fine, SMALLEST, largest / ratio))  # at most that of the worst place
        elif name in self:
            np.maximum(largest, self[name][0], out=self[name][0])
        else:
            self[name] = largest, np.full(len(largest), least)

    def keep(self, name: str, residual: Array, allowed: Array) -> None:
        """Enter the worst residual of each point."""
        if name in self:
            old, limit = self[name]
            before, now = _ratio(old, limit), _ratio(residual, allowed)
            first = np.isnan(before) | (before >= now)
            residual, allowed = np.where(first, old, residual), np.where(first, limit, allowed)
        self[name] = residual, allowed

    def verdict(self) -> tuple[dict[str, Array], dict[str, Array], BoolArray]:
        """Return the residuals, the tolerances of the judged metrics, and whether each point is within all of them."""
        metrics = {name: np.maximum(residual, 0.0) for name, (residual, _) in self.items()}
        tolerances = {name: allowed for name, (_, allowed) in self.items() if name not in INFORMATIVE}
        return metrics, tolerances, np.logical_and.reduce([metrics[name] <= tolerances[name] for name in tolerances])


def _ratio(residual: Array, allowed: Array) -> Array:
    """Return residual / allowed: 0 where the residual is satisfied, huge where nothing is allowed."""
    if np.all(allowed > 0):
        ratio: Array = residual / allowed
        return np.maximum(ratio, 0.0, out=ratio)
    nothing = 1e150 * (1.0 + residual)
    return np.where(residual <= 0, 0.0, np.where(allowed > 0, residual / allowed, nothing))


def length(values: Array) -> Array:
    """Return the 2-norm over the middle axis; where squares overflow or underflow, of values scaled down or up."""
    # not `socicnn._arrays.lengths`: the core shares no code with what it checks
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        norm = np.sqrt(np.einsum("ckn,ckn->cn", values, values))
        doubtful = ~((norm > 1e-140) & (norm < np.inf))
        if not doubtful.any():
            return norm
        largest = np.abs(values).max(axis=1, initial=0.0)
        scaled = np.isfinite(largest) & (largest > 0)
        unit = values / np.where(scaled, largest, 1.0)[:, None]
        return np.where(doubtful & scaled, largest * np.sqrt(np.einsum("ckn,ckn->cn", unit, unit)), norm)
