"""Accelerated projected gradient on the smoothed surrogate, the smoothing shrinking as the gap does.

y = project(x - step grad f_delta(x)),  x = y + momentum (y - y_before): Nesterov's method with backtracking, a restart
where the momentum points uphill (O'Donoghue and Candes, "Adaptive restart for accelerated gradient schemes", 2015), and
Nesterov's smoothing (2005) with the width delta halved whenever the Frank-Wolfe gap of the smoothed function is below
what the smoothing costs. Every tangent has a minorant, so that every iteration gives a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from decision._minimise.answers import Answers, Goal
from decision._minimise.surrogate import Surrogate
from decision.sets._base import FeasibleSet

ITERATIONS = 3000
CHECK = 5  # iterations between two evaluations of f itself
SHRINK = 0.5  # of the width


@dataclass(frozen=True, eq=False)
class Pace:
    """Width of the smoothing and step of each context, shape `(contexts,)`: where another descent may go on."""

    delta: Tensor
    step: Tensor

    def take(self, rows: Tensor) -> Pace:
        """Return those of some contexts."""
        return Pace(self.delta[rows], self.step[rows])


def descend(
    surrogate: Surrogate,
    feasible_set: FeasibleSet,
    answers: Answers,
    goal: Goal,
    patience: int | None = None,
    pace: Pace | None = None,
) -> Pace | None:
    """Improve `answers` until each context has its gap, and return the pace at the end; None without contexts.

    Args:
        surrogate: the functions.
        feasible_set: the set X; its projection and its linear minimisation are all that is used.
        answers: points to start from and bounds; changed in place.
        goal: when to stop.
        patience: iterations without a gap that is 10 % smaller after which a context is left as it is; None for all.
        pace: to begin with; found at the first points if omitted.
    """
    if not len(surrogate):
        return None
    limit = ITERATIONS if goal.max_iterations is None else goal.max_iterations
    run = _Run(surrogate, feasible_set, answers, pace)
    last = Pace(run.delta.clone(), run.step.clone())
    for iteration in range(limit):
        if not run.iterate(check=iteration % CHECK == 0):
            continue
        done = run.answers.done(goal) | run.stuck(iteration, patience)
        if bool(done.all()) or goal.late:
            break
        if int(done.sum()) * 4 > len(done):
            run.put(answers, last)
            run.keep((~done).nonzero()[:, 0])
    run.check()
    run.put(answers, last)
    return last


class _Run:
    """The contexts that are not done, and their state."""

    def __init__(self, surrogate: Surrogate, feasible_set: FeasibleSet, answers: Answers, pace: Pace | None) -> None:
        self.surrogate, self.feasible_set = surrogate, feasible_set
        self.rows = torch.arange(len(surrogate), device=answers.x.device)
        self.answers = answers.take(self.rows)
        self.y = self.x = self.answers.x
        self.delta, self.step = self._first() if pace is None else (pace.delta, pace.step)
        self.momentum = torch.ones_like(self.delta)
        self.mark, self.since = torch.full_like(self.delta, torch.inf), torch.zeros_like(self.rows)

    def _first(self) -> tuple[Tensor, Tensor]:
        """Return a width that costs about 25 % of the first gap, and a step of 10 % of the length of the set."""
        delta = self.x.new_full((len(self.x),), 1e-3)
        for _ in range(12):
            at = self.surrogate.smooth(self.x, delta)
            far = self.x - self.feasible_set.minimise_linear(at.gradient)
            cheap = at.above - at.minorant < 0.25 * (at.gradient * far).sum(dim=-1)
            if not bool(cheap.any()):
                break
            delta = torch.where(cheap, 2.0 * delta, delta)
        length = torch.linalg.vector_norm(far, dim=-1).clamp(min=1e-12)
        return delta, 0.1 * length / torch.linalg.vector_norm(at.gradient, dim=-1).clamp(min=1e-12)

    def put(self, answers: Answers, last: Pace) -> None:
        """Write down what is known of these contexts."""
        answers.put(self.rows, self.answers)
        last.delta[self.rows], last.step[self.rows] = self.delta, self.step

    def keep(self, rows: Tensor) -> None:
        """Drop all contexts but these."""
        self.surrogate, self.answers = self.surrogate.take(rows), self.answers.take(rows)
        self.rows = self.rows[rows]
        for name in ("x", "y", "delta", "step", "momentum", "mark", "since"):
            setattr(self, name, getattr(self, name)[rows])

    def stuck(self, iteration: int, patience: int | None) -> Tensor:
        """Return which contexts have made no progress for too long: they are at the end of what their floats can do."""
        gap = self.answers.value - self.answers.lower
        falls = ~(gap > 0.9 * self.mark)
        self.mark = torch.where(falls, gap, self.mark)
        self.since = torch.where(falls, iteration, self.since)
        late = iteration - self.since
        return torch.zeros_like(falls) if patience is None else late >= patience

    def check(self) -> None:
        """Offer the exact value of the last point."""
        self.answers.offer_point(self.y, self.surrogate.value(self.y))

    def iterate(self, check: bool) -> bool:
        """Take one step; return whether the answers may have changed."""
        at = self.surrogate.smooth(self.x, self.delta)
        gap = at.fall(self.feasible_set)
        self.answers.offer_bound(at.minorant - gap, at.multipliers)
        y, seen = self._backtrack(at.gradient, at.value)
        self.answers.iterations += 1
        restart = ((self.x - y) * (y - self.y)).sum(dim=-1) > 0
        grown = 0.5 * (1.0 + (1.0 + 4.0 * self.momentum.square()).sqrt())
        weight = torch.where(restart, 0.0, (self.momentum - 1.0) / grown)
        self.x = self.feasible_set.project(y + weight[:, None] * (y - self.y))
        self.y = y
        narrow = gap < at.above - at.minorant
        self.momentum = torch.where(restart | narrow, 1.0, grown)
        self.delta = torch.where(narrow, SHRINK * self.delta, self.delta)
        # steps that are too short for their values to be told apart cannot be tested: they grow no more, and the
        # curvature of what is still smoothed goes like 1 / delta
        fall = torch.where(seen, SHRINK**0.5, SHRINK)
        self.step = torch.where(seen, 1.05, 1.0) * torch.where(narrow, fall * self.step, self.step)
        if check:
            self.check()
        return check

    def _backtrack(self, gradient: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the projected step, halved until the quadratic model is above the smoothed function.

        Returns:
            The point, and whether its values could show that: whether the fall of the model is above rounding.
        """
        noise = 50.0 * torch.finfo(value.dtype).eps * value.abs()
        for _ in range(30):
            y = self.feasible_set.project(self.x - self.step[:, None] * gradient)
            move = y - self.x
            model = value + (gradient * move).sum(dim=-1) + 0.5 * move.square().sum(dim=-1) / self.step
            seen = value - model > noise
            if not bool(seen.any()):
                break
            high = self.surrogate.smooth_value(y, self.delta) > model + noise
            if not bool(high.any()):
                break
            self.step = torch.where(high, 0.5 * self.step, self.step)
        return y, seen
