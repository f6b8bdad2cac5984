"""The interior-point method from outside: which units each context starts with, and what happens when they were few."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from decision._minimise.answers import Answers, Goal
from decision._minimise.interior.choice import Choice
from decision._minimise.interior.path import Path
from decision._minimise.interior.polyhedron import Polyhedron
from decision._minimise.interior.start import plain_gradient
from decision._minimise.interior.units import Gatherer
from decision._minimise.stack import Stack
from decision.sets._base import FeasibleSet

WHOLE = 48  # layers of at most this many units are kept whole: choosing costs more than it saves
MARGIN = 0.06  # units within this share of the layer's mean |a| of their kink are kept from the start
CAUTION = (0.005, 0.05, 0.1)  # of each attempt
ITERATIONS = 40  # of each attempt
ROUGH = 1e-6  # relative gap below which another attempt is not worth while: rounding is near
INWARDS = 0.05  # share of the way to the centre that a point is moved to start inside


def is_small(stack: Stack) -> bool:
    """Return whether every unit is kept, so that there is nothing to scout for."""
    return all(layer.smooth or layer.b.shape[1] <= WHOLE for layer in stack.layers)


def follow(
    stack: Stack,
    feasible_set: FeasibleSet,
    polyhedron: Polyhedron,
    answers: Answers,
    goal: Goal,
    before: list[Tensor] | None = None,
) -> None:
    """Improve `answers` until each context has its gap.

    Contexts whose paths break down, mostly because many units turn where they had been taken as off or on, begin again,
    more cautiously and with all the units that they met; the third time with every unit there is.

    Args:
        stack: the networks.
        feasible_set: the set X.
        polyhedron: the same set as inequalities.
        answers: points and bounds to start from; changed in place.
        goal: when to stop.
        before: pre-activations at earlier points, which show how far each unit still moves: the path then starts near
            `answers.x`. None to start from the centre, with every unit.
    """
    rough = replace(goal, rtol=max(goal.rtol, ROUGH))
    limit = ITERATIONS if goal.max_iterations is None else goal.max_iterations
    left = (~answers.done(goal)).nonzero()[:, 0]
    now = stack.preactivations(answers.x)
    small = before is None or is_small(stack)
    near = [torch.ones_like(a, dtype=torch.bool) for a in now]
    if before is not None and not small:
        near = [
            torch.ones_like(a, dtype=torch.bool) if layer.smooth else _near(a, old)
            for layer, a, old in zip(stack.layers, now, before, strict=True)
        ]
    on = [(a > 0) & ~kept for a, kept in zip(now, near, strict=True)]
    foldable = Gatherer.foldable(stack)
    near = [kept if fold else kept | mask for kept, mask, fold in zip(near, on, foldable, strict=True)]
    on = [mask & ~kept for mask, kept in zip(on, near, strict=True)]
    scale = _scale(now, answers.x)
    gatherer = Gatherer(stack, scale)
    near, on = [mask[left] for mask in near], [mask[left] for mask in on]
    for attempt, caution in enumerate(CAUTION):
        if attempt + 1 == len(CAUTION):
            near = [torch.ones_like(mask) for mask in near]
            on = [torch.zeros_like(mask) for mask in on]
        sizes = torch.stack([mask.sum(dim=1) for mask in near]).amax(dim=0) if near else torch.zeros_like(left)
        bucket = (sizes.clamp(min=8).double().log2() * 2 - 1e-9).ceil()
        lost = []
        for size in bucket.unique():
            some = (bucket == size).nonzero()[:, 0]
            rows = left[some]
            part = stack.take(rows)
            x, mu = _start(part, feasible_set, polyhedron, answers, rows, warm=before is not None and attempt == 0)
            choice = Choice.of([mask[some] for mask in near], [mask[some] for mask in on])
            path = Path(part, feasible_set, polyhedron, gatherer, choice, x, mu, scale, caution)
            lost.append(some[path.run(rows, answers, goal, limit)])
            for target, seen in zip(near, path.seen, strict=True):
                target[some] = seen
        again = torch.cat(lost) if lost else left[:0]
        again = again[~answers.take(left[again]).done(rough)]
        if not len(again) or goal.late or goal.max_iterations is not None:
            return
        left, near, on = left[again], [mask[again] for mask in near], [mask[again] for mask in on]
        on = [mask & ~kept for mask, kept in zip(on, near, strict=True)]


def _near(a: Tensor, before: Tensor) -> Tensor:
    """Return which units are near their kink: nearer than they moved lately, with a margin."""
    return a.abs() <= (a - before).abs() + MARGIN * a.abs().mean(dim=1, keepdim=True)


def _scale(a: list[Tensor], x: Tensor) -> list[Tensor]:
    """Return the size of the pre-activations of each layer."""
    if not a:
        return []
    sizes = torch.stack([tensor.abs().mean() for tensor in a])
    sizes = torch.where(sizes.amax() > 0, sizes, 1.0)
    return list(sizes.clamp(min=0.1 * float(sizes.amax())).unbind())


def _start(
    stack: Stack, feasible_set: FeasibleSet, polyhedron: Polyhedron, answers: Answers, rows: Tensor, warm: bool
) -> tuple[Tensor, Tensor]:
    """Return interior points to start from and the products to start with."""
    centre = polyhedron.centre.expand(len(rows), -1)
    pairs = max(len(polyhedron.h), 1)
    if warm:
        x = answers.x[rows]
        x = x + INWARDS * (centre - x)
        gap = answers.value[rows] - answers.lower[rows]
        return x, (gap / pairs).clamp(min=1e-10)
    x = centre.clone()
    # what the linearised objective can gain, shared out over the inequalities
    gradient = plain_gradient(stack, x)
    gain = (gradient * (x - feasible_set.minimise_linear(gradient))).sum(dim=-1)
    return x, (gain / pairs).clamp(min=1e-10)
