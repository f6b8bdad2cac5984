"""A primal-dual interior-point method for a stack of networks, all contexts at once.

Each context follows its own path: Mehrotra's predictor and corrector on the conditions of `newton`, with the units that
matter alone (`units`), and every iterate's multipliers, cut into their boxes, give a lower bound of f over X.
Source: Mehrotra, "On the implementation of a primal-dual interior point method" (1992).
"""

from __future__ import annotations

import torch
from torch import Tensor

from decision.answers import Answers, Goal
from decision.interior.newton import Iterate, System
from decision.interior.polyhedron import Polyhedron
from decision.interior.smooth import Smooth, hessian, moved_duals, smooth_part
from decision.interior.start import entered, on_path, plain_gradient
from decision.interior.units import Kept, Selector
from decision.sets.base import FeasibleSet
from decision.stack import Dual, Stack

STEP = 0.99  # share of the way to the boundary
GROWTH = 16  # a step that asks for more new units than this, and than there are, sends its context back to the start
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
        z, p, lam, kap = on_path(self.kept, x, mu, scale)
        self.at = Iterate(x, s, mu[:, None] / s, z, p, lam, kap)
        self.a = stack.preactivations(x)
        self.width = [0.3 * torch.linalg.vector_norm(one.image(x), dim=-1) for one in stack.norms]
        self.duals = smooth_part(stack, x, self._delta()).u
        self.short = torch.zeros(count, dtype=torch.int64, device=x.device)
        self.least = self.at.products()
        self.lost = torch.zeros(count, dtype=torch.bool, device=x.device)

    @property
    def mu(self) -> Tensor:
        """Mean product of each context."""
        pairs = self.at.s.shape[1] + 2 * sum(one.shape[1] for one in self.index)
        return self.at.products() / max(pairs, 1)

    def _delta(self) -> Tensor:
        """Return the rounding of the norms: it shrinks with the products."""
        products = self.at.products()
        delta = torch.full_like(products, torch.inf)
        for width, one in zip(self.width, self.stack.norms, strict=True):
            delta = torch.minimum(delta, torch.minimum(width, products / one.weight.clamp(min=1e-300)))
        return delta.clamp(min=1e-14)

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
            smooth = smooth_part(self.stack, self.at.x, self._delta())
            self._offer(best, smooth)
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
                smooth, done = smooth.take(live), done[live]
                self._keep(live)
            best.iterations[self.rows[~done]] += 1
            self._step(smooth, done)
        again[self.rows[self.lost]] = True
        for mine, new in zip(seen, self.seen, strict=True):
            mine[self.rows] = new
        self.seen = seen
        answers.put(rows, best)
        return again.nonzero()[:, 0]

    def _keep(self, rows: Tensor) -> None:
        """Drop all contexts but these."""
        self.rows, self.stack, self.at, self.kept = self.rows[rows], self.stack.take(rows), self.at.take(rows), self.kept.take(rows)
        for name in ("index", "counts", "seen", "a", "width", "duals"):
            setattr(self, name, [one[rows] for one in getattr(self, name)])
        self.short, self.least, self.lost = self.short[rows], self.least[rows], self.lost[rows]

    def _offer(self, best: Answers, smooth: Smooth) -> None:
        """Offer this iterate and the bound of its multipliers."""
        at, kept, stack = self.at, self.kept, self.stack
        lam: list[Tensor] = []
        above: Tensor | None = None
        for k in reversed(range(len(at.lam))):
            above = torch.minimum(at.lam[k], kept.box(k, above))
            lam.insert(0, above)
        bound, gradient = smooth.minorant, smooth.gradient
        for k, one in enumerate(lam):
            gradient = gradient + (kept.U[k].mT @ one[..., None])[..., 0]
            bound = bound + (one * kept.preactivation(k, at.x, None)).sum(dim=-1)
        bound = bound - (gradient * (at.x - self.feasible_set.minimize_linear(gradient))).sum(dim=-1)
        mine = best.take(self.rows)
        mine.offer_point(at.x, stack.value(at.x, self.a))
        mine.offer_bound(bound, Dual(kept.full(tuple(lam), stack), tuple(smooth.u), at.x))
        best.put(self.rows, mine)

    def _step(self, smooth: Smooth, done: Tensor) -> None:
        """Move each context that is not done."""
        at, stack, mu = self.at, self.stack, self.mu
        boxes = [self.kept.box(k, at.lam[k + 1] if k + 1 < len(at.lam) else None) for k in range(len(at.lam))]
        boxes = [one + self.kept.rest(k, mu, self.scale) for k, one in enumerate(boxes)]
        system = System(self.kept, self.polyhedron, at, boxes, hessian(stack, smooth, self.duals), smooth.gradient)
        first = system.direction(torch.zeros_like(mu))
        before, after = at.products(), at.moved(first, *at.lengths(first)).products()
        sigma = (after / before).clamp(0.0, 1.0) ** 3
        step = system.direction(sigma * mu, first)
        primal, dual = (STEP * length for length in at.lengths(step))
        if stack.norms or stack.quadratics:
            primal = dual = torch.minimum(primal, dual)
        live = (~done).to(primal)
        primal, dual = primal * live, dual * live
        then = stack.preactivations(at.x + primal[:, None] * step.x)
        if not self.whole:
            wall, wanted = self._ahead(then)
            primal = primal * wall
            if stack.norms or stack.quadratics:
                dual = dual * wall
            if bool((wall < 1.0).any()):
                then = stack.preactivations(at.x + primal[:, None] * step.x)
        self.duals = moved_duals(stack, smooth, self.duals, step.x, primal)
        self.at, self.a = at.moved(step, primal, dual), then
        self.short = torch.where(torch.maximum(primal, dual) < 1e-2, self.short + 1, 0)
        total = self.at.products()
        self.least = torch.minimum(self.least, total)
        self.lost |= ~done & ((self.short >= 3) | (total > 100.0 * self.least) | ~total.isfinite())
        if not self.whole:
            self._grow(wanted, done)

    def _ahead(self, then: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the share of the step before the first unit left out turns on, and the units to take in."""
        wall, wanted = torch.ones_like(self.at.x[:, 0]), []
        for units, now, later in zip(self.index, self.a, then, strict=True):
            left_out = ~Selector.mask(units, now.shape[1])
            # a is convex along the step, so it stays below the chord
            share = torch.where(left_out & (later > 0), now / (now - later), 1.0).amin(dim=1)
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
        self.at = entered(self.kept, self.at, old, self.mu, self.scale)
