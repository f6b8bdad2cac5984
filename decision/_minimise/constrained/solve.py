"""The exact programs under constraints, one per context: a point in the set, and a bound that is proven."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Protocol, final

import numpy as np
import torch
from torch import Tensor

from decision._minimise.answers import FEASIBLE, Goal
from decision._minimise.bounds import upper_bound
from decision._minimise.constrained.bound import SNAP, line_of, proven_empty, snapped, with_multipliers
from decision._minimise.constrained.constraints import Constraints, near, some, through_cvxpy
from decision._minimise.constrained.descent import falls_without_end
from decision._minimise.constrained.level_set import LevelSet
from decision._minimise.constrained.repair import Repair
from decision._minimise.constrained.support import Multipliers, support_extents
from decision._minimise.exact import FreePrograms
from decision._minimise.judging import Judged
from decision._minimise.reference import Within, least_gap, own_points, own_reach, terms
from decision._minimise.stack import Stack
from socicnn._arrays import Array
from socicnn._compile import compile_net
from socicnn.conic._prepared import same_matrix
from socicnn.conic._rows import Rows
from socicnn.conic._scaled import tight
from socicnn.conic._solution import Solution
from socicnn.conic.solvers import Solver
from socicnn.frozen import FrozenNet
from verify._optimum.extents import Extents
from verify._optimum.residual import Bound, lower_bound
from verify._optimum.weak_duality import WeakDuality

FRESH = 256  # contexts after which solvers are set up again
COVER = 1e-9  # what the residual may cost, relative to the terms of f, before the cost is asked to bound the set
ENOUGH = 0.1  # or, where that is more, as a share of the accuracy asked for
SOLVED = 0.1  # residual, relative to the terms of the slope, above which smaller extents are no help


class RowsSource(Protocol):
    """The rows of each context."""

    def __getitem__(self, index: int) -> Rows:
        """Return the rows on [x | further variables] of one context; the same object while they stay the same."""

    def bounds(self, index: int) -> tuple[Array, Array]:
        """Return proven bounds of each variable, infinite where none is known."""


def solve_constrained(
    net: FrozenNet, stack: Stack, constraints: Constraints | RowsSource, solver: Solver, goal: Goal, start: int = 0
) -> Judged:
    """Minimise each network, a function without a constant, under the constraints.

    Args:
        net: the networks, perhaps stacked.
        stack: the same as tensors, one per context.
        constraints: CVXPY constraints, or the rows of each context.
        solver: the solver.
        goal: when to stop.
        start: number of the first network among the contexts of the constraints.
    """
    judged, notes, failure = _unsolved(stack), list[str](), ""
    if not isinstance(constraints, Constraints) and len(stack):
        judged = replace(judged, multipliers=torch.zeros(len(stack), len(constraints[start].h), dtype=torch.float64))
    statuses: Counter[str] = Counter()
    proven = not isinstance(constraints, Constraints) or constraints.conic
    ways: _Proven | None = None
    for i in range(len(stack)):
        if goal.late:
            notes.append(f"The time limit ended the solves after {i} of {len(stack)} contexts; the others are NaN.")
            break
        if not proven and isinstance(constraints, Constraints):
            constraints.enter(start + i)
            judged.x[i], judged.violation[i], status = through_cvxpy(net.take(i), constraints, solver)
            alone, x = stack.take(torch.tensor([i])), judged.x[i : i + 1]
            size = terms(alone, x, own_reach(alone))[0]
            judged.value[i], judged.scale[i], judged.floor[i] = alone.value(x)[0], size, least_gap(2.0 * size)
        else:
            if i % FRESH == 0:  # so that an answer depends on no more than the contexts of its own block
                ways = None
            ways = _Proven(net, stack, constraints, start, i, solver, goal) if ways is None else ways
            status = ways.solve(i, judged)
        if status:
            statuses[status] += 1
    if bool(judged.x.isnan().all()) and statuses:
        failure = statuses.most_common(1)[0][0]
    notes += [f"{times} of {len(stack)} contexts: {status}." for status, times in statuses.items()]
    notes += _remarks(judged, proven=proven)
    return replace(judged, notes=tuple(notes), failure=failure)


@final
class Repeated:
    """One network under constraints that change from solve to solve.

    What was set up for a matrix is kept while the next one is the same, and so is what a solver starts from.

    Args:
        net: the network of one context.
        stack: the same as tensors.
        solver: the solver.
        goal: when to stop.
    """

    def __init__(self, net: FrozenNet, stack: Stack, solver: Solver, goal: Goal) -> None:
        self._net, self._stack, self._solver, self._goal = net, stack, solver, goal
        self._way: _Proven | None = None

    def __call__(self, source: RowsSource) -> Judged:
        """Minimise the network under these constraints."""
        judged = _unsolved(self._stack)
        if self._way is None:
            self._way = _Proven(self._net, self._stack, source, 0, 0, self._solver, self._goal)
        else:
            self._way.source = source
        status = self._way.solve(0, judged)
        return replace(judged, failure=status if bool(judged.x.isnan().all()) else "")


def _unsolved(stack: Stack) -> Judged:
    """Return no points and no bounds, to be filled in place."""
    nan = torch.full_like(stack.c, torch.nan)
    ones = torch.ones(len(stack), dtype=torch.int64)
    x, gap = torch.full_like(stack.v, torch.nan), torch.full_like(nan, torch.inf)
    return Judged(x, nan.clone(), gap, ones, nan.clone(), nan.clone(), nan.clone(), ())


def _remarks(judged: Judged, *, proven: bool) -> list[str]:
    notes = []
    count = len(judged.x)
    if not proven:
        notes.append("Nothing is proven about these decisions: their constraints need integers or other cones.")
    else:
        unbounded = int((judged.gap.isinf() & judged.value.isfinite()).sum())
        if unbounded:
            notes.append(
                f"Nothing is proven about {unbounded} of {count}: neither the constraints nor the cost were shown to "
                "bound every coordinate that a solver's residual moves; add bounds on x for a proof."
            )
    outside = int((judged.violation > FEASIBLE).sum())
    if outside:
        worst = float(judged.violation[judged.violation > FEASIBLE].max())
        notes.append(
            f"{outside} of {count} decisions miss the constraints by more than {FEASIBLE:g} of their data (at most "
            f"{worst:.1e})."
        )
    return notes


@dataclass(frozen=True)
class _Found:
    """What is proven of one answer: its point or None, f there, violation and gap.

    Args:
        scale: what the gap is measured against.
        floor: the gap that rounding alone may leave.
        small: whether the gap is certainly small enough.
        solved: whether the solver says so.
        status: what it says.
        y: its multipliers of the rows.
    """

    x: Tensor | None
    value: float
    violation: float
    gap: float
    scale: float
    floor: float
    small: bool
    solved: bool
    status: str
    y: Array | None = None

    def better(self, other: _Found) -> _Found:
        """Return the answer with a point in the set and the smaller gap."""
        if other.x is None or self.x is None:
            return self if other.x is None else other
        own, theirs = (max(each.violation, FEASIBLE) for each in (self, other))
        return other if (theirs, other.gap) < (own, self.gap) else self


class _Proven:
    """The way for rows with linear and second-order cones.

    Args:
        net: the networks.
        stack: the same as tensors.
        source: the rows of each context.
        start: number of the first network among the contexts of the source.
        first: the network to begin with.
        solver: the solver, as the user gave it.
        goal: when to stop.
    """

    def __init__(
        self, net: FrozenNet, stack: Stack, source: RowsSource, start: int, first: int, solver: Solver, goal: Goal
    ) -> None:
        self._net, self._stack, self.source, self._start, self._goal = net, stack, source, start, goal
        self._solver, self._given, self._compiled = tight(solver), solver, compile_net(net).program
        self._rows = source[start + first]
        self._set_up(some(self._rows, near(self._rows)))
        self._measure(first, None)

    def _set_up(self, rows: Rows) -> None:
        """Begin with rows of another matrix: the solver is set up when it is asked first."""
        self._weak = WeakDuality(rows)
        self._made: FreePrograms | None = None
        self._easier: FreePrograms | None = None
        self._multipliers: Multipliers = {}  # of the extents; they serve every right-hand side

    @property
    def _programs(self) -> FreePrograms:
        if self._made is None:
            self._made = self._programs_of(self._solver)
        return self._made

    def _programs_of(self, solver: Solver) -> FreePrograms:
        typical = own_points(self._stack, self._extents.reach[: self._stack.in_features])
        return FreePrograms(self._net, self._weak.rows, solver, typical, self._compiled)

    def _measure(self, i: int, before: Repair | None) -> None:
        """Find how far the set of a context reaches, and how points are repaired into it."""
        rows, keep, n = self._rows, near(self._rows), self._stack.in_features
        known = Extents(*self.source.bounds(self._start + i))
        self._extents = support_extents(rows, keep, self._weak.rows, self._solver, self._goal, known, self._multipliers)
        self._within = Within.of(self._extents.lower[:n], self._extents.upper[:n])
        self._repair = Repair(rows, keep, self._extents, self._solver, before)

    def _enter(self, i: int) -> None:
        """Take the rows of a context: what depends on their matrix alone is kept where it stays the same."""
        rows = self.source[self._start + i]
        if rows is self._rows:
            return
        before = self._repair if _alike(self._rows, rows) else None
        self._rows = rows
        self._use(some(rows, near(rows)))
        self._measure(i, before)

    def _use(self, rows: Rows) -> None:
        """Give the solver these rows from now on."""
        if not _alike(self._weak.rows, rows):
            self._set_up(rows)
            return
        self._weak = self._weak.moved(rows)
        if self._made is not None:
            self._made.move(rows)
        self._easier = None

    def solve(self, i: int, judged: Judged) -> str:
        """Solve context i; return what the solver said, if it did not solve it and nothing else was proven."""
        self._enter(i)
        solution, point = self._point(i)  # this may give the programs more rows
        answer = self._found(i, self._programs, solution, point)
        if not answer.small and self._solver is not self._given:  # tolerances of 1e-11 may be out of its reach
            if self._easier is None:
                self._easier = self._programs_of(self._given)
            answer = answer.better(self._found(i, self._easier, *self._attempt(i, self._easier)))
        if answer.x is None:
            return self._why_no_point(i, answer.status)
        judged.x[i], judged.value[i], judged.violation[i] = answer.x, answer.value, answer.violation
        judged.gap[i], judged.scale[i], judged.floor[i] = answer.gap, answer.scale, answer.floor
        if judged.multipliers is not None and answer.y is not None:
            kept = slice(None) if len(answer.y) == len(self._rows.h) else torch.from_numpy(near(self._rows))
            judged.multipliers[i, kept] = torch.from_numpy(answer.y)
        return "" if answer.solved or (answer.small and answer.violation <= FEASIBLE) else answer.status

    def _found(self, i: int, programs: FreePrograms, solution: Solution, point: tuple[Array, float] | None) -> _Found:
        """Return what is proven of the answer to one of these programs."""
        if point is None:
            none = (math.nan, math.nan, math.inf, math.nan, math.nan)
            return _Found(None, *none, small=False, solved=solution.ok, status=solution.status)
        v, violation = point
        single = self._stack.take(torch.tensor([i]))
        x = torch.as_tensor(v[: single.in_features])[None]
        upper = float(upper_bound(single, x)[0])
        gap = (upper - self._lower(i, programs, single, solution, v, upper)) * (1.0 + 2.0**-50)
        value = single.value(x)
        scale = float(self._within.scale(single, x, value)[0])
        floor = float(least_gap(2.0 * self._within.terms(single, x))[0])
        small = gap <= self._goal.rtol * scale
        gap = max(gap, 0.0) if math.isfinite(gap) else math.inf
        y = programs.set_multipliers(solution.y)
        proven = (x[0], float(value[0]), violation, gap, scale, floor)
        return _Found(*proven, small=small, solved=solution.ok, status=solution.status, y=y)

    def _why_no_point(self, i: int, status: str) -> str:
        """Return what is proven about a context without a solution, or what the solver said."""
        rows = self._weak.rows
        if proven_empty(rows, self._extents, self._solver):
            return "the feasible set is empty, which is proven"
        if falls_without_end(self._net.take(i), rows, self._solver, self._goal):
            return "if the set has a point, f falls without end along a direction, which is proven; add bounds on x"
        return status

    def _point(self, i: int) -> tuple[Solution, tuple[Array, float] | None]:
        """Return the solver's answer and its point in the set; far planes are given to it where they matter."""
        solution, point = self._attempt(i, self._programs)
        matters = point is None or point[1] > FEASIBLE
        if matters and len(self._weak.rows.h) < len(self._rows.h):
            self._use(self._rows)
            solution, point = self._attempt(i, self._programs)
        return solution, point

    def _attempt(self, i: int, programs: FreePrograms) -> tuple[Solution, tuple[Array, float] | None]:
        solution = programs.solve(i, self._goal)
        whole = np.isfinite(solution.v).all() and np.isfinite(solution.y).all()
        return solution, self._repair(solution.v[: self._weak.rows.G.shape[1]]) if whole else None

    def _lower(self, i: int, programs: FreePrograms, stack: Stack, solution: Solution, v: Array, upper: float) -> float:
        """Return a proven lower bound of context i."""
        x = torch.as_tensor(v[: stack.in_features])[None]
        cones, weak = self._weak.rows.cones, self._weak
        duals, y = programs.duals(stack, solution.y, x), programs.set_multipliers(solution.y)
        tries = [with_multipliers(line_of(stack, dual, len(v)), y, cones) for dual in duals]
        bounds = [lower_bound(*each, weak=weak, extents=self._extents) for each in tries]
        best = int(np.argmax([bound.lower for bound in bounds]))
        (line, _), bound, dual = tries[best], bounds[best], duals[best]
        allowed = max(COVER, ENOUGH * self._goal.rtol) * (abs(upper) + abs(line.offset) + float(line.size @ np.abs(v)))
        if _small(bound, allowed):
            return bound.lower
        # a coordinate that nothing bounds needs a slope of exactly 0
        noise = SNAP * float(line.size.max(initial=0.0))
        tries.append(with_multipliers(line_of(stack, snapped(stack, dual, x), len(v)), y, cones, noise))
        again = lower_bound(*tries[-1], weak=weak, extents=self._extents)
        least = max(bound.lower, again.lower)
        sizes = np.maximum(line.size, float(self._within.slope(stack, x)[0]))
        solved = min(bound.residual.max(), again.residual.max()) <= SOLVED * sizes.max()
        if _small(again, allowed) or not solved or not np.isfinite(upper):
            return least
        costly = np.minimum(bound.cost, again.cost)
        needed = ~np.isfinite(costly)
        wanted = np.flatnonzero(~np.isfinite(self._extents.reach) | (costly > allowed / len(v)))
        level = LevelSet(programs, i, stack, weak, upper, self._goal)
        extents = level.extents(self._extents, wanted, needed, sizes)
        return max(least, *(min(lower_bound(*each, weak=weak, extents=extents).lower, upper) for each in tries))


def _alike(first: Rows, second: Rows) -> bool:
    """Return whether two sets have the same matrix and cones."""
    return first.G.shape == second.G.shape and same_matrix(first.G, second.G) and first.cones == second.cones


def _small(bound: Bound, allowed: float) -> bool:
    """Return whether what the residual cost is worth no more work."""
    return bool(np.isfinite(bound.lower)) and float(bound.cost.sum()) <= allowed
