"""A cost of one's own, any function on arrays, as a task: sampled, decided for, judged and trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from decision._drawing import drawn
from decision._minimise.answers import FEASIBLE
from decision.sets import ConicSet, OracleSet, OwnSet
from decision.sets._base import FeasibleSet
from decision.sets._samplers import Sampler, SamplerName
from decision.tasks import Data, Task
from decision.tasks._task import aligned, stream
from socicnn._arrays import Array, as_float64, owned
from socicnn._frames import column_names
from socicnn._integers import as_integer
from socicnn.errors import ModelError

STEP = 1e-4  # of a coordinate's spread, between the points of a difference quotient
SEGMENTS = 64  # on which a cost is tested for being linear
SEARCHED = 128  # candidates of each context in the search for the best known decision
ROUNDS = 12  # of that search, each in half the neighbourhood of the one before
NEAR = 1e-6  # of a row's size: what violates it by no more is a decision of a solver
TRIED = 8  # candidates of each context in a round


def problem(
    cost: Callable[[Array, Array], Any],
    feasible_set: FeasibleSet | ConicSet | OwnSet,
    *,
    sample_contexts: Callable[[int, np.random.Generator], Any] | Any,
    optimum: Callable[[Array], Any] | None = None,
    name: str = "problem",
) -> Simulator:
    """Return a decision problem of your own, to be given where a task of the benchmark is.

    Args:
        cost: called as `cost(x, theta)` with arrays of shape `(points, n)` and `(points, p)`, row i of one belonging to
            row i of the other; returns costs of shape `(points,)`, or (costs, gradients in x of shape `(points, n)`).
        feasible_set: the set X, of `decision.sets`, or an object with `n`, `project` and `minimise_linear`.
        sample_contexts: called as `sample_contexts(count, rng)`, returns contexts of shape `(count, p)`; or a table of
            contexts to draw from without replacement.
        optimum: called as `optimum(theta)` with contexts of shape `(contexts, p)`, returns the best decisions of shape
            `(contexts, n)`; if omitted, regret is against the best decision known.
        name: for tables.

    Raises:
        ModelError: the cost or the contexts do not have these shapes.

    >>> import decision
    >>> mine = decision.problem(lambda x, theta: ((x - theta) ** 2).sum(axis=1), decision.Box(2),
    ...                         sample_contexts=lambda count, rng: rng.uniform(size=(count, 2)))
    >>> mine.sample(contexts=3, candidates=5, seed=0).y.shape
    torch.Size([3, 5])
    """
    return Simulator(cost, feasible_set, sample_contexts, optimum, name)


@final
class Simulator:
    """A decision problem whose cost is a function on arrays; see `problem`.

    Args:
        cost: as above.
        feasible_set: as above.
        sample_contexts: as above.
        optimum: as above.
        name: as above.
    """

    def __init__(
        self, cost: Callable[[Array, Array], Any], feasible_set: Any, sample_contexts: Any, optimum: Any, name: str
    ) -> None:
        self.name, self._cost, self._optimum = name, cost, optimum
        known = isinstance(feasible_set, FeasibleSet | ConicSet)
        self.feasible_set: FeasibleSet | ConicSet = feasible_set if known else OracleSet.of(feasible_set)
        self._table = None if callable(sample_contexts) else owned(as_float64(sample_contexts, "sample_contexts"))
        self._draw, self._names = sample_contexts, column_names(sample_contexts)
        if self._table is not None and (self._table.ndim != 2 or not np.isfinite(self._table).all()):
            raise ModelError(
                f"a table of contexts must be finite, of shape (contexts, p); received shape {self._table.shape}"
            )
        self.evaluations = 0
        self._best: dict[bytes, tuple[float, Tensor]] = {}
        self.context_features = self.sample_contexts(1, seed=0).shape[1]
        self._spread: Tensor | None = None

    @property
    def in_features(self) -> int:
        """Length n of x."""
        return self.feasible_set.n

    @property
    def has_optimum(self) -> bool:
        """Whether regret is against the true optimum."""
        return self._optimum is not None

    def __repr__(self) -> str:
        return f"Simulator({self.name!r}, {self.feasible_set!r}, context_features={self.context_features})"

    def sample_contexts(self, count: int, *, seed: int) -> Tensor:
        """Draw contexts, shape `(count, p)`, float64.

        Raises:
            ModelError: the sampler returns another shape or entries that are not finite, or the table is too short.
        """
        count = as_integer("count", count, 0)
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=stream("contexts", seed))))
        if self._table is not None:
            if count > len(self._table):
                raise ModelError(f"the table has {len(self._table)} contexts; {count} were asked for")
            return torch.tensor(self._table[rng.permutation(len(self._table))[:count]])
        theta = as_float64(self._draw(count, rng), "sample_contexts")
        if theta.ndim != 2 or len(theta) != count or not np.isfinite(theta).all():
            raise ModelError(f"sample_contexts must return finite contexts of shape ({count}, p); got {theta.shape}")
        return torch.tensor(theta)

    def cost(self, x: Tensor, context: Tensor) -> Tensor:
        """Return the cost, differentiable in x: by the gradients that it returns itself, or by central differences.

        Args:
            x: shape `(*batch, n)`.
            context: shape `(*batch, p)`; with fewer batch axes than x it belongs to the leading ones.

        Returns:
            Costs of the broadcast batch shape, float64, on the CPU.

        Raises:
            ModelError: shapes that do not fit, or a cost that is not finite.
        """
        x, context = aligned(self, x, context)
        context = context.detach()
        batch = torch.broadcast_shapes(x.shape[:-1], context.shape[:-1])
        points = x.expand(*batch, -1).reshape(-1, self.in_features)
        theta = context.expand(*batch, -1).reshape(-1, self.context_features)
        value: Tensor = _Cost.apply(points, theta, self)
        return value.reshape(batch)

    def evaluate(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor | None]:
        """Call the cost: return costs `(points,)` and, if it gives them, gradients `(points, n)`."""
        if not len(x):
            return x.new_zeros(0), torch.zeros_like(x)
        answer = self._cost(x.detach().numpy().copy(), theta.numpy().copy())
        self.evaluations += len(x)
        pair = isinstance(answer, tuple)
        costs = torch.tensor(as_float64(answer[0] if pair else answer, "the cost"))
        if costs.shape != (len(x),) or not bool(costs.isfinite().all()):
            raise ModelError(
                f"the cost must return one finite number per point, shape ({len(x)},); received shape "
                f"{tuple(costs.shape)} with {int((~costs.isfinite()).sum())} entries that are not finite"
            )
        if not pair:
            return costs, None
        gradients = torch.tensor(as_float64(answer[1], "the gradients"))
        if gradients.shape != x.shape or not bool(gradients.isfinite().all()):
            raise ModelError(
                f"the cost's gradients must be finite, of shape {tuple(x.shape)}; received {tuple(gradients.shape)}"
            )
        return costs, gradients

    def differences(self, x: Tensor, theta: Tensor) -> Tensor:
        """Return gradients by central differences, 2 n evaluations for each point; these leave the set by a step."""
        step = torch.diag(STEP * self._spreads())
        n = self.in_features
        moved = torch.cat([x[:, None] + step, x[:, None] - step], dim=1).reshape(-1, n)
        costs = self.evaluate(moved, theta.repeat_interleave(2 * n, dim=0))[0].reshape(len(x), 2, n)
        return (costs[:, 0] - costs[:, 1]) / (2.0 * step.diagonal())

    def _spreads(self) -> Tensor:
        """Return how far points of the set are spread in each coordinate, shape `(n,)`."""
        if self._spread is None:
            context = self.sample_contexts(1, seed=1)
            x = drawn(self.feasible_set, context, 64, stream("spread", 0))[0]
            spread = x.std(dim=0)
            self._spread = torch.where(spread > 0, spread, spread.max().clamp(min=1e-8))
        return self._spread

    def sample(
        self,
        contexts: int = 1000,
        candidates: int = 64,
        *,
        seed: int,
        sampler: Sampler | SamplerName = "uniform",
    ) -> Data:
        """Draw contexts, candidates of each on the set, and their costs, with gradients if the cost gives them.

        Args:
            contexts: number of contexts, those of `sample_contexts(contexts, seed=seed)`.
            candidates: candidates of each context.
            seed: seed of contexts and candidates.
            sampler: law of the candidates: `uniform`, `boundary`, or `vertices` of sets with exact oracles.
        """
        contexts, candidates = as_integer("contexts", contexts), as_integer("candidates", candidates)
        context = self.sample_contexts(contexts, seed=seed)
        x = drawn(self.feasible_set, context, candidates, stream("candidates", seed), sampler)
        flat = x.reshape(-1, self.in_features)
        y, gradient = self.evaluate(flat, context.repeat_interleave(candidates, dim=0))
        slopes = None if gradient is None else gradient.reshape(x.shape)
        return Data(x, context, y.reshape(contexts, candidates), slopes, context_names=self._names)

    def optimum(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return the best decisions `(contexts, n)` and their costs: by `optimum`, or the best that is known.

        Raises:
            ModelError: `optimum` returns another shape.
        """
        if self._optimum is None:
            return self.best_known(context)
        theta = context.detach().to("cpu", torch.float64)
        x = torch.tensor(as_float64(self._optimum(theta.numpy().copy()), "optimum"))
        if x.shape != (len(theta), self.in_features):
            raise ModelError(
                f"optimum must return decisions of shape ({len(theta)}, {self.in_features}); received {tuple(x.shape)}"
            )
        return x, self.cost(x, theta)

    def best_known(self, context: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the best decision known for each context, after a search, and its cost; what was found is kept.

        Args:
            context: shape `(contexts, p)`.
            x: decisions to count as well, shape `(contexts, n)` or `(contexts, candidates, n)`. Those outside the set
                count at the nearest point of it, or not at all where the set has no projection; sets with helper
                variables take them on trust.
        """
        theta = context.detach().to("cpu", torch.float64)
        pool = drawn(self.feasible_set, theta, SEARCHED, stream("search", 0))
        best, least = self._better(pool, theta, None)
        if x is not None:
            extra = x.detach().to("cpu", torch.float64).reshape(len(theta), -1, self.in_features)
            best, least = self._better(self._inside(extra, theta, best, pool), theta, (best, least))
        generator = stream("search", 1)
        for round_ in range(ROUNDS):
            picks = torch.randint(SEARCHED, (len(theta), TRIED), generator=generator)
            ends = pool.gather(1, picks[..., None].expand(-1, -1, self.in_features))
            best, least = self._better(best[:, None] + 0.5**round_ * (ends - best[:, None]), theta, (best, least))
        for i, key in enumerate(row.numpy().tobytes() for row in theta):
            if key in self._best and self._best[key][0] < float(least[i]):
                least[i], best[i] = self._best[key]
            self._best[key] = float(least[i]), best[i].clone()
        return best, least

    def _inside(self, x: Tensor, theta: Tensor, best: Tensor, pool: Tensor) -> Tensor:
        """Return candidates `(contexts, candidates, n)` with points of the set in place of those outside it.

        What counts as outside is measured by how far each coordinate reaches in the pool, not by the largest of all:
        next to an entry of 1e8, x_1 + x_2 <= 1 still leaves out (1, 0.5).
        """
        known = self.feasible_set if isinstance(self.feasible_set, FeasibleSet) else self.feasible_set.fixed()
        reach = pool.abs().amax(dim=1, keepdim=True)
        if known is not None:
            z = known.project(x)
            near = (x - z).abs() <= FEASIBLE * torch.maximum(reach, z.abs())
            return torch.where(near.all(dim=-1, keepdim=True), x, z)
        assert isinstance(self.feasible_set, ConicSet)
        system = self.feasible_set.system
        if system.G.shape[1] != self.in_features:
            return x
        h = self.feasible_set.right_hand_sides(theta, len(theta)).detach().numpy()
        inside = np.zeros(x.shape[:2], dtype=bool)
        for i, points in enumerate(x.numpy()):
            missed = system.cones.violation(h[i][:, None] - system.G @ points.T)
            size = abs(system.G) @ np.maximum(reach[i].numpy(), np.abs(points)).T
            heads, cut = system.cones.heads, system.cones.zero + system.cones.nonnegative
            if len(heads):
                size[heads] = np.maximum.reduceat(size[cut:], heads - cut)
            inside[i] = (missed <= NEAR * np.maximum(size, np.abs(h[i])[:, None])).all(axis=0)
        return torch.where(torch.from_numpy(inside)[..., None], x, best[:, None])

    def _better(self, x: Tensor, theta: Tensor, before: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Return the best of the candidates x and of what was best before."""
        costs = self.cost(x, theta)
        least, place = costs.min(dim=1)
        best = x[torch.arange(len(x)), place]
        if before is None:
            return best, least
        better = least < before[1]
        return torch.where(better[:, None], best, before[0]), torch.where(better, least, before[1])

    def is_linear(self, seed: int = 0) -> bool:
        """Return whether the cost is linear in x on random segments of the set, whatever its constant, up to rounding.

        Args:
            seed: of the segments.
        """
        context = self.sample_contexts(1 if self._table is not None and len(self._table) < 8 else 8, seed=seed)
        ends = drawn(self.feasible_set, context, 2 * (SEGMENTS // len(context)), stream("segments", seed))
        first, second = ends.chunk(2, dim=1)
        costs = [self.cost(x, context) for x in (first, second, 0.5 * (first + second))]
        every = torch.stack(costs)
        spread = every.amax(dim=(0, 2)) - every.amin(dim=(0, 2))
        rounding = 2.0**-46 * every.abs().amax()  # of a cost whose variation is small beside its constant
        bent = (0.5 * (costs[0] + costs[1]) - costs[2]).abs()
        return bool((bent <= 1e-9 * spread[:, None] + rounding).all())


AnyTask = Task | Simulator


class _Cost(torch.autograd.Function):
    """A simulator's cost for autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, theta: Tensor, simulator: Simulator) -> Tensor:
        """Return the costs."""
        costs, gradients = simulator.evaluate(x, theta)
        ctx.simulator, ctx.gradients = simulator, gradients
        ctx.save_for_backward(x.detach(), theta)
        return costs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient in x."""
        x, theta = ctx.saved_tensors
        gradients = ctx.simulator.differences(x, theta) if ctx.gradients is None else ctx.gradients
        return upstream[0][:, None] * gradients, None, None
