"""The search behind `decide` over a set: in units of its own, without the constant, chunk after chunk of contexts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from decision._minimise.answers import Answers, Goal
from decision._minimise.local import TOUCH, on_inner_side, wider_box, within
from decision._minimise.methods import Method, Problem
from decision._minimise.reference import Reference
from decision._minimise.smoothing import NARROW
from decision._minimise.surrogate import Surrogate
from decision._minimise.units import Units
from decision.sets import Box
from decision.sets._base import FeasibleSet
from socicnn._arrays import Array

CHUNK = 256  # contexts at a time: enough to keep the processor busy, few enough to stay in its cache
FINER = 2.0**-6  # of the accuracy asked for: what a part of a box gives also has to hold beyond it (`rim`, `growth`)


@dataclass(frozen=True, eq=False)
class Search:
    """Minimise each function of a surrogate over a set.

    Args:
        surrogate: the functions.
        feasible_set: the set X.
        reference: what gaps are measured against.
        method: how.
        progress: whether to show a progress bar.
        origin: what x here is less than the user's x by, shape `(n,)`; None for nothing.
    """

    surrogate: Surrogate
    feasible_set: FeasibleSet
    reference: Reference
    method: Method
    progress: bool = False
    origin: Array | None = None

    def measured(self) -> Search:
        """Return the search with a surrogate that knows its size."""
        return replace(self, surrogate=self.surrogate.measured(self.feasible_set, self.reference.reach))

    def first_box(self) -> Box | None:
        """Return the part of a wide box to search first: the ranges of the training data, or where f is curved."""
        box = self.feasible_set
        if not isinstance(box, Box):
            return None
        if self.reference.ranges is not None:
            return within(box, *self.reference.ranges)
        return self.surrogate.first_box(box)

    def take(self, rows: Tensor) -> Search:
        """Return the search of some contexts."""
        return replace(self, surrogate=self.surrogate.take(rows))


def minimise(search: Search, x: Tensor | None, most: Tensor, goal: Goal) -> Answers:
    """Return what is found: nothing of it is trusted before it is judged.

    Args:
        search: what to minimise.
        x: points to start from, shape `(contexts, n)`; defaults to the centre, of a part of a box that is wide.
        most: largest value of f at the reference points, shape `(contexts,)`.
        goal: when to stop.
    """
    box = search.feasible_set
    inner = search.first_box()
    if inner is None or not isinstance(box, Box):
        return _within(search, x, most, goal)
    if search.surrogate.finer:
        goal = replace(goal, rtol=FINER * goal.rtol)
    answers = _within(replace(search, feasible_set=inner), x, most, goal)
    rows, step = on_inner_side(answers.x, inner, box).nonzero()[:, 0], 0
    while len(rows) and inner is not box and not goal.late:
        rest = goal.after(int(answers.iterations[rows].max()))
        if rest.max_iterations == 0:
            break
        step += 1
        start, (lower, upper) = answers.x[rows], inner.ends(answers.x)
        inner = wider_box(inner, box, search.surrogate.wider ** max(1, step - 15))
        part = _within(replace(search.take(rows), feasible_set=inner), start, most[rows], rest)
        part.iterations += answers.iterations[rows]
        answers.put(rows, part)
        # a search that did not leave the side where it began has failed there: a wider box may do
        stuck = ((answers.x[rows] - start).abs() <= TOUCH * (upper - lower)).all(dim=1)
        rows = rows[stuck | on_inner_side(answers.x[rows], inner, box)]
    return answers


def _within(search: Search, x: Tensor | None, most: Tensor, goal: Goal) -> Answers:
    """Search the whole set of a search from the points x."""
    surrogate, feasible_set = search.surrogate, search.feasible_set
    if x is None:
        x = feasible_set.centre(device=surrogate.device).repeat(len(surrogate), 1)
    x = feasible_set.project(x)
    size = surrogate.size(x, search.reference.half) if surrogate.proves else torch.full_like(most, torch.inf)
    answers = Answers.start(surrogate, x, surrogate.most(most), size, torch.ones_like(most))
    for rows in torch.arange(len(x), device=x.device).split(CHUNK):
        answers.put(rows, _chunk(search.take(rows), answers.take(rows), goal))
    return answers


def _chunk(search: Search, before: Answers, goal: Goal) -> Answers:
    """Search for one chunk of contexts, in units in which f and the set are near one."""
    spread = before.most - before.value
    size = torch.minimum(torch.where((spread > 0) | before.size.isinf(), spread.abs(), before.size), before.size)
    surrogate, units = search.surrogate.in_units(Units.of(size, search.feasible_set))
    unit = units.unit(before.most)
    problem = Problem(surrogate, units.set(search.feasible_set), search.progress)
    x = units.inward(before.x)
    answers = Answers.start(surrogate, x, before.most / unit, before.size / unit, unit)
    # the bound of a subgradient, so that every answer has a gap
    at = surrogate.smooth(x, torch.full_like(unit, NARROW))
    answers.offer_bound(at.minorant - at.fall(problem.feasible_set), at.multipliers)
    if not goal.late:
        search.method.improve(problem, answers, goal)
    return replace(
        before,
        x=units.outward(answers.x),
        value=answers.value * unit,
        lower=answers.lower * unit,
        dual=units.multipliers(answers.dual),
        iterations=answers.iterations,
        notes=answers.notes,
    )
