"""Newton's method along the central path of any surrogate, over a set with linear rows and an interior.

The smoothed f_delta is smooth: its minimum over X = {E x = e, G x <= h} can be followed along

    x(mu) = argmin f_delta(x) - mu sum_j log(h - G x)_j   over E x = e,    delta = mu / mu_0,    mu falling from mu_0

with primal-dual steps (Boyd and Vandenberghe, "Convex Optimization", 2004, section 11.7): the Newton matrix is the
Hessian + G' diag(y / s) G with s = h - G x and multipliers y, and the step falls along the barrier function. At x(mu)
the Frank-Wolfe gap of f_delta is at most m mu, m the number of inequalities; a level ends when it is nearly there.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from decision._minimise.answers import Answers, Goal
from decision._minimise.interior import Polyhedron
from decision._minimise.surrogate import Surrogate
from decision.sets._base import FeasibleSet

PRODUCTS = 12800  # of Hessians with a vector at a time, of all contexts together
WIDTH = 0.5  # of the smoothing on the first level
FALL = 0.2  # of mu and delta, from one level to the next
LEVELS = 20
STEPS = 25  # of a level at most
NEAR = 2.0  # a level ends where the gap is at most this many times m mu
INSIDE = 0.99  # share of the way to the boundary
SLOPE = 0.01  # share of the expected fall that a step must make
HALVINGS = 30
ROUNDING = 1e-14  # of f, by which it may seem to rise
KEPT = 1e10  # multipliers stay within this factor of mu / s
IDLE = 30  # steps without a gap that is 10 % smaller, after which rounding is all that moves: more than a level takes


def follow_central_path(
    surrogate: Surrogate, feasible_set: FeasibleSet, polyhedron: Polyhedron, answers: Answers, goal: Goal
) -> None:
    """Improve `answers` until each context has its gap; the path starts at the set's centre.

    Args:
        surrogate: the functions.
        feasible_set: the set X.
        polyhedron: the same set as inequalities.
        answers: points and bounds; changed in place.
        goal: when to stop.
    """
    for rows in torch.arange(len(surrogate), device=answers.x.device).split(max(1, PRODUCTS // feasible_set.n)):
        part = answers.take(rows)
        _Path(surrogate.take(rows), feasible_set, polyhedron, part).follow(goal)
        answers.put(rows, part)


@final
class _Path:
    """The points on the central path of the contexts that are not done.

    Args:
        surrogate: the functions.
        feasible_set: the set X.
        polyhedron: the same set as inequalities.
        answers: of these contexts; changed in place.
    """

    def __init__(
        self, surrogate: Surrogate, feasible_set: FeasibleSet, polyhedron: Polyhedron, answers: Answers
    ) -> None:
        self.surrogate, self.feasible_set, self.polyhedron, self.all = surrogate, feasible_set, polyhedron, answers
        self.rows = torch.arange(len(surrogate), device=answers.x.device)
        self.answers = answers.take(self.rows)
        self.x = polyhedron.centre.repeat(len(self.rows), 1)
        self.s = polyhedron.slack(self.x)
        self.delta = torch.full_like(answers.value, WIDTH)
        self.mu = self.delta[:, None]
        self.pairs = max(1, self.s.shape[1])  # a single point has none
        self.mark = torch.full_like(answers.value, torch.inf)
        self.idle = torch.zeros_like(self.rows)

    def follow(self, goal: Goal) -> None:
        """Follow the path until every context is done or the last level is reached."""
        self._begin(goal)
        spent = 0
        for _ in range(LEVELS):
            for _ in range(STEPS):
                near = self._evaluate()
                done = self.answers.done(goal) | self._stuck()
                if bool(done.all()) or spent == goal.max_iterations or goal.late:
                    self.all.put(self.rows, self.answers)
                    return
                self._keep((~done).nonzero()[:, 0])
                if bool(near[~done].all()):
                    break
                self._step()
                spent += 1
            self.mu, self.delta = FALL * self.mu, FALL * self.delta
        self.all.put(self.rows, self.answers)

    def _begin(self, goal: Goal) -> None:
        """Choose mu and the multipliers: a unit for each context, as costs may differ by orders of magnitude."""
        at = self.surrogate.smooth(self.x, self.delta)
        fall = at.fall(self.feasible_set)
        self.answers.offer_bound(at.minorant - fall, at.multipliers)
        least = self.answers.allowed(goal).clamp(min=torch.finfo(fall.dtype).tiny)
        unit = torch.maximum(fall, least)
        self.mu = unit[:, None] / self.pairs
        self.rounding = ROUNDING * (at.value.abs() + unit)
        self.y = self.mu / self.s

    def _evaluate(self) -> Tensor:
        """Offer the iterate and its bound; return which contexts are near the path."""
        self.at, self.hessian = self.surrogate.hessian(self.x, self.delta)
        fall = self.at.fall(self.feasible_set)
        self.answers.offer_bound(self.at.minorant - fall, self.at.multipliers)
        self.answers.offer_point(self.x, self.at.above)
        return fall <= NEAR * self.pairs * self.mu[:, 0]

    def _stuck(self) -> Tensor:
        """Return which contexts have made no progress for a long time: they are at the end of what float64 can do."""
        gap = self.answers.value - self.answers.lower
        falls = ~(gap > 0.9 * self.mark)
        self.mark = torch.where(falls, gap, self.mark)
        self.idle = torch.where(falls, 0, self.idle + 1)
        return self.idle >= IDLE

    def _keep(self, rows: Tensor) -> None:
        """Drop all contexts but these; what is known of the others is written down."""
        self.value, self.gradient = self.at.value[rows], self.at.gradient[rows]
        if len(rows) == len(self.rows):
            return
        self.all.put(self.rows, self.answers)
        self.surrogate, self.answers, self.rows = self.surrogate.take(rows), self.answers.take(rows), self.rows[rows]
        for name in ("x", "s", "y", "mu", "delta", "rounding", "hessian", "mark", "idle"):
            setattr(self, name, getattr(self, name)[rows])

    def _step(self) -> None:
        """Take one primal-dual Newton step towards x(mu)."""
        polyhedron, mu, s, y = self.polyhedron, self.mu, self.s, self.y
        polyhedron.add_barrier(self.hessian, y / s)
        slope = self.gradient + polyhedron.adjoint(mu / s)
        dx = _constrained(self.hessian, -slope, polyhedron.E)
        ds = -polyhedron.images(dx)
        dy = mu / s - y - y / s * ds
        expected = -(slope * dx).sum(dim=-1)
        length = _reach(s, ds)
        before = self.value - (mu * s.log()).sum(dim=-1)
        for _ in range(HALVINGS):
            x = self.x + length[:, None] * dx
            slack = polyhedron.slack(x)
            after = self.surrogate.smooth_value(x, self.delta) - (mu * slack.log()).sum(dim=-1)
            # what is not a number is too far, too
            short = ~(after <= before - SLOPE * length * expected + self.rounding)
            if not bool(short.any()):
                break
            length = torch.where(short, 0.5 * length, length)
        self.x, self.s = x, slack
        y = y + _reach(y, dy)[:, None] * dy
        self.y = torch.maximum(torch.minimum(y, KEPT * mu / slack), mu / slack / KEPT)
        self.answers.iterations += 1


def _reach(value: Tensor, step: Tensor) -> Tensor:
    """Return the longest step, 1 at most, that keeps every entry of `value` positive, with a margin."""
    shrink = (-step / value).amax(dim=1) if value.shape[1] else value.new_zeros(len(value))
    return INSIDE / shrink.clamp(min=INSIDE)


def _constrained(M: Tensor, right: Tensor, E: Tensor) -> Tensor:
    """Return the solution of M dx + E'nu = right, E dx = 0, for each of a batch."""
    # a linear f in an unbounded direction cannot occur, X being bounded; rounding can still make M singular
    M.diagonal(dim1=1, dim2=2).add_(1e-12 * M.diagonal(dim1=1, dim2=2).amax(dim=1, keepdim=True))
    factor, _ = torch.linalg.cholesky_ex(M)
    dx = torch.cholesky_solve(right[..., None], factor)
    if len(E):
        across = torch.cholesky_solve(E.T.expand(len(M), -1, -1), factor)
        dx = dx - across @ torch.linalg.solve(E @ across, E @ dx)
    return dx[..., 0]
