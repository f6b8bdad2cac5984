"""The search for a tree that proves the optimum of a program with integers.

Nothing here is believed: `prove_tree` judges every witness.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from socicnn._arrays import Array, BoolArray
from socicnn.conic._rows import Rows
from socicnn.conic._scaled import tight as tightened
from socicnn.conic._solution import Solution
from socicnn.conic.solvers import Solver
from verify._optimum.branching import ROOM, BranchAndBound, Case, Relaxed
from verify._optimum.interior import interior, towards
from verify._optimum.mixed import EMPTY, LEAF, MixedProgram, TreeWitness, leaf_below, tree_above
from verify._optimum.outer_cuts import CutCase, OuterCuts
from verify._optimum.program import QuadraticProgram
from verify._optimum.search import best_multipliers, blank, emptied, solve, tight_rows
from verify._optimum.settled import Settled, settle


def planes_of(mixed: MixedProgram) -> OuterCuts | None:
    """Return the program over outer cuts for HiGHS; None if its cost is quadratic, or HiGHS cannot take it."""
    return None if mixed.P.nnz else OuterCuts.of(mixed.conic, mixed.integers)


def search_tree(
    mixed: MixedProgram,
    solver: Solver,
    cuts: OuterCuts | None = None,
    *,
    start: Array | None = None,
    time_limit: float = np.inf,
) -> tuple[TreeWitness, float, str]:
    """Return the best witness that is found, the least value, and what ended the search early.

    Args:
        mixed: the program.
        solver: of the relaxations.
        cuts: the program over cuts, in which they are solved first.
        start: integers to try first, shape `(integers,)`.
        time_limit: seconds.
    """
    problem = _Problem(mixed, solver, cuts)
    search = BranchAndBound(problem, time_limit)
    root = search.run(mixed.lower, mixed.upper, start)
    return _witness(root, problem), search.hi, search.early


def _multipliers(case: CutCase, mixed: MixedProgram) -> tuple[QuadraticProgram, Array]:
    """Return the program of a case over cuts and multipliers of its rows: those of bounds are the reduced costs."""
    conic, y = mixed.conic, case.planes.y
    zero = conic.cones.zero
    rest = (conic.c + conic.A.T @ y)[mixed.integers]
    fixed = case.lower == case.upper
    low, high = (np.isfinite(end) & ~fixed for end in (case.lower, case.upper))
    below, above = np.maximum(rest[low], 0.0), np.maximum(-rest[high], 0.0)
    return mixed.within(case.lower, case.upper), np.concatenate([y[:zero], -rest[fixed], below, above, y[zero:]])


class _Problem:
    """A program with integers, as branch and bound sees it."""

    def __init__(self, mixed: MixedProgram, solver: Solver, cuts: OuterCuts | None) -> None:
        self.mixed, self._solver, self._cuts = mixed, solver, cuts
        self.v: Array = np.full(mixed.conic.A.shape[1], np.nan)
        self.tight: BoolArray = np.zeros(0, dtype=bool)
        self._least, self._room = np.inf, 0.0

    def relax(self, lower: Array, upper: Array) -> Relaxed:
        """Solve the relaxation, over cuts if that leads somewhere."""
        cuts = self._cuts
        planes = cuts.case(lower, upper, self._least - self._room, self._room) if cuts and cuts.useful else None
        if planes is None or (lower > upper).any():
            return self._usual(lower, upper)
        size = float(np.abs(self.mixed.conic.c) @ np.abs(planes.v) + np.abs(self.mixed.conic.b) @ np.abs(planes.y))
        return Relaxed(planes.value, planes.v[self.mixed.integers], size, CutCase(lower, upper, planes))

    def _usual(self, lower: Array, upper: Array) -> Relaxed:
        """Solve the relaxation as it is."""
        program = self.mixed.within(lower, upper)
        if (lower > upper).any() or not settle(program.rows).possible:
            none = np.full(len(lower), np.nan)
            return Relaxed(np.inf, none, 0.0, (program, None))
        solution = solve(program, tightened(self._solver))
        conic = program.conic
        size = float(np.abs(conic.c) @ np.abs(solution.v) + np.abs(conic.b) @ np.abs(solution.y))
        size = size if np.isfinite(size) else 0.0
        return Relaxed(solution.value, solution.v[self.mixed.integers], size, (program, solution))

    def bound(self, relaxed: Relaxed, wanted: float) -> tuple[float, Any]:
        """Prove a bound by multipliers, or that the case has no point."""
        leaf = relaxed.data
        if isinstance(leaf, CutCase) and self._cuts is not None:
            program, y = _multipliers(leaf, self.mixed)
            nothing = np.zeros(program.P.shape[0])
            least = leaf_below(program, nothing, y, empty=False)
            if least >= wanted - self._room or (wanted < self._least and np.isfinite(least)):
                return least, (LEAF, y, nothing)
            self._cuts.failed += 1
            return self.bound(self._usual(leaf.lower, leaf.upper), wanted)
        program, solution = leaf
        witness = blank(program)
        if solution is None or not np.isfinite(solution.v).all():
            y = emptied(program, witness, self._solver).empty
            y = np.zeros(len(y)) if np.isnan(y).any() else y
            nothing = np.zeros(program.P.shape[0])
            return leaf_below(program, nothing, y, empty=True), (EMPTY, y, nothing)
        witness = best_multipliers(program, witness, solution.v, solution.y, wanted, self._solver)
        y, u = (np.nan_to_num(part) for part in (witness.y, witness.u))
        u = u if program.P.nnz else 0.0 * u
        return leaf_below(program, u, y, empty=False), (LEAF, y, u)

    def value(self, k: Array, least: float) -> tuple[float, float]:
        """Prove the value of a feasible point with these integers."""
        program = self.mixed.within(k, k)
        settled = settle(program.rows)
        if not settled.possible:
            return np.inf, 0.0
        solution = solve(program, tightened(self._solver))
        if not np.isfinite(solution.v).all() or not solution.value < least:
            return np.inf, 0.0
        best, size = np.inf, 0.0
        for v, tight in _points(program, solution, settled, self._solver):
            v[self.mixed.integers] = k
            end = tree_above(self.mixed, v, tight)
            if end.value < min(best, least):
                best, size, self.v, self.tight = end.value, end.size, v, tight
                self._least, self._room = end.value, ROOM * end.size
            if np.isfinite(end.value) and (
                end.value - solution.value <= 1e-9 * end.size or not (tight & ~settled.tight).any()
            ):
                break
        return best, size


def _points(
    program: QuadraticProgram, solution: Solution, settled: Settled, solver: Solver
) -> Iterator[tuple[Array, BoolArray]]:
    """Yield points next to the solver's, and which rows are tight there."""
    rows, free = program.rows, np.isnan(settled.v)
    v = settled.put(solution.v)
    moves = np.asarray((abs(rows.G) > 0) @ free.astype(np.float64)) > 0
    if np.isfinite(solution.y).all():
        yield v.copy(), (tight_rows(program, v, solution.y) & moves) | settled.tight
    rest: Rows = settled.rest(rows)
    inner = interior(rest, v[free], solver) if free.any() else None
    if inner is not None:
        for point in towards(rest, v[free], inner):
            full = v.copy()
            full[free] = point
            yield full, settled.tight
    yield v.copy(), settled.tight


def _witness(root: Case, problem: _Problem) -> TreeWitness:
    """Return the tree as arrays."""
    mixed = problem.mixed
    split, at, y, u = [], [], [], []
    for case in root.leaves():
        if case.branches:
            split.append(case.split)
            at.append(case.at)
            continue
        kind, multipliers, tangent = case.proof
        split.append(kind)
        at.append(0.0)
        if not (case.lower > case.upper).any():
            y.append(multipliers)
            u += [tangent] if mixed.P.nnz else []
    nothing = np.zeros(0)
    return TreeWitness(
        np.asarray(split, dtype=np.int64),
        np.asarray(at),
        np.concatenate([nothing, *y]),
        np.concatenate([nothing, *u]),
        problem.v,
        problem.tight,
    )
