"""Branch and bound: the least value of a problem over whole numbers, as a tree of cases each of which is proven.

The case with the least guess is split first, at the variable whose split has raised the guess most so far. A case is
closed once its proven bound reaches the best value less a share of the size of the terms. Whatever ends the search
early, the bounds of the open cases are proven, too. Source: Achterberg, Koch, Martin, OR Letters 33 (2005).
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from socicnn._arrays import Array

LARGEST = 2.0**53  # from here on the whole numbers of float64 have gaps
ROOM = 1e-7  # of the size of the terms: cases this close to the best value are closed
WHOLE = 1e-6  # distance from a whole number that counts as none
OFTEN = 16  # cases between two points that are tried
NODES = 20_000


@dataclass(frozen=True, eq=False)
class Relaxed:
    """What a solver says of a case without the demand of whole numbers.

    Args:
        guess: its least value, +infinity if it says that there is no point.
        point: the integers there, NaN if unknown, shape `(integers,)`.
        size: sum of the absolute values of the terms of both objectives.
        data: what the problem needs to prove a bound.
    """

    guess: float
    point: Array
    size: float
    data: Any


class MixedProblem(Protocol):
    """A problem that is convex but for some variables that are whole numbers."""

    def relax(self, lower: Array, upper: Array) -> Relaxed:
        """Return what a solver says of the problem with these bounds of the integers."""

    def bound(self, relaxed: Relaxed, wanted: float) -> tuple[float, Any]:
        """Return a proven lower bound of a case and its proof; `wanted` would be enough."""

    def value(self, k: Array, least: float) -> tuple[float, float]:
        """Return the proven value with the integers at k, and the size of its terms; infinite if not below `least`."""


@dataclass(eq=False)
class Case:
    """A node of the tree.

    Args:
        lower: bounds of the integers, shape `(integers,)`.
        upper: the same.
        relaxed: what a solver says.
        guess: its value, or that of the case it is part of.
        bound: what is proven.
        proof: how; None before the case is closed.
        split: which integer is split; -1 for a leaf.
        at: v <= at in the first branch, v >= at + 1 in the second.
        branches: both.
    """

    lower: Array
    upper: Array
    relaxed: Relaxed
    guess: float
    bound: float = -np.inf
    proof: Any = None
    split: int = -1
    at: float = 0.0
    branches: tuple[Case, ...] = ()

    def leaves(self) -> list[Case]:
        """Return the cases below this one, itself included, first branches first."""
        cases, stack = [], [self]
        while stack:
            case = stack.pop()
            cases.append(case)
            stack += case.branches[::-1]
        return cases


@dataclass(eq=False)
class BranchAndBound:
    """Branch and bound for one problem.

    Args:
        problem: the problem.
        time_limit: seconds; infinite for none.
        nodes: cases at most.
        room: share of the size of the terms at which a case is closed.
    """

    problem: MixedProblem
    time_limit: float = np.inf
    nodes: int = NODES
    room: float = ROOM
    hi: float = field(default=np.inf, init=False)
    size: float = field(default=0.0, init=False)
    early: str = field(default="", init=False)
    _tried: set[tuple[float, ...]] = field(default_factory=set, init=False)

    def run(self, lower: Array, upper: Array, start: Array | None = None) -> Case:
        """Return the tree.

        Args:
            lower: bounds of the integers, whole or infinite, shape `(integers,)`.
            upper: the same.
            start: integers to try first, shape `(integers,)`.
        """
        ends = time.perf_counter() + self.time_limit
        rises = _Rises(len(lower))
        root = self._case(lower, upper, -np.inf)
        if start is not None:
            self._try(start, root)
        self._dive(root, ends)
        heap, count = [(root.guess, 0, root)], 1
        while heap:
            late = time.perf_counter() > ends
            if late or count >= self.nodes:
                self.early = "the time limit" if late else f"the limit of {self.nodes} cases"
                break
            case = heapq.heappop(heap)[2]
            if not self._closed(case) and case.guess > -np.inf and (case.lower < case.upper).any():
                near = np.abs(case.relaxed.point - np.round(case.relaxed.point)).max(initial=0.0) <= WHOLE
                if near or count % OFTEN < 2:
                    self._try(case.relaxed.point, case)
                if self._closed(case):
                    continue
                rises.split(case)
                j, at = case.split, case.at
                if abs(at) >= LARGEST:
                    self.early = "integers from 2^53 on, which float64 does not hold"
                    case.split = -1
                    heapq.heappush(heap, (case.guess, count, case))
                    break
                for side in (0, 1):
                    low, high = case.lower.copy(), case.upper.copy()
                    low[j], high[j] = (low[j], at) if side == 0 else (at + 1.0, high[j])
                    branch = self._case(low, high, case.guess)
                    rises.learn(case, branch, side)
                    case.branches += (branch,)
                    count += 1
                    heapq.heappush(heap, (branch.guess, count, branch))
            elif case.proof is None:
                self._try(case.relaxed.point if np.isfinite(case.relaxed.point).all() else case.lower, case)
                case.bound, case.proof = self.problem.bound(case.relaxed, self.hi)
        for _, _, case in heap:
            case.bound, case.proof = self.problem.bound(case.relaxed, case.guess)
        return root

    def _case(self, lower: Array, upper: Array, guess: float) -> Case:
        relaxed = self.problem.relax(lower, upper)
        own = relaxed.guess if not np.isnan(relaxed.guess) else -np.inf
        return Case(lower, upper, relaxed, max(own, guess))

    def _closed(self, case: Case) -> bool:
        """Close a case if its bound is proven to be high enough."""
        room = self.room * max(self.size, case.relaxed.size)
        enough = self.hi - room if np.isfinite(self.hi) else np.inf
        if case.proof is not None or case.guess < enough:
            return case.proof is not None
        bound, proof = self.problem.bound(case.relaxed, self.hi)
        if bound >= enough:
            case.bound, case.proof = bound, proof
        return case.proof is not None

    def _try(self, point: Array, case: Case) -> None:
        """Look for a better value at the whole numbers next to a point."""
        if not np.isfinite(point).all():
            return
        k = np.clip(np.round(point), case.lower, case.upper) + 0.0
        if tuple(k) in self._tried:
            return
        self._tried.add(tuple(k))
        value, size = self.problem.value(k, self.hi)
        if value < self.hi:
            self.hi, self.size = value, size

    def _dive(self, case: Case, ends: float) -> None:
        """Look for a first value: fix the integers that are nearly whole and one more, again and again."""
        while np.isfinite(case.relaxed.point).all() and time.perf_counter() < ends:
            self._try(case.relaxed.point, case)
            point = np.clip(case.relaxed.point, case.lower, case.upper)
            gap = np.where(case.lower < case.upper, np.abs(point - np.round(point)), np.inf)
            if np.isfinite(self.hi) or not np.isfinite(gap).any():
                return
            near = gap <= max(WHOLE, float(gap.min()))
            low, high = case.lower.copy(), case.upper.copy()
            low[near] = high[near] = np.round(point[near])
            case = self._case(low, high, case.guess)


class _Rises:
    """How much the guess has risen for each integer that was split, per unit of distance."""

    def __init__(self, integers: int) -> None:
        self._sums, self._counts = np.zeros((2, integers)), np.zeros((2, integers))

    def split(self, case: Case) -> None:
        """Choose the integer and the number at which the case is split."""
        free = case.lower < case.upper
        low = np.where(np.isfinite(case.lower), case.lower, np.minimum(case.upper, 0.0) - 1.0)
        high = np.where(np.isfinite(case.upper), case.upper, np.maximum(case.lower, 0.0) + 1.0)
        middle = low + (high - low) / 2
        point = np.clip(np.where(np.isnan(case.relaxed.point), middle, case.relaxed.point), case.lower, case.upper)
        down = point - np.floor(point)
        apart = np.minimum(down, 1.0 - down)
        if (free & (apart > WHOLE)).any():
            average = self._sums.sum() / max(self._counts.sum(), 1.0) or 1.0
            rate = np.where(self._counts > 0, self._sums / np.maximum(self._counts, 1.0), average)
            score = np.maximum(rate[0] * down, 1e-9 * average) * np.maximum(rate[1] * (1.0 - down), 1e-9 * average)
            score = np.where(free & (apart > WHOLE), score, -1.0)
        else:
            score = np.where(free, high - low, -1.0)
        j = int(np.argmax(score))
        at = np.floor(point[j] + (WHOLE if apart[j] <= WHOLE else 0.0))
        case.split, case.at = j, float(np.clip(at, case.lower[j], case.upper[j] - 1.0))

    def learn(self, case: Case, branch: Case, side: int) -> None:
        """Note how much one branch has risen."""
        j, distance = case.split, case.relaxed.point[case.split] - case.at
        distance = distance if side == 0 else 1.0 - distance
        rise = branch.guess - case.guess
        if np.isfinite(rise) and distance > WHOLE:
            self._sums[side, j] += rise / distance
            self._counts[side, j] += 1.0
