"""Accelerated projected gradient on the rounded network, the rounding shrinking as the gap does.

y = project(x - step grad f_delta(x)),  x = y + momentum (y - y_before): Nesterov's method with backtracking, a restart
where the momentum points uphill (O'Donoghue and Candes, "Adaptive restart for accelerated gradient schemes", 2015), and
Nesterov's smoothing (2005) with the width delta halved whenever the Frank-Wolfe gap of the rounded function is below
what the rounding costs. Every gradient is a dual point, so that every iteration gives a lower bound.
"""

from __future__ import annotations

import torch
from torch import Tensor

from decision.minimise.answers import Answers, Goal
from decision.minimise.smoothed_stack import rounded, tangent
from decision.minimise.stack import Stack
from decision.sets.base import FeasibleSet

ITERATIONS = 3000
CHECK = 5  # the exact network is evaluated every so many iterations
SHRINK = 0.5  # of the width


def descend(stack: Stack, feasible_set: FeasibleSet, answers: Answers, goal: Goal) -> None:
    """Improve `answers` until each context has its gap.

    Args:
        stack: the networks.
        feasible_set: the set X; its projection and its linear minimisation are all that is used.
        answers: points to start from and bounds; changed in place.
        goal: when to stop.
    """
    if not len(stack):
        return
    limit = ITERATIONS if goal.max_iterations is None else goal.max_iterations
    run = _Run(stack, feasible_set, answers)
    for iteration in range(limit):
        if not run.iterate(check=iteration % CHECK == 0):
            continue
        done = run.answers.done(goal)
        if bool(done.all()) or goal.late:
            break
        if int(done.sum()) * 4 > len(done):
            answers.put(run.rows, run.answers)
            run.keep((~done).nonzero()[:, 0])
    run.check()
    answers.put(run.rows, run.answers)


class _Run:
    """The contexts that are not done, and their state."""

    def __init__(self, stack: Stack, feasible_set: FeasibleSet, answers: Answers) -> None:
        self.stack, self.feasible_set = stack, feasible_set
        self.rows = torch.arange(len(stack), device=answers.x.device)
        self.answers = answers.take(self.rows)
        self.y = self.x = self.answers.x
        self.delta, self.step = self._first()
        self.momentum = torch.ones_like(self.delta)

    def _first(self) -> tuple[Tensor, Tensor]:
        """Return a width that costs about a quarter of the first gap, and a step a tenth as long as the set."""
        delta = self.x.new_full((len(self.x),), 1e-3)
        for _ in range(12):
            at = rounded(self.stack, self.x, delta)
            gradient, minorant, _ = tangent(self.stack, at)
            far = self.x - self.feasible_set.minimize_linear(gradient)
            gap = (gradient * far).sum(dim=-1)
            cheap = at.value - minorant < 0.25 * gap
            if not bool(cheap.any()):
                break
            delta = torch.where(cheap, 2.0 * delta, delta)
        length = torch.linalg.vector_norm(far, dim=-1).clamp(min=1e-12)
        return delta, 0.1 * length / torch.linalg.vector_norm(gradient, dim=-1).clamp(min=1e-12)

    def keep(self, rows: Tensor) -> None:
        """Drop all contexts but these."""
        self.stack, self.answers, self.rows = self.stack.take(rows), self.answers.take(rows), self.rows[rows]
        for name in ("x", "y", "delta", "step", "momentum"):
            setattr(self, name, getattr(self, name)[rows])

    def check(self) -> None:
        """Offer the exact value of the last point."""
        self.answers.offer_point(self.y, self.stack.value(self.y))

    def iterate(self, check: bool) -> bool:
        """Take one step; return whether the answers may have changed."""
        at = rounded(self.stack, self.x, self.delta)
        gradient, minorant, dual = tangent(self.stack, at)
        gap = (gradient * (self.x - self.feasible_set.minimize_linear(gradient))).sum(dim=-1)
        self.answers.offer_bound(minorant - gap, dual)
        y = self._backtrack(gradient, at.value)
        self.answers.iterations += 1
        restart = ((self.x - y) * (y - self.y)).sum(dim=-1) > 0
        grown = 0.5 * (1.0 + (1.0 + 4.0 * self.momentum.square()).sqrt())
        weight = torch.where(restart, 0.0, (self.momentum - 1.0) / grown)
        self.x = self.feasible_set.project(y + weight[:, None] * (y - self.y))
        self.y = y
        narrow = gap < at.value - minorant
        self.momentum = torch.where(restart | narrow, 1.0, grown)
        self.delta = torch.where(narrow, SHRINK * self.delta, self.delta)
        self.step = 1.05 * torch.where(narrow, SHRINK**0.5 * self.step, self.step)
        if check:
            self.check()
        return check

    def _backtrack(self, gradient: Tensor, value: Tensor) -> Tensor:
        """Return the projected step, halved until the quadratic model is above the rounded function."""
        noise = 50.0 * torch.finfo(value.dtype).eps * value.abs()
        for _ in range(30):
            y = self.feasible_set.project(self.x - self.step[:, None] * gradient)
            move = y - self.x
            model = value + (gradient * move).sum(dim=-1) + 0.5 * move.square().sum(dim=-1) / self.step
            high = rounded(self.stack, y, self.delta).value > model + noise
            if not bool(high.any()):
                break
            self.step = torch.where(high, 0.5 * self.step, self.step)
        return y
