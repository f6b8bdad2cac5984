"""The interior-point method from outside: which units each context starts with, and what happens when they were few."""

from __future__ import annotations

import torch

from decision.answers import Answers, Goal
from decision.interior.path import Path
from decision.interior.polyhedron import Polyhedron
from decision.interior.units import Selector
from decision.sets.base import FeasibleSet
from decision.stack import Stack

WHOLE = 48  # layers of at most this many units are kept whole: choosing costs more than it saves
MARGIN = 0.1  # units within this share of the layer's mean |a| of turning on are kept from the start
ATTEMPTS = 3
ITERATIONS = 60


def follow(stack: Stack, feasible_set: FeasibleSet, polyhedron: Polyhedron, answers: Answers, goal: Goal) -> None:
    """Improve `answers` until each context has its gap.

    Contexts whose paths break down, mostly because many units turn on where they had been left out, begin again with
    all the units that they met, and at last with every unit there is.

    Args:
        stack: the networks.
        feasible_set: the set X.
        polyhedron: the same set as inequalities.
        answers: points and bounds to start from; changed in place.
        goal: when to stop.
    """
    x = polyhedron.center.expand(len(stack), -1)
    a = stack.preactivations(x)
    sizes = torch.stack([one.abs().mean() for one in a]) if a else x.new_ones(1)
    sizes = torch.where(sizes.amax() > 0, sizes, 1.0)
    scale = list(sizes.clamp(min=0.1 * float(sizes.amax())).unbind())
    selector = Selector(stack, scale)
    wanted = [one > -MARGIN * one.abs().mean(dim=1, keepdim=True) for one in a]
    small = all(one.shape[1] <= WHOLE for one in a)
    left = torch.arange(len(stack), device=x.device)
    limit = ITERATIONS if goal.max_iterations is None else goal.max_iterations
    for attempt in range(ATTEMPTS):
        whole = small or attempt == ATTEMPTS - 1
        if whole:
            wanted = [torch.ones_like(one) for one in wanted]
        sizes = torch.stack([one.sum(dim=1) for one in wanted]).amax(dim=0) if a else torch.zeros_like(left)
        bucket = (sizes.clamp(min=8).double().log2() - 1e-9).ceil()
        lost = []
        for size in bucket.unique():
            some = (bucket == size).nonzero()[:, 0]
            rows = left[some]
            path = Path(
                stack.take(rows), feasible_set, polyhedron, selector, [one[some] for one in wanted], whole, scale
            )
            lost.append(some[path.run(rows, answers, goal, limit)])
            for mine, seen in zip(wanted, path.seen, strict=True):
                mine[some] = seen
        again = torch.cat(lost)
        if whole or not len(again) or goal.late:
            return
        left, wanted = left[again], [one[again] for one in wanted]
