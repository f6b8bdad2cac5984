"""Decisions some of whose entries are whole numbers: branch and bound over networks, every case proven.

A case is the network over the set and bounds of the integers; its bound is proven as that of any decision is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decision._integer_cuts import CutCases
from decision._minimise.answers import FEASIBLE, Goal
from decision._minimise.bounds import upper_bound
from decision._minimise.constrained.bound import proven_empty
from decision._minimise.constrained.constraints import near, some
from decision._minimise.constrained.solve import Repeated, RowsSource
from decision._minimise.constrained.support import support_extents
from decision._minimise.judging import EPS, Judged
from decision._minimise.methods import Exact, networks_of
from decision._minimise.reference import Within, least_gap
from decision._minimise.stack import Stack
from decision._minimise.surrogate import Surrogate
from decision.sets import ConicSet, CvxpySet
from decision.sets._base import FeasibleSet
from socicnn._arrays import Array, IntArray
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.conic._scaled import tight
from socicnn.conic.solvers import Solver
from socicnn.errors import ModelError, NoProgramError
from socicnn.frozen import FrozenNet
from verify._optimum.branching import BranchAndBound, Relaxed
from verify._optimum.extents import Extents, single_bounds
from verify._optimum.mixed import bounded
from verify._optimum.outer_cuts import CutCase


def judged_with_integers(
    surrogates: Sequence[Surrogate],
    feasible_set: FeasibleSet | ConicSet | CvxpySet,
    theta: Tensor | None,
    integer: Sequence[int],
    goal: Goal,
    method: Exact,
) -> Judged:
    """Return the decisions of all contexts, whose entries `integer` are whole.

    Args:
        surrogates: the functions of the contexts.
        feasible_set: the set, without the demand of whole numbers.
        theta: contexts, shape `(contexts, p)`, that the set may move with.
        integer: which entries of x are whole.
        goal: when to stop; the time that is left is shared by the contexts that are left.
        method: the exact way, for its solver.

    Raises:
        ModelError: an entry is not one of x, or the set does not fit.
        NoProgramError: a function is not a network with a conic program, or the set has no rows.
    """
    if not all(surrogate.proves for surrogate in surrogates):
        raise NoProgramError("integer entries need a network with a conic program; this function has none")
    if isinstance(feasible_set, CvxpySet) or not getattr(feasible_set, "has_rows", True):
        raise NoProgramError(
            "integer entries need a set of `decision.sets` with rows; for CVXPY constraints put the network into the "
            "problem by `to_cvxpy`, with variables that are integer, and call `verify.optimum`"
        )
    n = networks_of(surrogates[0]).net.in_features if surrogates else feasible_set.n
    if feasible_set.n != n:
        raise ModelError(f"the set has {feasible_set.n} coordinates, the network {n} inputs")
    columns = np.unique(np.asarray(integer, dtype=np.int64))
    if len(columns) != len(integer) or ((columns < 0) | (columns >= n)).any():
        raise ModelError(f"integer must name different entries of x, from 0 to {n - 1}; received {list(integer)}")
    count = sum(len(surrogate) for surrogate in surrogates)
    if isinstance(feasible_set, ConicSet):
        source: RowsSource = feasible_set.each(theta, count)
    else:
        rows = feasible_set.rows()
        source = CaseRows(rows, Extents.free(rows.G.shape[1]))
    parts = list[Judged]()
    for surrogate in surrogates:
        for i in range(len(surrogate)):
            place = len(parts)
            left = (goal.deadline - time.perf_counter()) / (count - place)
            single = surrogate.take(torch.tensor([i], device=surrogate.device))
            parts.append(_decided(single, source[place], source.bounds(place), columns, goal, method, left))
    return Judged.joined(parts)


def _decided(
    surrogate: Surrogate,
    rows: Rows,
    known: tuple[Array, Array],
    columns: IntArray,
    goal: Goal,
    method: Exact,
    seconds: float,
) -> Judged:
    """Return the decision of one context."""
    networks = networks_of(surrogate)
    keep = near(rows)
    near_rows = some(rows, keep)
    solver = tight(method.made())
    extents = support_extents(rows, keep, near_rows, solver, goal, Extents(*known)).within(single_bounds(rows))
    problem = _Problem(surrogate, rows, extents, columns, goal, method)
    search = BranchAndBound(problem, max(seconds, 0.0), room=goal.rtol)
    lower, upper = np.ceil(extents.lower[columns]) + 0.0, np.floor(extents.upper[columns]) + 0.0
    root = search.run(lower, upper)
    cases = root.leaves()
    least = min(case.bound for case in cases if not case.branches)
    notes = [f"Branch and bound was ended by {search.early}."] if search.early else []
    x, c = problem.x, networks.constant
    plain = networks.stack.value(x)
    value = plain + c
    gap = torch.full_like(value, search.hi - least if np.isfinite(search.hi) else np.inf)
    gap = ((gap + 2.0 * EPS * (plain.abs() + value.abs())) * (1.0 + 8.0 * EPS)).clamp(min=0.0)
    failure = ""
    if not np.isfinite(search.hi):
        failure = "no point of the set has whole numbers"
        failure = f"{failure}, which is proven" if least == np.inf else f"{failure} that was found"
        notes.append(f"{failure[0].upper()}{failure[1:]}.")
    return Judged(
        x,
        value,
        gap,
        torch.full((1,), len(cases), dtype=torch.int64),
        problem.scale(x),
        least_gap(2.0 * problem.terms(x) + c.abs()),
        problem.violation,
        tuple(notes),
        failure,
    )


class _Problem:
    """A network over a set, as branch and bound sees it."""

    def __init__(
        self, surrogate: Surrogate, rows: Rows, extents: Extents, columns: IntArray, goal: Goal, method: Exact
    ) -> None:
        networks = networks_of(surrogate)
        net = networks.net
        net = replace(net, output=replace(net.output, c=0.0 * net.output.c))
        self._stack, self._rows, self._columns = networks.stack, rows, columns
        goal = replace(goal, deadline=np.inf)
        self._cases = Cases(net, self._stack, rows, columns, extents, method.made(), goal)
        self._cuts = CutCases.of(net, self._stack, rows, columns, extents, method, goal)
        self._rtol, self._least, self._room = goal.rtol, np.inf, 0.0
        n = self._stack.in_features
        self._within = Within.of(extents.lower[:n], extents.upper[:n])
        self.x = torch.full((1, n), torch.nan, dtype=torch.float64)
        self.violation = torch.full((1,), torch.nan, dtype=torch.float64)
        self._whole = len(columns) == n == rows.G.shape[1]  # x is nothing but whole numbers
        self._alone = _alone(rows, columns)

    def relax(self, lower: Array, upper: Array) -> Relaxed:
        """Solve the case, whole numbers or not."""
        none = np.full(len(lower), np.nan)
        if (lower > upper).any():
            return Relaxed(np.inf, none, 0.0, None)
        relaxed = None if self._cuts is None else self._cuts.relax(lower, upper, self._least - self._room)
        return self._usual(lower, upper) if relaxed is None else relaxed

    def _usual(self, lower: Array, upper: Array) -> Relaxed:
        """Solve the case as a conic program."""
        none = np.full(len(lower), np.nan)
        judged = self._cases.solve(lower, upper)
        if not bool(judged.x.isfinite().all()):
            return Relaxed(np.inf, none, 0.0, self._cases.rows(lower, upper))
        least = float(upper_bound(self._stack, judged.x)[0]) - float(judged.gap[0])
        return Relaxed(
            float(judged.value[0]),
            judged.x[0].numpy()[self._columns],
            float(self.scale(judged.x)[0]),
            np.nextafter(least, -np.inf),
        )

    def bound(self, relaxed: Relaxed, wanted: float) -> tuple[float, Any]:
        """Return the bound of a case, +infinity if it is proven to be empty."""
        if relaxed.data is None:
            return np.inf, "empty"
        if isinstance(relaxed.data, CutCase) and self._cuts is not None:
            case, least = relaxed.data, self._cuts.prove(relaxed.data)
            if least >= wanted - self._room or wanted < self._least:
                return least, "proven"
            self._cuts.cuts.failed += 1
            usual = self.bound(self._usual(case.lower, case.upper), wanted)
            return max(least, usual[0]), usual[1]
        if not isinstance(relaxed.data, CaseRows):
            return float(relaxed.data), "proven"
        extents = Extents(*relaxed.data.bounds(0))
        empty = proven_empty(relaxed.data[0], extents, self._cases.solver)
        return (np.inf if empty else -np.inf), "empty"

    def value(self, k: Array, least: float) -> tuple[float, float]:
        """Return at least f at the best point with these integers."""
        x, violation = self._point(k)
        if x is None or not violation <= FEASIBLE:
            return np.inf, 0.0
        above = float(upper_bound(self._stack, x)[0])
        if not above < least:
            return np.inf, 0.0
        self.x, self.violation = x, torch.full((1,), violation, dtype=torch.float64)
        scale = float(self.scale(x)[0])
        self._least, self._room = above, self._rtol * scale
        return above, scale

    def _point(self, k: Array) -> tuple[Tensor | None, float]:
        missed = _missed(self._alone, k)
        if self._whole:
            return torch.as_tensor(k)[None].clone(), missed
        if missed > FEASIBLE:
            return None, np.inf
        judged = self._cases.solve(k, k)
        x = judged.x.clone()
        off = np.abs(x[0].numpy()[self._columns] - k) / np.maximum(np.abs(k), 1.0)
        if not bool(x.isfinite().all()) or off.max(initial=0.0) > FEASIBLE:
            return None, np.inf
        x[0, self._columns] = torch.as_tensor(k)
        return x, max(float(judged.violation[0]), float(off.max(initial=0.0)))

    def scale(self, x: Tensor) -> Tensor:
        """Return what gaps at x are measured against."""
        return self._within.scale(self._stack, x, self._stack.value(x))

    def terms(self, x: Tensor) -> Tensor:
        """Return S(x)."""
        return self._within.terms(self._stack, x)


def _alone(rows: Rows, columns: IntArray) -> Rows:
    """Return the rows and cones that hold no variables but these, on them alone."""
    others = np.setdiff1d(np.arange(rows.G.shape[1]), columns)
    free, cones = np.diff(sparse.csr_array(rows.G[:, others]).indptr) == 0, rows.cones
    cut = cones.zero + cones.nonnegative
    whole = [free[head : head + size].all() for head, size in zip(cones.heads, cones.second_order, strict=True)]
    keep = np.concatenate([free[:cut], np.repeat(np.array(whole, dtype=bool), cones.second_order)])
    kept = tuple(size for size, held in zip(cones.second_order, whole, strict=True) if held)
    own = Cones(int(keep[: cones.zero].sum()), int(keep[cones.zero : cut].sum()), kept)
    return Rows(sparse.csr_array(rows.G[np.flatnonzero(keep)][:, columns]), rows.h[keep], own)


def _missed(rows: Rows, k: Array) -> float:
    """Return the worst violation of a row or cone at whole numbers, relative to its own size.

    Other rows do not matter: next to a bound of 1e9, x_1 + x_2 <= 1 still leaves out (1, 1).
    """
    size = np.maximum(np.abs(rows.h), abs(rows.G) @ np.abs(k))
    cut = rows.cones.zero + rows.cones.nonnegative
    if len(rows.cones.heads):
        size[rows.cones.heads] = np.maximum.reduceat(size[cut:], rows.cones.heads - cut)
    worst = rows.cones.violation(rows.h - rows.G @ k)
    return float(np.divide(worst, size, out=np.zeros_like(worst), where=worst > 0.0).max(initial=0.0))


class CaseRows(RowsSource):
    """The rows of one case, with proven bounds of its coordinates."""

    def __init__(self, rows: Rows, extents: Extents) -> None:
        self._rows, self._extents = rows, extents

    def __getitem__(self, index: int) -> Rows:
        """Return the rows."""
        return self._rows

    def bounds(self, index: int) -> tuple[Array, Array]:
        """Return the bounds."""
        return self._extents.lower, self._extents.upper


class Cases:
    """The cases of one network over a set, solved one by one.

    What a solver is set up for is a matrix: it is set up again where other integers are fixed, as an interior-point
    method needs equalities where both bounds are one.

    Args:
        net: the network.
        stack: the same as tensors.
        rows: the set.
        columns: the integers among its variables.
        extents: proven bounds of its variables.
        solver: the solver.
        goal: which gap is enough, without a deadline.
    """

    def __init__(
        self, net: FrozenNet, stack: Stack, rows: Rows, columns: IntArray, extents: Extents, solver: Solver, goal: Goal
    ) -> None:
        self.solver = tight(solver)
        self._rows, self._columns, self._extents = rows, columns, extents
        self._solved = Repeated(net, stack, self.solver, goal)

    def rows(self, lower: Array, upper: Array) -> CaseRows:
        """Return the rows of a case."""
        ends = Extents(self._extents.lower.copy(), self._extents.upper.copy())
        ends.lower[self._columns] = np.maximum(ends.lower[self._columns], lower)
        ends.upper[self._columns] = np.minimum(ends.upper[self._columns], upper)
        return CaseRows(bounded(self._rows, self._columns, lower, upper), ends)

    def solve(self, lower: Array, upper: Array) -> Judged:
        """Return the decision of a case, whole numbers or not, and what is proven of it."""
        return self._solved(self.rows(lower, upper))
