"""Whether chains of draws have mixed: split R-hat and the effective sample size, on ranks."""

from __future__ import annotations

import math

import torch
from scipy.stats import rankdata
from torch import Tensor

# Vehtari, Gelman, Simpson, Carpenter and Buerkner, "Rank-normalization, folding, and localization: an improved R-hat",
# Bayesian Analysis, 2021. Draws have shape (chains, draws, n).


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
