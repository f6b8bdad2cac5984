"""A coupling flow as proposal for log Z, trained on the data while an energy is fitted with it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from socicnn._integers import as_integer
from socicnn.density._points import as_tensor
from socicnn.density._rule import Proposal
from socicnn.density._sampling import Importance, importance
from socicnn.errors import MissingExtra
from socicnn.training._options import positive

BINS, CLIP = 8, 5.0  # pieces of each spline, as its authors have it; largest norm of a gradient
SHARE = 0.2  # of the nodes: effective sample size below which weights are flattened


@final
@dataclass(frozen=True, eq=False)
class FlowProposal(Proposal):
    """Draws from q, the law of m + L T^-1(y): y of a Student-t law, T a flow of coupling splines, m and L fixed.

    m and L are the mean and the Cholesky factor of the covariance of the data. T acts in the cube of half side 5 and
    leaves the rest alone (Durkan et al., "Neural spline flows", 2019), so that q has the tails of the Student-t law and
    weights of log-concave laws are bounded. Each `draw` first takes a step of maximum likelihood, in place: in `fit`,
    flow and energy learn in turn. Half of a batch is data; the other half is the last nodes, drawn by their weights
    under the energy, which are flattened where few of them count (Koblents and Miguez, "A population Monte Carlo scheme
    with transformed weights", 2015). `frozen` ends the learning.

    Args:
        nodes: the draws, shape `(count, n)`.
        log_weights: -log q(x_i) - log count.
        location: m, shape `(n,)`.
        factor: L, lower triangular.
        base: the law of y.
        flow: T and its optimiser.
        points: the data, of which batches are taken; None for a flow that no longer learns.
        batch_size: points per step.
    """

    nodes: Tensor
    log_weights: Tensor
    location: Tensor
    factor: Tensor
    base: Importance
    flow: _Flow
    points: Tensor | None
    batch_size: int

    def log_density(self, x: Tensor) -> Tensor:
        """Return log q(x), shape `(*batch,)`."""
        centred = (x - self.location).reshape(-1, x.shape[-1])
        t = torch.linalg.solve_triangular(self.factor, centred.T, upper=False).T
        y, log_slope = self.flow.transform().call_and_ladj(t)
        values = self.base.log_density(y) + log_slope - self.factor.diagonal().log().sum()
        return values.reshape(x.shape[:-1])

    def log_partition(self, energies: Tensor) -> Tensor:
        """Return log Z; a flow that learns notes the weights that the energies, shape `(count,)`, give its nodes."""
        if self.points is not None:
            self.flow.seen = (self.nodes, _flattened((self.log_weights - energies).detach().double()))
        return super().log_partition(energies)

    def draw(self, generator: torch.Generator | None = None) -> Self:
        """Return the rule with fresh draws, after a step of the flow if it still learns."""
        return self.fit(1, generator)._drawn(self.base.draw(generator))

    def fit(self, steps: int, generator: torch.Generator | None = None) -> Self:
        """Take steps of maximum likelihood, in place, e.g. before an energy is fitted; return the rule.

        Many steps on few points overfit them, which the effective sample size of other laws shows.
        """
        if self.points is not None:
            for _ in range(steps):
                batch = self._batch(self.points, generator)
                with torch.enable_grad():
                    self.flow.step(-self.log_density(batch).mean())
        return self

    def _batch(self, points: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return rows of the data; the second half drawn from the energy's law, if the last nodes tell it."""
        rows = torch.randint(len(points), (self.batch_size,), generator=generator)
        batch = points[rows.to(points.device)]
        if self.flow.seen is not None:
            nodes, weights = self.flow.seen
            half = self.batch_size // 2
            chosen = torch.multinomial(weights.cpu(), half, replacement=True, generator=generator)
            batch = torch.cat([batch[half:], nodes[chosen.to(nodes.device)]])
        return batch

    def frozen(self, count: int, generator: torch.Generator | None = None) -> Self:
        """Return the rule with its own copy of the flow, which no longer learns, and with `count` draws: to judge."""
        as_integer("count", count, 1)
        base = replace(self.base, nodes=self.base.nodes.new_empty((count, self.base.nodes.shape[1])))
        still = replace(self, flow=copy.deepcopy(self.flow).requires_grad_(False), points=None)
        return still._drawn(base.draw(generator))

    @torch.no_grad()
    def _drawn(self, base: Importance) -> Self:
        """Return the rule with the images of the nodes of its base."""
        t, log_slope = self.flow.transform().inv.call_and_ladj(base.nodes)
        log_weights = base.log_weights + log_slope + self.factor.diagonal().log().sum()
        return replace(self, nodes=self.location + t @ self.factor.T, log_weights=log_weights, base=base)


def _flattened(log_weights: Tensor) -> Tensor:
    """Return the weights w^a normalised, a <= 1 the largest with an effective sample size of a fifth of the nodes."""
    low, high = 0.0, 1.0
    for a in (1.0, *[0.0] * 12):
        a = a or 0.5 * (low + high)
        weights = torch.softmax(a * log_weights, dim=-1)
        enough = float(weights.square().sum()) * SHARE * len(weights) <= 1
        low, high = (a, high) if enough else (low, a)
        if enough and a == 1.0:
            break
    return torch.softmax(low * log_weights, dim=-1)


@final
class _Flow(nn.Module):
    """The splines and their optimiser."""

    def __init__(self, features: int, transforms: int, hidden: Sequence[int], learning_rate: float) -> None:
        super().__init__()
        try:
            from zuko.flows.coupling import GeneralCouplingTransform
            from zuko.lazy import LazyComposedTransform
            from zuko.transforms import MonotonicRQSTransform
        except ImportError as error:
            raise MissingExtra('a coupling flow needs the package zuko; run: pip install "socicnn[flows]"') from error
        spline = partial(MonotonicRQSTransform, slope=1e-3)
        shapes = [(BINS,), (BINS,), (BINS - 1,)]
        masks = [torch.arange(features) % 2 == place % 2 for place in range(transforms)]
        layers = [
            GeneralCouplingTransform(features, mask=mask, univariate=spline, shapes=shapes, hidden_features=hidden)
            for mask in masks
        ]
        self.seen: tuple[Tensor, Tensor] | None = None  # the last nodes and their weights under the energy
        self.transform: Any = LazyComposedTransform(*layers)
        self.optimiser = torch.optim.Adam(self.parameters(), lr=learning_rate)

    def step(self, loss: Tensor) -> None:
        """Take one step."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters(), CLIP)
        self.optimiser.step()


def flow_proposal(
    points: Any,
    count: int = 4096,
    *,
    degrees: int = 10,
    transforms: int = 4,
    hidden_features: Sequence[int] = (64, 64),
    learning_rate: float = 1e-3,
    batch_size: int = 256,
    generator: torch.Generator | None = None,
) -> FlowProposal:
    """Return a rule whose proposal is a coupling flow, at its start near to the law of `importance`.

    Train it by `fit(energy, points, rule=rule)`, one step per step of the energy, or alone by `rule.fit(steps)`, and
    judge with `rule.frozen(count)`.

    Args:
        points: data, shape `(points, n)`, more than n of them, a tensor or anything that NumPy reads as an array, of
            the energy's floating type.
        count: number of draws.
        degrees: degrees of freedom of the base, an integer >= 3; from about 30 on it is near to a normal law.
        transforms: number of couplings; each moves every second coordinate.
        hidden_features: widths of the networks that give the splines.
        learning_rate: step size of Adam.
        batch_size: points per step.
        generator: source of the draws and of the flow's start, on the CPU; defaults to torch's own.

    Raises:
        MissingExtra: zuko is not installed.
        ModelError: an invalid setting, or points whose covariance is singular.
    """
    points = as_tensor(points)
    n = points.shape[1]
    as_integer("transforms", transforms, 1)
    as_integer("batch_size", batch_size, 1)
    positive("learning_rate", learning_rate)
    fitted = importance(points, count, degrees=degrees, generator=generator)
    scale = math.sqrt((degrees - 2) / degrees)  # a base of unit covariance
    base = replace(
        fitted, location=torch.zeros(n, dtype=torch.float64), factor=scale * torch.eye(n, dtype=torch.float64)
    )
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))  # zuko draws from torch's own generator
        flow = _Flow(n, transforms, hidden_features, learning_rate).to(points)
    factor = torch.linalg.cholesky(torch.cov(points.double().T).reshape(n, n)).to(points)
    location = points.double().mean(dim=0).to(points)
    made = FlowProposal(base.nodes, base.log_weights, location, factor, base, flow, points, batch_size)
    return made._drawn(base.draw(generator))
