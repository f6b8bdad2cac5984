"""The exact conic program of each context, through a solver, with a bound that does not rest on the solver's word."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from tqdm import tqdm

from decision._minimise.answers import Answers, Goal
from decision._minimise.bounds import lower_bound
from decision._minimise.smoothed_stack import by_slopes
from decision._minimise.stack import Dual, Stack, StackLayer, alike
from decision.sets._base import FeasibleSet
from socicnn._arrays import Array, IntArray
from socicnn._compile import compile_net
from socicnn.conic._prepared import same_matrix
from socicnn.conic._program import ConicProgram, ValueProgram
from socicnn.conic._rows import Rows
from socicnn.conic._scaled import Scaled
from socicnn.conic._solution import Solution
from socicnn.conic.solvers import Solver, SolverName, make
from socicnn.frozen import FrozenNet

BLOCK = 256  # contexts whose bounds are proven at a time
TYPICAL = 8  # points of the set by which the scales of the quadratics are chosen


def solve_exactly(
    net: FrozenNet,
    stack: Stack,
    feasible_set: FeasibleSet,
    answers: Answers,
    goal: Goal,
    solver: Solver,
    *,
    progress: bool = False,
) -> None:
    """Improve `answers` by solving min f over X as one conic program per context; the gap of `goal` is not looked at.

    The solver's x is projected onto X, and its multipliers are repaired into a dual point, which proves a bound
    whatever the solver claims.

    Args:
        net: the networks, perhaps stacked.
        stack: the same as tensors.
        feasible_set: the set X.
        answers: changed in place.
        goal: when to stop; what is left of its time, to a factor of two, also limits each solve.
        solver: the solver.
        progress: whether to show a progress bar.
    """
    # always the same points: the same question gets the same answer
    typical = feasible_set.sample(TYPICAL, torch.Generator().manual_seed(0)).numpy()
    programs = FreePrograms(net, feasible_set.rows(), solver, typical)
    statuses: Counter[str] = Counter()
    with tqdm(total=len(stack), desc="decide exactly", unit="context", disable=not progress) as bar:
        for start in range(0, len(stack), BLOCK):
            wanted = range(start, min(start + BLOCK, len(stack)))
            solved = list(zip(wanted, programs.solve_each(wanted, goal, bar.update), strict=False))
            statuses.update(solution.status for _, solution in solved if not solution.ok)
            _offer(programs, stack, feasible_set, answers, solved)
            if len(solved) < len(wanted):
                done = start + len(solved)
                answers.notes.append(f"The time limit ended the exact solves after {done} of {len(stack)} contexts.")
                break
    answers.notes += [f"{count} of {len(stack)} contexts: {status}." for status, count in statuses.items()]


def _offer(
    programs: FreePrograms,
    stack: Stack,
    feasible_set: FeasibleSet,
    answers: Answers,
    solved: list[tuple[int, Solution]],
) -> None:
    """Offer the points and the bounds of some contexts' solutions, all at once."""
    device = answers.x.device
    answers.iterations[[i for i, _ in solved]] += 1
    whole = [(i, solution) for i, solution in solved if np.isfinite(solution.v).all() and np.isfinite(solution.y).all()]
    if not whole:
        return
    rows = torch.tensor([i for i, _ in whole], device=device)
    chosen, some = answers.take(rows), stack.take(rows)
    v = np.stack([solution.v[: stack.in_features] for _, solution in whole])
    x = feasible_set.project(torch.as_tensor(v, device=device))
    chosen.offer_point(x, some.value(x))
    for dual in programs.duals(some, np.stack([solution.y for _, solution in whole]), x):
        chosen.offer_bound(lower_bound(some, feasible_set, dual), dual)
    answers.put(rows, chosen)


class FreePrograms:
    """The programs min_x f(x) over a set, one per context: assembled and prepared once, only vectors move.

    Args:
        net: the networks, perhaps stacked.
        rows: the set, as constraints on x and perhaps on further variables after it.
        solver: the solver.
        typical: points x of the set, shape `(points, n)`, to choose the scale of each quadratic by: the largest that
            suits one of them, as p may vanish at any single point; the origin if omitted.
        compiled: the networks' program, if it is known.
    """

    def __init__(
        self,
        net: FrozenNet,
        rows: Rows,
        solver: Solver,
        typical: Array | None = None,
        compiled: ValueProgram | None = None,
    ) -> None:
        program = compile_net(net).program if compiled is None else compiled
        more = rows.G.shape[1] - net.in_features
        if more:
            B = sparse.csr_array(sparse.hstack([program.B, sparse.csr_array((program.B.shape[0], more))]))
            program = replace(program, B=B, d=np.pad(program.d, [(0, 0)] * (program.d.ndim - 1) + [(0, more)]))
        points = np.zeros((1, net.in_features)) if typical is None else typical
        points = np.pad(points, [(0, 0), (0, more)])
        scales = np.max([program.scales(np.broadcast_to(x, (net.contexts or 1, len(x)))) for x in points], axis=0)
        # plain lifts keep A the same for all contexts, and are accurate where ||p|| is near 1
        self._scales = None if np.all((scales >= 0.25) & (scales <= 4.0)) else scales
        self._program, self._rows, self._solver = program, rows, solver
        first = self._single(0)
        self._first = program if self._scales is None else first  # the vectors of all contexts, or of the only one
        self._base = first.free(rows)
        self._order = _order(first, rows)
        self._alike = alike(net.weighted()[1])
        self._blocks = {block.name: slice(block.start, block.stop) for block in self._base.rows}
        self._scaled: Scaled | None = None
        self._last: tuple[int, ConicProgram] | None = None  # the context that was solved last
        self._limit = math.inf  # seconds that a solve may take as it is prepared

    def _single(self, i: int) -> ValueProgram:
        program = self._program.take(i)
        if self._scales is None:
            return program
        return program.rescaled(self._scales[i if self._program.stacked else 0])  # one network over many sets has one

    def at(self, i: int) -> ConicProgram:
        """Return the program of context i."""
        if self._scales is not None and self._program.stacked:
            return self._single(i).free(self._rows)
        program = self._first
        b, d, q, r = (
            values[i] if program.stacked else values for values in (program.b, program.d, program.q, program.r)
        )
        return replace(
            self._base,
            b=np.concatenate([b, self._rows.h])[self._order],
            c=np.concatenate([d, q]),
            offset=float(r),
        )

    def move(self, rows: Rows) -> None:
        """Go on with a set of the same matrix and other right-hand sides."""
        self._rows, self._last = rows, None

    def solve(self, i: int, goal: Goal, more: Array | None = None) -> Solution:
        """Solve context i; the solver is set up again where the matrix moved, or half its time has gone.

        Args:
            i: the context.
            goal: its deadline is kept.
            more: a linear cost on [x | further variables] that is added to the network's.
        """
        if self._last is None or self._last[0] != i:
            self._last = i, self.at(i)
        problem = self._last[1]
        c = problem.c
        if more is not None:
            c = c.copy()
            c[: len(more)] += more
        left = max(goal.deadline - time.perf_counter(), 1e-3)
        moved = self._scaled is None or not same_matrix(problem.A, self._scaled.program.A)
        if self._scaled is None or moved or left < 0.5 * self._limit < math.inf:
            self._scaled, self._limit = Scaled(_limited(self._solver, left), problem), left
        return self._scaled.solve(problem.b, c, problem.offset)

    def solve_each(self, contexts: range, goal: Goal, tick: Callable[[], object]) -> list[Solution]:
        """Solve context after context, those of the time that is left.

        Without a time limit, and if the contexts share a matrix, their vectors are moved and their answers checked all
        at once.

        Args:
            contexts: which.
            goal: its deadline is kept.
            tick: called after each solve.
        """
        if self._scales is not None or goal.deadline < math.inf or not self._program.stacked:
            solutions = list[Solution]()
            for i in contexts:
                if goal.late:
                    break
                solutions.append(self.solve(i, goal))
                tick()
            return solutions
        if self._scaled is None:
            self._scaled = Scaled(self._solver, self._base)
        program = self._program[contexts.start : contexts.stop]
        h = np.broadcast_to(self._rows.h, (len(contexts), len(self._rows.h)))
        b = np.concatenate([program.b, h], axis=1)[:, self._order]
        return self._scaled.solve_each(b, np.concatenate([program.d, program.q], axis=1), program.r, tick)

    def duals(self, stack: Stack, y: Array, x: Tensor) -> list[Dual]:
        """Return guesses of dual points of the networks, the likely best first.

        Args:
            stack: the networks of these contexts.
            y: multipliers of solutions, shape `(contexts, m)`, or `(m,)` of one context.
            x: their points, shape `(contexts, n)`.
        """
        dual = self._dual(stack, y, x)
        # solvers' multipliers of exponential cones are rough, but better than the slopes at x where x is rough
        return [replace(dual, lam=by_slopes(stack, dual.lam, x)), dual] if stack.smooth else [dual]

    def _dual(self, stack: Stack, y: Array, x: Tensor) -> Dual:
        """Return the multipliers of solutions as dual points of the networks."""
        y = np.atleast_2d(y)
        count = len(y)

        def part(name: str) -> Tensor:
            return torch.as_tensor(y[:, self._blocks[name]], device=x.device)

        def units(k: int, layer: StackLayer) -> Tensor:
            """Return the multipliers of a layer: softplus units have them in the heads of their cones."""
            lam, soft = torch.zeros_like(layer.b), torch.as_tensor(layer.smoothing, device=x.device) > 0
            soft = soft.expand(layer.b.shape[1])
            if bool(soft.any()):
                lam[:, soft] = -part(f"softplus{k}")[:, : 3 * int(soft.sum()) : 3]
            if not bool(soft.all()):
                lam[:, ~soft] = part(f"relu{k}")
            return lam

        lam = tuple(units(k, layer) for k, layer in enumerate(stack.layers, start=1))
        groups = [
            (branch, [f"norm{r + 1}" for r in some]) for branch, some in zip(stack.norms, self._alike, strict=True)
        ]
        groups += [(term, [f"norms{k}"]) for k, layer in enumerate(stack.layers, start=1) for term in layer.roots]
        u = []
        for branch, blocks in groups:
            cones = torch.cat([part(name).reshape(count, -1, branch.group + 1) for name in blocks], dim=1)
            u.append((-cones[..., 1:] / cones[..., :1].clamp(min=1e-300)).reshape(count, -1))
        # -2 beta p; where beta is next to nothing p cannot be read off, and does not matter
        images = stack.images(x)
        weights = [branch.weight for branch in stack.quadratics]
        names = [f"quadratic{m}" for m in range(1, len(weights) + 1)]
        for k, layer in enumerate(stack.layers, start=1):
            for branch in (term for term in layer.inner if not term.root):
                names.append(f"layer{k}")
                weights.append(branch.weight * lam[k - 1])
        p = []
        for name, weight, image in zip(names, weights, images[: len(names)], strict=True):
            cones = part(name).reshape(count, weight.shape[1], -1)[..., 2:]
            least = 1e-6 * weight.abs().amax(dim=1, keepdim=True)
            read = (-0.5 * cones / weight.clamp(min=1e-300)[..., None]).reshape(count, -1)
            sure = (weight > least).repeat_interleave(cones.shape[-1], dim=1)
            p.append(torch.where(sure & read.isfinite(), read, image))
        return Dual(lam, tuple(u), (*p, *images[len(names) :]))  # tangents of exponentials at x

    def set_multipliers(self, y: Array) -> Array:
        """Return the multipliers of the set's rows, in the order of `rows`."""
        own = self._program.A.shape[0]
        multipliers = np.empty(len(self._order) - own)
        from_set = self._order >= own
        multipliers[self._order[from_set] - own] = y[from_set]
        return multipliers


def solver_of(solver: SolverName | Solver, settings: dict[str, Any] | None) -> Solver:
    """Return the solver with its settings."""
    return make(solver, **(settings or {}))


def _limited(solver: Solver, left: float) -> Solver:
    """Return the solver with what is left of the time as its limit, where that is less than its own."""
    if left == math.inf:
        return solver
    limit = left if solver.time_limit is None else min(left, solver.time_limit)
    return type(solver)(time_limit=limit, **solver.settings)


def _order(program: ValueProgram, rows: Rows) -> IntArray:
    """Return where each row of the free program comes from in [network rows | set rows]."""
    m = program.A.shape[0]
    places = np.arange(m + len(rows.h), dtype=np.float64)
    labelled = replace(program, b=places[:m]).free(replace(rows, h=places[m:]))
    return labelled.b.astype(np.int64)
