"""log Z by annealed importance sampling: chains from a proposal to E's law, log w = -sum_k (E + log q)(x_k) / K."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from socicnn._integers import as_integer
from socicnn.density._base import Density, check_energy
from socicnn.density._rule import Proposal, Sampled
from socicnn.density._walkers import Walkers
from socicnn.errors import ModelError

Potential = Callable[[Tensor], Tensor]
PILOTS, TUNING = 256, 20  # chains that step sizes are found with, and moves before the first of them counts


@final
@dataclass(frozen=True, eq=False)
class Annealed(Sampled):
    """Ends of independent annealed chains; unbiased for Z (Neal, "Annealed importance sampling", 2001).

    A chain starts at a draw of the proposal q and moves under q^(1-b) exp(-b E) for rising b; its weight is the product
    of exp(-(b' - b) (E + log q)) before each move. The weights also hold for other energies: those near the one that
    the chains were led by have about its effective sample size.

    Args:
        nodes: where the chains end, shape `(count, n)`.
        log_weights: log weights of the chains, + E(x_i) - log count.
        energy: E.
        proposal: q.
        temperatures: number of steps of b.
        leaps: leapfrog steps per move at most.
        acceptance: mean acceptance of the moves.
    """

    nodes: Tensor
    log_weights: Tensor
    energy: Potential
    proposal: Proposal
    temperatures: int
    leaps: int
    acceptance: float

    def draw(self, generator: torch.Generator | None = None) -> Annealed:
        """Return the rule with fresh chains, led by the energy as it is now."""
        how, temperatures, leaps = self.proposal.draw(generator), self.temperatures, self.leaps
        return annealed(self.energy, how, temperatures=temperatures, leaps=leaps, generator=generator)


def annealed(
    energy: Potential,
    proposal: Proposal,
    *,
    temperatures: int = 50,
    leaps: int = 4,
    generator: torch.Generator | None = None,
) -> Annealed:
    """Return a rule whose nodes come from a proposal by annealing: log Z where importance sampling alone fails.

    Every node of the proposal starts a chain of `temperatures - 1` moves of Hamiltonian Monte Carlo. The step sizes are
    found with chains of their own, so that the nodes stay independent and `error` is a standard error.

    Args:
        energy: E, an energy or any function from points of shape `(count, n)` to values of shape `(count,)` that
            autograd differentiates; +inf outside the support.
        proposal: where the chains start, e.g. `importance(points, 2000)`.
        temperatures: number of steps from the proposal to the energy's law, >= 1; 1 is importance sampling.
        leaps: leapfrog steps per move at most, >= 1.
        generator: source of the draws, on the CPU; defaults to torch's own.

    Raises:
        ModelError: an invalid setting, a flow in place of an energy, or an energy that is NaN at a node.

    >>> from socicnn.density import importance
    >>> draw = torch.Generator().manual_seed(0)
    >>> points = torch.randn(500, 3, generator=draw, dtype=torch.float64)
    >>> laplace = lambda x: x.abs().sum(dim=1)
    >>> rule = annealed(laplace, importance(points, 1000, generator=draw), generator=draw)
    >>> found = rule.estimate(laplace(rule.nodes))
    >>> abs(found - 3 * math.log(2)) < 4 * found.error, found.error < 0.03
    (True, True)
    """
    as_integer("temperatures", temperatures, 1)
    as_integer("leaps", leaps, 1)
    check_energy(energy)
    nodes = proposal.nodes
    if isinstance(energy, Density):
        nodes = nodes.to(dtype=energy.network.dtype, device=energy.network.device)
    pilots = proposal.draw(generator).nodes[:PILOTS].to(nodes)
    sizes = _run(_walkers(energy, proposal, pilots, generator), temperatures, leaps, None)[1]
    walkers = _walkers(energy, proposal, nodes, generator)
    log_weights, _, acceptance = _run(walkers, temperatures, leaps, sizes)
    # + E: the rule subtracts the energy at its nodes
    log_weights = log_weights + walkers.values[1].double() - math.log(len(nodes))
    log_weights = torch.where(torch.isnan(log_weights), -torch.inf, log_weights)  # E = inf: no mass
    return Annealed(walkers.points, log_weights.to(nodes), energy, proposal, temperatures, leaps, acceptance)


def _walkers(energy: Potential, proposal: Proposal, points: Tensor, generator: torch.Generator | None) -> Walkers:
    walkers = Walkers([lambda x: -proposal.log_density(x), energy], points, proposal.factor, generator)
    if bool(torch.isnan(walkers.values).any()):
        row = int(torch.isnan(walkers.values).any(dim=0).nonzero()[0])
        raise ModelError(f"the energy, or the proposal, is NaN at x = {points[row].tolist()}")
    return walkers


def _run(
    walkers: Walkers, temperatures: int, leaps: int, sizes: list[float] | None
) -> tuple[Tensor, list[float], float]:
    """Lead chains from the proposal to the energy; return log weights, step sizes and the mean acceptance.

    Args:
        walkers: the chains, at draws of the proposal; their energies are -log q and E.
        temperatures: number of steps.
        leaps: leapfrog steps per move at most.
        sizes: step size of each move; tuned on the way if omitted.
    """
    log_weights = torch.zeros(len(walkers.points), dtype=torch.float64, device=walkers.points.device)
    used, chances = [], []
    for k in range(1, temperatures + 1):
        log_weights = log_weights + (walkers.values[0] - walkers.values[1]).double() / temperatures
        if k == temperatures:
            break
        b = k / temperatures
        for _ in range(TUNING if sizes is None and k == 1 else 0):
            walkers.tune(walkers.move([1 - b, b], leaps))
        if sizes is not None:
            walkers.size = sizes[k - 1]
        used.append(walkers.size)
        chances.append(walkers.move([1 - b, b], leaps))
        if sizes is None:
            walkers.tune(chances[-1])
    return log_weights, used, sum(chances) / len(chances) if chances else 1.0
