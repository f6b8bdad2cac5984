"""The search behind `decide` over a set: in units of its own, without the constant, chunk after chunk of contexts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from decision.minimise.answers import Answers, Goal
from decision.minimise.local import TOUCH, WIDER, first_box, on_inner_side, wider_box
from decision.minimise.methods import Method, Problem
from decision.minimise.reference import terms
from decision.minimise.smoothed_stack import rounded, tangent
from decision.minimise.stack import Dual, Stack
from decision.minimise.units import Units
from decision.sets import Box
from decision.sets.base import FeasibleSet
from socicnn.frozen import FrozenNet

CHUNK = 256  # contexts at a time: enough to keep the processor busy, few enough to stay in its cache


@dataclass(eq=False)
class Found:
    """What a search found, in the user's units: nothing of it is trusted before it is judged.

    Args:
        x: points of the set, shape `(contexts, n)`.
        dual: the dual point of the best bound.
        iterations: shape `(contexts,)`.
        notes: what a user should know.
    """

    x: Tensor
    dual: Dual
    iterations: Tensor
    notes: list[str] = field(default_factory=list)

    def put(self, rows: Tensor, other: Found) -> None:
        """Overwrite what was found for some contexts; iterations add up."""
        self.x[rows] = other.x
        self.dual.put(rows, other.dual)
        self.iterations[rows] += other.iterations
        self.notes += [note for note in other.notes if note not in self.notes]


@dataclass(frozen=True, eq=False)
class Task:
    """Minimise each of a stack of networks over a set.

    Args:
        net: the networks, perhaps stacked.
        stack: the same as tensors, without the constant.
        feasible_set: the set X.
        most: largest value of f at the reference points, shape `(contexts,)`.
        reach: least size at which each entry of x counts in the terms of f, shape `(contexts, n)`.
        method: how.
        progress: whether to show a progress bar.
    """

    net: FrozenNet
    stack: Stack
    feasible_set: FeasibleSet
    most: Tensor
    reach: Tensor
    method: Method
    progress: bool = False

    def take(self, rows: Tensor) -> Task:
        """Return the task of some contexts."""
        net = self.net.take(rows.cpu().numpy())
        return replace(self, net=net, stack=self.stack.take(rows), most=self.most[rows], reach=self.reach[rows])


def minimise(task: Task, x: Tensor | None, goal: Goal) -> Found:
    """Search from the points x, shape `(contexts, n)`; if omitted from the centre, of a part of a box that is wide."""
    box = task.feasible_set
    inner = first_box(task.stack, box) if isinstance(box, Box) else None
    if inner is None or not isinstance(box, Box):
        return _within(task, x, goal)
    found = _within(replace(task, feasible_set=inner), x, goal)
    rows, step = on_inner_side(found.x, inner, box).nonzero()[:, 0], 0
    while len(rows) and inner is not box and not goal.late:
        rest = goal.after(int(found.iterations[rows].max()))
        if rest.max_iterations == 0:
            break
        step += 1
        start, (lower, upper) = found.x[rows], inner.ends(found.x)
        inner = wider_box(inner, box, WIDER ** max(1, step - 15))
        found.put(rows, _within(replace(task.take(rows), feasible_set=inner), start, rest))
        # a search that did not leave the side where it began has failed there: a wider box may do
        stuck = ((found.x[rows] - start).abs() <= TOUCH * (upper - lower)).all(dim=1)
        rows = rows[stuck | on_inner_side(found.x[rows], inner, box)]
    return found


def _within(task: Task, x: Tensor | None, goal: Goal) -> Found:
    """Search the whole set of a task from the points x."""
    feasible_set = task.feasible_set
    if x is None:
        x = feasible_set.center(device=task.stack.v.device).repeat(len(task.stack), 1)
    x = feasible_set.project(x)
    found = Found(x.clone(), task.stack.zero_dual(x), torch.zeros(len(x), dtype=torch.int64, device=x.device))
    for rows in torch.arange(len(x), device=x.device).split(CHUNK):
        found.put(rows, _chunk(task.take(rows), x[rows], goal))
    return found


def _chunk(task: Task, x: Tensor, goal: Goal) -> Found:
    """Search for one chunk of contexts."""
    size = terms(task.stack, x, task.reach)
    spread = task.most - task.stack.value(x)
    units = Units.of(torch.minimum(torch.where(spread > 0, spread, size), size), task.feasible_set)
    units, net = units.applied(task.net)
    stack = Stack.of(net, x.device)
    unit = units.unit(task.most)
    problem = Problem(net, stack, units.set(task.feasible_set), task.progress)
    answers = Answers.start(stack, units.inward(x), task.most / unit, size / unit, unit)
    _first_bound(problem, answers)
    if not goal.late:
        task.method.improve(problem, answers, goal)
    return Found(units.outward(answers.x), units.multipliers(answers.dual), answers.iterations, answers.notes)


def _first_bound(problem: Problem, answers: Answers) -> None:
    """Offer the bound of the subgradient at the start, so that every answer has a gap."""
    stack, x = problem.stack, answers.x
    gradient, minorant, dual = tangent(stack, rounded(stack, x, torch.full_like(answers.value, 1e-9)))
    fall = (gradient * (x - problem.feasible_set.minimize_linear(gradient))).sum(dim=-1)
    answers.offer_bound(minorant - fall, dual)
