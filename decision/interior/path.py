"""A primal-dual interior-point method for a stack of networks, all contexts at once.

Each context follows its own path: Mehrotra's predictor and corrector on the conditions of `newton`, with the units that
matter alone (`units`), and every iterate's multipliers, cut into their boxes, give a lower bound of f over X.
Source: Mehrotra, "On the implementation of a primal-dual interior point method" (1992).
"""

from __future__ import annotations

import torch
from torch import Tensor

from decision.answers import Answers, Goal
from decision.interior import norms
from decision.interior.iterate import Iterate
from decision.interior.newton import System
from decision.interior.polyhedron import Polyhedron
from decision.interior.start import entered, on_path, plain_gradient
from decision.interior.units import Selector
from decision.sets.base import FeasibleSet
from decision.stack import Dual, Stack

STEP = 0.99  # share of the way to the boundary
GROWTH = 16  # a step that asks for more new units than this, and than there are, sends its context back to the start
AHEAD = 0.05  # share of the gap, a pair, that the products may fall to in one step
REACH = 2.0  # a unit is taken in when it turns on within this many more steps like the last


class Path:
    """The iterates of the contexts of one bucket.

    Args:
        stack: their networks.
        feasible_set: the set X.
        polyhedron: the same set as inequalities.
        selector: gathers units.
        wanted: units to start with, shape `(contexts, h_k)` of each layer.
        whole: whether these are all units.
        scale: size of the pre-activations of each layer.
    """

    def __init__(
        self,
        stack: Stack,
        feasible_set: FeasibleSet,
        polyhedron: Polyhedron,
        selector: Selector,
        wanted: list[Tensor],
        whole: bool,
        scale: list[Tensor],
    ) -> None:
        self.stack, self.feasible_set, self.polyhedron = stack, feasible_set, polyhedron
        self.selector, self.whole, self.scale = selector, whole, scale
        count = len(stack)
        x = polyhedron.center.repeat(count, 1)
        none = torch.zeros(count, 0, dtype=torch.int64, device=x.device)
        self.index, self.counts = selector.insert([none] * len(wanted), wanted, [none.sum(dim=1)] * len(wanted))
        self.kept = selector.gather(self.index, stack)
        self.seen = wanted
        self.rows = torch.arange(count, device=x.device)
        s = polyhedron.slack(x)
        # the first mu: what the linearised objective can gain, shared out over the inequalities
        gradient = plain_gradient(stack, x)
        gain = (gradient * (x - feasible_set.minimize_linear(gradient))).sum(dim=-1)
        mu = (gain / max(s.shape[1], 1)).clamp(min=1e-10)
        z, p, lam, kap = on_path(self.kept.at(x), x, mu, scale)
        u = [norms.start(one, x, mu) for one in stack.norms]
        self.at = Iterate(x, s, mu[:, None] / s, z, p, lam, kap, u, mu)
        self.a = stack.preactivations(x)
        # with curvature the stationarity residual shrinks with both steps, so that they are taken alike
        self.curved = bool(stack.norms or stack.quadratics or any(one.squares is not None for one in stack.layers))
        self.short = torch.zeros(count, dtype=torch.int64, device=x.device)
        self.least = self.at.products(stack.norms)
        self.gap = torch.zeros_like(self.least)
        self.lost = torch.zeros(count, dtype=torch.bool, device=x.device)

    @property
    def mu(self) -> Tensor:
        """Mean product of each context."""
        return self.at.products(self.stack.norms) / self.at.pairs

    def run(self, rows: Tensor, answers: Answers, goal: Goal, limit: int) -> Tensor:
        """Iterate until every context has its gap or is lost.

        Args:
            rows: places of the contexts in `answers`.
            answers: changed in place.
            goal: when to stop.
            limit: iterations at most.

        Returns:
            The places in this bucket of the contexts to begin again with more units.
        """
        best = answers.take(rows)
        again = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        seen = [one.clone() for one in self.seen]
        for iteration in range(limit):
            self._offer(best)
            done = (best.relative_gap()[self.rows] <= goal.gap) | self.lost
            if iteration + 1 == limit or goal.late:
                break
            if int(done.sum()) * 4 > len(done):
                again[self.rows[self.lost]] = True
                for mine, new in zip(seen, self.seen, strict=True):
                    mine[self.rows] = new
                if bool(done.all()):
                    break
                live = (~done).nonzero()[:, 0]
                done = done[live]
                self._keep(live)
            best.iterations[self.rows[~done]] += 1
            self._step(done)
        again[self.rows[self.lost]] = True
        for mine, new in zip(seen, self.seen, strict=True):
            mine[self.rows] = new
        self.seen = seen
        answers.put(rows, best)
        return again.nonzero()[:, 0]

    def _keep(self, rows: Tensor) -> None:
        """Drop all contexts but these."""
        self.rows, self.stack = self.rows[rows], self.stack.take(rows)
        self.at, self.kept = self.at.take(rows), self.kept.take(rows)
        self.gap = self.gap[rows]
        for name in ("index", "counts", "seen", "a"):
            setattr(self, name, [one[rows] for one in getattr(self, name)])
        self.short, self.least, self.lost = self.short[rows], self.least[rows], self.lost[rows]

    def _offer(self, best: Answers) -> None:
        """Offer this iterate and the bound of its multipliers."""
        at, stack = self.at, self.stack
        kept = self.kept.at(at.x)
        lam: list[Tensor] = []
        above: Tensor | None = None
        for k in reversed(range(len(at.lam))):
            above = torch.minimum(at.lam[k], kept.box(k, above))
            lam.insert(0, above)
        bound, gradient = self._smooth()
        for k, one in enumerate(lam):
            gradient = gradient + (kept.U[k].mT @ one[..., None])[..., 0]
            bound = bound + (one * kept.preactivation(k, at.x, None)).sum(dim=-1)
        units = tuple(one.reshape(len(one), -1) for one in at.u)
        for branch, u in zip(stack.norms, units, strict=True):
            gradient = gradient + branch.matrix.adjoint(branch.weight[:, None] * u)
            bound = bound + branch.weight * (u * branch.image(at.x)).sum(dim=-1)
        bound = bound - (gradient * (at.x - self.feasible_set.minimize_linear(gradient))).sum(dim=-1)
        mine = best.take(self.rows)
        value = stack.value(at.x, self.a)
        self.gap = (value - bound).clamp(min=0.0)
        mine.offer_point(at.x, value)
        mine.offer_bound(bound, Dual(kept.full(tuple(lam), stack), units, stack.images(at.x)))
        best.put(self.rows, mine)

    def _smooth(self) -> tuple[Tensor, Tensor]:
        """Return value and gradient of v'x + c and the quadratics."""
        x, stack = self.at.x, self.stack
        value, gradient = (x * stack.v).sum(dim=-1) + stack.c, stack.v
        for one in stack.quadratics:
            p = one.image(x)
            value = value + one.weight * p.square().sum(dim=-1)
            gradient = gradient + 2.0 * one.weight[:, None] * one.matrix.adjoint(p)
        return value, gradient

    def _system(self, mu: Tensor) -> System:
        """Return the Newton system at this iterate."""
        at, stack = self.at, self.stack
        kept = self.kept.at(at.x)
        boxes = [kept.box(k, above) for k, above in enumerate([*at.lam[1:], None])] if at.lam else []
        boxes = [one + kept.rest(k, mu, self.scale) for k, one in enumerate(boxes)]
        n = stack.in_features
        H = at.x.new_zeros(len(at.x), n * n)
        for one in stack.quadratics:
            H += 2.0 * one.weight[:, None] * one.matrix.gram.reshape(1, -1)
        H = H.reshape(-1, n, n) + kept.curvature(at.lam)
        _, gradient = self._smooth()
        turns = [norms.Turn(one, at.x, u, at.turn) for one, u in zip(stack.norms, at.u, strict=True)]
        return System(kept, self.polyhedron, at, boxes, turns, H, gradient)

    def _step(self, done: Tensor) -> None:
        """Move each context that is not done."""
        at, stack, mu = self.at, self.stack, self.mu
        system = self._system(mu)
        first = system.direction(torch.zeros_like(mu))
        reach = at.lengths(first)
        before, after = at.products(stack.norms), at.moved(first, *reach).products(stack.norms)
        sigma = (after / before).clamp(0.0, 1.0) ** 3
        # the products may not run ahead of the gap, as they would where a norm is at its kink and u still wrong
        target = torch.maximum(sigma * mu, AHEAD * self.gap / at.pairs)
        # a first step that is cut short says little about the second-order terms of the next
        step = system.direction(target, first, reach[0] * reach[1])
        primal, dual = (STEP * length for length in at.lengths(step))
        if self.curved:
            primal = dual = torch.minimum(primal, dual)
        live = (~done).to(primal)
        primal, dual = primal * live, dual * live
        then = stack.preactivations(at.x + primal[:, None] * step.x)
        if not self.whole:
            wall, wanted = self._ahead(then)
            primal = primal * wall
            if self.curved:
                dual = dual * wall
            if bool((wall < 1.0).any()):
                then = stack.preactivations(at.x + primal[:, None] * step.x)
        self.at, self.a = at.moved(step, primal, dual), then
        self.short = torch.where(torch.maximum(primal, dual) < 1e-2, self.short + 1, 0)
        total = self.at.products(stack.norms)
        self.least = torch.minimum(self.least, total)
        self.lost |= ~done & ((self.short >= 3) | (total > 100.0 * (self.least + self.gap)) | ~total.isfinite())
        if not self.whole:
            self._grow(wanted, done)

    def _ahead(self, then: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the share of the step before the first unit left out turns on, and the units to take in."""
        wall, wanted = torch.ones_like(self.at.x[:, 0]), []
        for units, now, later in zip(self.index, self.a, then, strict=True):
            left_out = ~Selector.mask(units, now.shape[1])
            # a is convex along the step, so it stays below the chord
            share = torch.where(left_out & (later > 0), now / (now - later), 1.0).amin(dim=1).clamp(min=0.0)
            wall = torch.minimum(wall, share)
            wanted.append(left_out & (later + REACH * (later - now).clamp(min=0.0) > 0))
        return wall, wanted

    def _grow(self, wanted: list[Tensor], done: Tensor) -> None:
        """Take in the wanted units; a context that wants many at once is lost, to begin again with them."""
        sizes = sum(count.clamp(min=GROWTH) for count in self.counts)
        self.lost |= ~done & (sum(one.sum(dim=1) for one in wanted) > sizes)
        self.seen = [old | new for old, new in zip(self.seen, wanted, strict=True)]
        wanted = [one & ~(self.lost | done)[:, None] for one in wanted]
        if not any(bool(one.any()) for one in wanted):
            return
        old = self.counts
        self.index, self.counts = self.selector.insert(self.index, wanted, old)
        self.kept = self.selector.gather(self.index, self.stack)
        self.at = entered(self.kept.at(self.at.x), self.at, old, self.mu, self.scale)
