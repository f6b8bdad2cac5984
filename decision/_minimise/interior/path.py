"""A primal-dual interior-point method for a stack of networks, all contexts at once.

Each context follows its own path: Mehrotra's predictor and corrector on the conditions of `newton`, with the units that
matter alone (`units`), and every iterate's multipliers, cut into their boxes, give a lower bound of f over X.
Source: Mehrotra, "On the implementation of a primal-dual interior point method" (1992).
"""

from __future__ import annotations

import torch
from torch import Tensor

from decision._minimise.answers import Answers, Goal
from decision._minimise.interior import norms
from decision._minimise.interior.choice import Choice
from decision._minimise.interior.iterate import Iterate
from decision._minimise.interior.newton import System
from decision._minimise.interior.polyhedron import Polyhedron
from decision._minimise.interior.products import adjoint
from decision._minimise.interior.start import entered, on_path, settled
from decision._minimise.interior.units import Gatherer, by_kind
from decision._minimise.smoothing import entropy
from decision._minimise.stack import Dual, Stack
from decision.sets._base import FeasibleSet

STEP = 0.99  # share of the way to the boundary
GROWTH = 16  # a step that asks for more new units than this, and than there are, sends its context back to the start
MISS = 0.05  # distance of a norm's dual from where it belongs, above which the products fall slowly
HOLD = 0.3  # share of the products that they then keep
REACH = 0.5  # a unit is taken in when it turns within this many more steps like the last


class Path:
    """The iterates of the contexts of one bucket.

    Args:
        stack: their networks.
        feasible_set: the set X.
        polyhedron: the same set as inequalities.
        gatherer: gathers units.
        choice: units to start with.
        x: interior points to start from, shape `(contexts, n)`.
        mu: products to start with, shape `(contexts,)`.
        scale: size of the pre-activations of each layer.
        caution: share of the gap, a pair, below which the products do not fall in one step.
    """

    def __init__(
        self,
        stack: Stack,
        feasible_set: FeasibleSet,
        polyhedron: Polyhedron,
        gatherer: Gatherer,
        choice: Choice,
        x: Tensor,
        mu: Tensor,
        scale: list[Tensor],
        caution: float,
    ) -> None:
        self.caution = caution
        self.stack, self.feasible_set, self.polyhedron = stack, feasible_set, polyhedron
        self.gatherer, self.choice, self.scale = gatherer, choice, scale
        self.whole = all(bool((count == on.shape[1]).all()) for count, on in zip(choice.counts, choice.on, strict=True))
        self.kept = gatherer.gather(choice, stack)
        self.seen = choice.kept()
        self.rows = torch.arange(len(stack), device=x.device)
        s = polyhedron.slack(x)
        z, p, lam, kap = on_path(self.kept.at(x), x, mu, scale)
        u = [norms.start(branch, x, mu) for branch in stack.norms]
        widths = [None if tau is None else tau + torch.zeros_like(z[k]) for k, tau in enumerate(self.kept.smoothing)]
        start = Iterate(x, s, mu[:, None] / s, z, p, lam, kap, u, mu, widths)
        self.at = settled(self.kept.at(x), start, mu, scale)
        self.a = stack.preactivations(x)
        # with curvature the stationarity residual shrinks with both steps, so that they are taken alike
        self.curved = bool(stack.norms or stack.curved or stack.smooth)
        self.short = torch.zeros(len(stack), dtype=torch.int64, device=x.device)
        self.least = self.at.products(stack.norms)
        self.gap = torch.zeros_like(self.least)
        self.lost = torch.zeros(len(stack), dtype=torch.bool, device=x.device)

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
            The places in this bucket of the contexts to begin again.
        """
        count = len(rows)
        again = torch.zeros(count, dtype=torch.bool, device=rows.device)
        seen = [mask.clone() for mask in self.seen]
        self.best = answers.take(rows)

        def flush() -> None:
            """Write what is known of the contexts at work."""
            answers.put(rows[self.rows], self.best)
            again[self.rows] = ~self.best.done(goal)
            for target, new in zip(seen, self.seen, strict=True):
                target[self.rows] = new

        for iteration in range(limit + 1):
            self._offer()
            done = self.best.done(goal) | self.lost
            if iteration == limit or goal.late or bool(done.all()):
                break
            if int(done.sum()) * 4 > len(done):
                flush()
                live = (~done).nonzero()[:, 0]
                done = done[live]
                self._keep(live)
            self.best.iterations[~done] += 1
            self._step(done)
        flush()
        self.seen = seen
        return again.nonzero()[:, 0]

    def _keep(self, rows: Tensor) -> None:
        """Drop all contexts but these."""
        self.rows, self.stack = self.rows[rows], self.stack.take(rows)
        self.at, self.kept, self.choice = self.at.take(rows), self.kept.take(rows), self.choice.take(rows)
        self.best, self.gap = self.best.take(rows), self.gap[rows]
        self.seen, self.a = [tensor[rows] for tensor in self.seen], [tensor[rows] for tensor in self.a]
        self.short, self.least, self.lost = self.short[rows], self.least[rows], self.lost[rows]

    def _offer(self) -> None:
        """Offer this iterate and the bound of its multipliers."""
        at, stack = self.at, self.stack
        kept = self.kept.at(at.x)
        lam: list[Tensor] = []
        above: Tensor | None = None
        bound, gradient = self._smooth()
        for k in reversed(range(len(at.lam))):
            box, tau = kept.box(k, above), kept.smoothing[k]
            above = torch.minimum(at.lam[k], box)
            if tau is not None:
                bend = at.bend(k)
                above = by_kind(tau, box * torch.sigmoid(bend), above)
                bound = bound + (tau * box * entropy(bend)).sum(dim=-1)
            lam.insert(0, above)
        for k, multiplier in enumerate(lam):
            pulled = adjoint(kept.U[k], multiplier)
            gradient = gradient + pulled
            bound = bound + (pulled * at.x).sum(dim=-1) + (multiplier * kept.b[k]).sum(dim=-1)
        units = tuple(multiplier.reshape(len(multiplier), -1) for multiplier in at.u)
        for branch, u in zip(stack.norms, units, strict=True):
            weighted = branch.row_weight * u
            gradient = gradient + branch.matrix.adjoint(weighted)
            bound = bound + (weighted * branch.image(at.x)).sum(dim=-1)
        bound = bound - (gradient * (at.x - self.feasible_set.minimise_linear(gradient))).sum(dim=-1)
        value = stack.value(at.x, self.a)
        self.gap = (value - bound).clamp(min=0.0)
        self.best.offer_point(at.x, value)
        if bool((bound > self.best.lower).any()):
            self.best.offer_bound(bound, Dual(self.choice.full(lam, stack), units, stack.images(at.x)))

    def _smooth(self) -> tuple[Tensor, Tensor]:
        """Return value and gradient of v'x + c, with the units taken as on, of the quadratics and of exponentials."""
        x, stack, kept = self.at.x, self.stack, self.kept
        value, gradient = (x * kept.v).sum(dim=-1) + kept.c, kept.v
        for branch in stack.quadratics:
            p = branch.image(x)
            value = value + branch.total(p)
            gradient = gradient + 2.0 * branch.weight * branch.matrix.adjoint(p)
        for smooth in stack.exponentials:
            p = smooth.image(x)
            value, gradient = value + smooth.total(p), gradient + smooth.slope(p)
        return value, gradient

    def _system(self, mu: Tensor) -> System:
        """Return the Newton system at this iterate."""
        at, stack = self.at, self.stack
        kept = self.kept.at(at.x)
        boxes = [kept.box(k, above) for k, above in enumerate([*at.lam[1:], None])] if at.lam else []
        boxes = [box + kept.rest(k, mu, self.scale) for k, box in enumerate(boxes)]
        n = stack.in_features
        H = at.x.new_zeros(len(at.x), n * n)
        for branch in stack.quadratics:
            H += 2.0 * branch.weight * branch.matrix.gram.reshape(1, -1)
        H = H.reshape(-1, n, n) + kept.curvature(at.lam)
        for smooth in stack.exponentials:
            H = H + smooth.hessian(smooth.image(at.x))
        _, gradient = self._smooth()
        turns = [norms.Turn(branch, at.x, u, at.turn) for branch, u in zip(stack.norms, at.u, strict=True)]
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
        target = torch.maximum(sigma * mu, self.caution * self.gap / at.pairs)
        target = torch.maximum(target, torch.where(system.miss() > MISS, HOLD * mu, 0.0))
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
        moved = at.moved(step, primal, dual)
        mu = moved.products(stack.norms) / moved.pairs
        self.at, self.a = settled(self.kept.at(moved.x), moved, mu, self.scale), then
        self.short = torch.where(torch.maximum(primal, dual) < 1e-2, self.short + 1, 0)
        total = self.at.products(stack.norms)
        self.least = torch.minimum(self.least, total)
        self.lost |= ~done & ((self.short >= 3) | (total > 100.0 * (self.least + self.gap)) | ~total.isfinite())
        if not self.whole:
            self._grow(wanted, done)

    def _ahead(self, then: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the share of the step before the first unit left out turns on, and the units to take in."""
        wall, wanted = torch.ones_like(self.at.x[:, 0]), []
        for kept, on, now, later in zip(self.choice.kept(), self.choice.on, self.a, then, strict=True):
            sign = torch.where(on, -1.0, 1.0)  # of the side to stay away from
            before, after = sign * now, sign * later
            # a is convex along the step: where a unit is off it stays below the chord
            share = torch.where(~kept & (after > 0), before / (before - after), 1.0).amin(dim=1).clamp(min=0.0)
            wall = torch.minimum(wall, share)
            wanted.append(~kept & (after + REACH * (after - before).clamp(min=0.0) > 0))
        return wall, wanted

    def _grow(self, wanted: list[Tensor], done: Tensor) -> None:
        """Take in the wanted units; a context that wants many at once is lost, to begin again with them."""
        sizes = sum(count.clamp(min=GROWTH) for count in self.choice.counts)
        self.lost |= ~done & (sum(mask.sum(dim=1) for mask in wanted) > sizes)
        self.seen = [old | new for old, new in zip(self.seen, wanted, strict=True)]
        wanted = [mask & ~(self.lost | done)[:, None] for mask in wanted]
        if not any(bool(mask.any()) for mask in wanted):
            return
        old = self.choice.counts
        self.choice = self.choice.grown(wanted)
        rows = torch.stack([mask.any(dim=1) for mask in wanted]).any(dim=0).nonzero()[:, 0]
        self.kept = self.gatherer.regathered(self.kept, self.choice, self.stack, rows)
        self.at = entered(self.kept.at(self.at.x), self.at, old, self.mu, self.scale)
