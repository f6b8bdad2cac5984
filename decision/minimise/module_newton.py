"""Newton's method for convex torch modules over a set with linear rows.

The rounded f_delta of `rounded_module` is smooth: its minimum over X = {E x = e, G x <= h} can be followed along

    x(mu) = argmin f_delta(x) - mu sum_j log(h - G x)_j   over E x = e,    delta = mu / mu_0,    mu falling from mu_0

with primal-dual steps (Boyd and Vandenberghe, "Convex Optimization", 2004, section 11.7): the Newton matrix is the
Hessian + G' diag(y / s) G with s = h - G x and multipliers y, and the step falls along the barrier function. At x(mu)
the Frank-Wolfe gap of f_delta is at most m mu, m the number of inequalities; a level ends when it is nearly there.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from decision.minimise.interior import Polyhedron
from decision.minimise.smoothed_module import Bracket

FALL = 0.2  # of mu and delta, from one level to the next
LEVELS = 20
STEPS = 25  # of a level at most
NEAR = 2.0  # a level ends where the gap is at most so many times m mu
INSIDE = 0.99  # share of the way to the boundary
SLOPE = 0.01  # share of the expected fall that a step must make
HALVINGS = 30
ROUNDING = 1e-14  # of f, by which it may seem to rise
KEPT = 1e10  # multipliers stay within this factor of mu / s


@final
class CentralPath:
    """The points on the central path of the contexts that are not done.

    Args:
        bracket: of all contexts; improved.
        polyhedron: the set.
        rows: the contexts to follow.
    """

    def __init__(self, bracket: Bracket, polyhedron: Polyhedron, rows: Tensor) -> None:
        self.bracket, self.polyhedron, self.rows = bracket, polyhedron, rows
        self.x = polyhedron.center.repeat(len(rows), 1)
        self.s = polyhedron.slack(self.x)
        self.delta = 1.0

    def follow(self) -> None:
        """Follow the path until every context is done or the last level is reached."""
        bracket = self.bracket
        value, gradient = bracket.module.gradient(self.x, self._theta, self.delta)
        fall = bracket.offer_bound(self.rows, self.x, value, gradient)
        self.pairs = max(1, self.s.shape[1])  # a single point has none
        # a unit of mu and of rounding for each context: their costs may differ by orders of magnitude
        least = bracket.allowed(self.rows).clamp(min=torch.finfo(value.dtype).tiny)
        self.mu = torch.maximum(fall, least)[:, None] / self.pairs
        self.rounding = ROUNDING * (value.abs() + self.pairs * self.mu[:, 0])
        self.y = self.mu / self.s
        for _ in range(LEVELS):
            for _ in range(STEPS):
                if self._arrived():
                    break
                self._step()
            if not len(self.rows):
                return
            self.mu, self.delta = FALL * self.mu, FALL * self.delta

    @property
    def _theta(self) -> Tensor:
        return self.bracket.theta[self.rows]

    def _arrived(self) -> bool:
        """Evaluate the iterate, drop the contexts that are done; return whether the others are near the path."""
        bracket = self.bracket
        value, gradient, hessian = bracket.module.hessian(self.x, self._theta, self.delta)
        fall = bracket.offer_bound(self.rows, self.x, value, gradient)
        bracket.offer_point(self.rows, self.x)
        left = bracket.open(self.rows)
        self.rows, self.x, self.s, self.y = self.rows[left], self.x[left], self.s[left], self.y[left]
        self.mu, self.rounding = self.mu[left], self.rounding[left]
        self.value, self.gradient, self.hessian = value[left], gradient[left], hessian[left]
        return bool((fall[left] <= NEAR * self.pairs * self.mu[:, 0]).all())

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
            after = self.bracket.module.value(x, self._theta, self.delta) - (mu * slack.log()).sum(dim=-1)
            # what is not a number is too far, too
            short = ~(after <= before - SLOPE * length * expected + self.rounding)
            if not bool(short.any()):
                break
            length = torch.where(short, 0.5 * length, length)
        self.x, self.s = x, slack
        y = y + _reach(y, dy)[:, None] * dy
        self.y = torch.maximum(torch.minimum(y, KEPT * mu / slack), mu / slack / KEPT)
        self.bracket.iterations[self.rows] += 1


def _reach(value: Tensor, step: Tensor) -> Tensor:
    """Return the longest step, 1 at most, that keeps every entry of `value` positive, with a margin."""
    shrink = (-step / value).amax(dim=1) if value.shape[1] else torch.zeros(len(value), dtype=value.dtype)
    return INSIDE / shrink.clamp(min=INSIDE)


def _constrained(M: Tensor, right: Tensor, E: Tensor) -> Tensor:
    """Return the solution of M dx + E'nu = right, E dx = 0, for each of a batch."""
    # a linear f in an unbounded direction cannot occur, X being bounded; rounding can make M singular all the same
    M.diagonal(dim1=1, dim2=2).add_(1e-12 * M.diagonal(dim1=1, dim2=2).amax(dim=1, keepdim=True))
    factor, _ = torch.linalg.cholesky_ex(M)
    dx = torch.cholesky_solve(right[..., None], factor)
    if len(E):
        across = torch.cholesky_solve(E.T.expand(len(M), -1, -1), factor)
        dx = dx - across @ torch.linalg.solve(E @ across, E @ dx)
    return dx[..., 0]
