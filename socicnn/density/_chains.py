"""Draws from an energy's law by Hamiltonian Monte Carlo, with the diagnostics that say whether they can be believed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self, final

import torch
from scipy.stats import rankdata
from torch import Tensor

from socicnn._integers import as_integer
from socicnn.density._base import Density, check_energy
from socicnn.density._estimate import UnreliableEstimate
from socicnn.density._rule import Proposal
from socicnn.density._walkers import Walkers
from socicnn.errors import ModelError

MOST_R_HAT, LEAST_SAMPLE = 1.01, 400.0  # Vehtari et al., "Rank-normalization ...", 2021
FIRST = 1e-12  # factor of the energy at the first move


@final
@dataclass(frozen=True, eq=False)
class Chains:
    """Chains of draws and their diagnostics.

    Args:
        draws: shape `(chains, draws, n)`.
        acceptance: mean probability of acceptance after the warm-up.
        step: step size that the warm-up found, in units of the proposal's factor.
    """

    draws: Tensor
    acceptance: float
    step: float

    @property
    def points(self) -> Tensor:
        """All draws, shape `(chains * draws, n)`."""
        return self.draws.reshape(-1, self.draws.shape[2])

    @cached_property
    def r_hat(self) -> Tensor:
        """Split R-hat of each coordinate, on ranks: near 1 where the chains agree."""
        return split_r_hat(self.draws)

    @cached_property
    def effective_sample_size(self) -> Tensor:
        """How many independent draws the mean of each coordinate's ranks is worth."""
        return effective_sample_size(self.draws)

    @property
    def ok(self) -> bool:
        """Whether R-hat is at most 1.01 and the effective sample size at least 400, in every coordinate."""
        return self.doubt() is None

    def doubt(self) -> str | None:
        """Return why the draws cannot be believed, or None."""
        r_hat, ess = float(self.r_hat.max()), float(self.effective_sample_size.min())
        if r_hat <= MOST_R_HAT and ess >= LEAST_SAMPLE:
            return None
        return (
            f"the chains have not mixed: largest R-hat {r_hat:.3f} (at most {MOST_R_HAT}), least effective sample size "
            f"{ess:.0f} (at least {LEAST_SAMPLE:.0f}); take more draws, a longer warmup or more leaps"
        )

    def warn(self) -> Self:
        """Give an `UnreliableEstimate` warning where the draws cannot be believed; return the chains."""
        if (why := self.doubt()) is not None:
            warnings.warn(why, UnreliableEstimate, stacklevel=3)
        return self

    def summary(self) -> str:
        """Return one line: the size and the diagnostics, the verdict first where there is doubt."""
        chains, draws = self.draws.shape[:2]
        return ("" if self.ok else "unreliable: ") + (
            f"{chains} chains of {draws} draws, acceptance {self.acceptance:.2f}, largest R-hat "
            f"{float(self.r_hat.max()):.3f}, least effective sample size {float(self.effective_sample_size.min()):.0f}"
        )


def sample(
    energy: Callable[[Tensor], Tensor],
    proposal: Proposal,
    draws: int = 1000,
    *,
    warmup: int = 200,
    leaps: int = 6,
    generator: torch.Generator | None = None,
) -> Chains:
    """Draw from p = exp(-E) / Z by Hamiltonian Monte Carlo, one chain per node of a proposal.

    The warm-up leads the chains from the proposal's law to p and tunes one step size for all. An `UnreliableEstimate`
    warning is given where the chains have not mixed. `leaps=1` is the Metropolis-adjusted Langevin algorithm.

    Args:
        energy: E, an energy or any function from points of shape `(count, n)` to values of shape `(count,)` that
            autograd differentiates; +inf outside the support.
        proposal: where the chains start, e.g. `importance(points, 16)`: wider than p, so that R-hat can tell.
        draws: draws kept per chain, >= 10.
        warmup: moves before the first of them, >= 1.
        leaps: leapfrog steps per move at most, >= 1.
        generator: source of the draws, on the CPU; defaults to torch's own.

    Raises:
        ModelError: an invalid setting, a flow in place of an energy, one chain alone, or a start where the energy is
            not finite.

    >>> from socicnn.density import importance
    >>> draw = torch.Generator().manual_seed(0)
    >>> points = torch.randn(500, 3, generator=draw, dtype=torch.float64)
    >>> logistic = lambda x: (x + 2 * torch.nn.functional.softplus(-x)).sum(dim=1)
    >>> chains = sample(logistic, importance(points, 16, generator=draw), 500, warmup=100, generator=draw)
    >>> chains.ok, chains.points.shape
    (True, torch.Size([8000, 3]))
    """
    for name, value, least in (("draws", draws, 10), ("warmup", warmup, 1), ("leaps", leaps, 1)):
        as_integer(name, value, least)
    check_energy(energy)
    nodes = proposal.nodes
    if isinstance(energy, Density):
        nodes = nodes.to(dtype=energy.network.dtype, device=energy.network.device)
    if len(nodes) < 2:
        raise ModelError("R-hat compares chains: give a proposal of at least 2 nodes, e.g. importance(points, 16)")
    walkers = Walkers([lambda x: -proposal.log_density(x), energy], nodes, proposal.factor, generator)
    bad = (~torch.isfinite(walkers.values[1])).nonzero()
    if len(bad):
        raise ModelError(
            f"the energy is not finite at {len(bad)} of {len(nodes)} starts, the first at x = "
            f"{nodes[int(bad[0])].tolist()}; take a narrower proposal (spread, degrees)"
        )
    walkers = _warm_up(walkers, warmup, leaps)
    kept, chances = [], []
    for _ in range(draws):
        chances.append(walkers.move([1.0], leaps))
        kept.append(walkers.points)
    return Chains(torch.stack(kept, dim=1), sum(chances) / draws, walkers.size).warn()


def _warm_up(walkers: Walkers, moves: int, leaps: int) -> Walkers:
    """Lead chains from the proposal's law to the energy's, tune the step size, and return them as chains of E alone.

    In the first half the energy counts by a factor b that grows geometrically: a chain that starts where the energy is
    steep would reject every step under the whole of it. After three quarters the unit of the steps becomes the
    covariance of the draws since the first half.
    """
    half = moves // 2
    for move in range(half):
        b = FIRST ** (1 - move / half)
        walkers.tune(walkers.move([1 - b, b], leaps))
    warm = Walkers(walkers.energies[1:], walkers.points, walkers.factor, walkers.generator)
    warm.size = walkers.size
    early = moves // 4
    warm.factor = _factor(_tuned(warm, early, leaps), warm.factor)
    _tuned(warm, moves - half - early, leaps)
    return warm


def _tuned(walkers: Walkers, moves: int, leaps: int) -> list[Tensor]:
    """Tune the step size, set it to the mean over the last half of the moves, and return where the chains were."""
    seen, sizes = [], []
    for move in range(moves):
        walkers.tune(walkers.move([1.0], leaps), gain=(1 + move / 10) ** -0.5)
        seen.append(walkers.points)
        sizes.append(math.log(walkers.size))
    if sizes:
        late = sizes[moves // 2 :]
        walkers.size = math.exp(sum(late) / len(late))
    return seen


def _factor(seen: list[Tensor], before: Tensor) -> Tensor:
    """Return the Cholesky factor of the covariance of draws; the one before where they are too few for it."""
    if not seen or len(seen[0]) * len(seen) < 10 * len(before):
        return before
    points = torch.cat(seen).double()
    factor, failed = torch.linalg.cholesky_ex(torch.cov(points.T).reshape(len(before), len(before)))
    return before if bool(failed) else factor.to(before)


def split_r_hat(draws: Tensor) -> Tensor:
    """Return R-hat of each coordinate, the larger one of that of the ranks and that of the ranks of |x - median|.

    The square root of the variance of all draws over that within half chains: 1 where all chains say the same.
    """
    halves = _halves(draws)
    median = halves.reshape(-1, halves.shape[2]).quantile(0.5, dim=0)
    return torch.maximum(_r_hat(_normal_scores(halves)), _r_hat(_normal_scores((halves - median).abs())))


def effective_sample_size(draws: Tensor) -> Tensor:
    """Return how many independent draws the mean of each coordinate's ranks is worth: count / (1 + 2 sum rho_t).

    The sum ends where the sums of neighbouring autocorrelations turn negative, and these are made to fall (Geyer,
    "Practical Markov chain Monte Carlo", 1992); of the pair that ends it, the first counts once if positive.
    """
    z = _normal_scores(_halves(draws))
    chains, length, n = z.shape
    spectrum = torch.fft.rfft(z - z.mean(dim=1, keepdim=True), n=2 * length, dim=1)
    covariance = torch.fft.irfft(spectrum.abs().square(), n=2 * length, dim=1)[:, :length].mean(dim=0) / length
    within = covariance[0] * length / (length - 1)
    rho = 1 - (within - covariance) / (covariance[0] + z.mean(dim=1).var(dim=0))
    rho[0] = 1.0
    pairs = rho[: 2 * (length // 2)].reshape(-1, 2, n).sum(dim=1)
    positive = (pairs > 0).cumprod(dim=0)
    positive[(length - 3) // 2 :] = 0  # too few products
    last = rho[::2].gather(0, positive.sum(dim=0, keepdim=True))[0].clamp(min=0.0)
    time = 2 * (positive * pairs.cummin(dim=0).values).sum(dim=0) - 1 + last
    return chains * length / time.clamp(min=1 / math.log10(chains * length))


def _r_hat(z: Tensor) -> Tensor:
    length = z.shape[1]
    within = z.var(dim=1).mean(dim=0)
    between = z.mean(dim=1).var(dim=0)
    return ((length - 1) / length + between / within).sqrt()


def _halves(draws: Tensor) -> Tensor:
    """Return the first and the last half of each chain as chains, shape `(2 chains, draws // 2, n)`."""
    half = draws.shape[1] // 2
    return torch.cat([draws[:, :half], draws[:, -half:]]).double()


def _normal_scores(draws: Tensor) -> Tensor:
    """Return the normal quantiles of the ranks of each coordinate, equal draws at their mean rank."""
    flat = draws.reshape(-1, draws.shape[2])
    ranks = torch.as_tensor(rankdata(flat.cpu().numpy(), axis=0)).to(flat)
    return torch.special.ndtri((ranks - 0.375) / (len(flat) + 0.25)).reshape(draws.shape)
