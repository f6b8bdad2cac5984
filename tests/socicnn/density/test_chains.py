"""Draws from energies: laws known in closed form, and diagnostics against those of ArviZ."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from socicnn.density import Energy, UnreliableEstimate, importance, sample
from socicnn.density._chains import Chains, effective_sample_size, split_r_hat
from socicnn.errors import ModelError
from tests.socicnn.density.laws import draws, product, sample_product

# autocorrelation, distance of the chains, exponentials or not -> bulk effective sample size and rank R-hat of the three
# coordinates, as arviz-stats 0.8.0 gives them (`array_stats.ess(method="bulk")`, `array_stats.rhat(method="rank")`)
ARVIZ = {
    (0.0, 0.0, False): ([1269.29661782, 1185.41235723, 1147.77089738], [1.00042736, 1.00462856, 1.00081778]),
    (0.7, 0.0, True): ([244.31828778, 124.18600166, 245.15419962], [1.00924282, 1.04192374, 1.02021591]),
    (0.95, 0.3, False): ([53.24043528, 9.72367167, 15.91474765], [1.07928488, 1.33870558, 1.19360343]),
    (-0.5, 0.0, False): ([3695.01749526] * 3, [1.00987281, 1.00053887, 1.00218584]),
}


def autoregressive(rho: float, distance: float, heavy: bool) -> Tensor:
    noise = np.random.RandomState(0).normal(size=(4, 301, 3))  # a stream that never changes
    x = np.zeros_like(noise)
    for t in range(1, 301):
        x[:, t] = rho * x[:, t - 1] + noise[:, t]
    x += distance * np.arange(4)[:, None, None]
    return torch.tensor(np.exp(x) if heavy else x)


@pytest.mark.parametrize("case", ARVIZ)
def test_diagnostics_are_those_of_arviz(case: tuple[float, float, bool]) -> None:
    ess, r_hat = ARVIZ[case]
    x = autoregressive(*case)
    np.testing.assert_allclose(split_r_hat(x), r_hat, atol=1e-8)
    np.testing.assert_allclose(effective_sample_size(x), ess, rtol=1e-6)


def test_chains_that_stand_still_have_not_mixed() -> None:
    still = Chains(torch.ones(4, 500, 2), acceptance=0.0, step=1.0)  # ArviZ: 2000 effective draws
    assert not still.ok
    moving = torch.tensor(np.random.RandomState(0).normal(size=(4, 500, 1)))
    assert Chains(moving, 0.9, 1.0).ok
    assert not Chains(torch.cat([moving, torch.ones_like(moving)], dim=2), 0.9, 1.0).ok
    with pytest.warns(UnreliableEstimate, match="not mixed"):
        still.warn()


@pytest.mark.parametrize(("leaps", "draw_count"), [(6, 500), pytest.param(1, 8000, marks=pytest.mark.slow)])
def test_draws_follow_the_law(leaps: int, draw_count: int) -> None:
    start = importance(sample_product(3, 300), 16, generator=draws(1))
    chains = sample(product, start, draw_count, leaps=leaps, warmup=100, generator=draws(2))
    assert chains.ok, chains.summary()
    assert chains.draws.shape == (16, draw_count, 3)
    assert 0.5 < chains.acceptance < 0.95
    laws = (stats.gumbel_r, stats.logistic, stats.laplace)
    for place, law in enumerate(laws):
        u = law.cdf(chains.points[:, place].numpy())
        error = math.sqrt(1 / 12 / float(chains.effective_sample_size[place]))
        assert abs(u.mean() - 0.5) < 4 * error
        for level in (0.1, 0.9):
            assert abs((u < level).mean() - level) < 0.03


def test_correlated_law() -> None:
    mixing = torch.tensor([[1.0, 0.0], [5.0, 0.1]], dtype=torch.float64)
    points = 3 + torch.randn((400, 2), generator=draws(0), dtype=torch.float64) @ mixing.T
    precision = torch.linalg.inv(mixing @ mixing.T)
    chains = sample(
        lambda x: 0.5 * ((x - 3) @ precision * (x - 3)).sum(dim=1), importance(points, 8, generator=draws(1)), 300,
        generator=draws(2),
    )  # fmt: skip
    assert float(chains.r_hat.max()) < 1.03
    assert torch.allclose(torch.cov(chains.points.T), mixing @ mixing.T, rtol=0.15)
    assert abs(chains.points.mean(dim=0) - 3).max() < 0.5


def test_a_network_in_float32() -> None:
    points = torch.randn((400, 2), generator=draws(0))
    energy = Energy.dense(2, (4,), strong_convexity=1.0, generator=draws(3))
    with pytest.warns(UnreliableEstimate):  # too few draws
        chains = sample(energy, importance(points, 4, generator=draws(1)), 10, warmup=8, generator=draws(2))
    assert chains.points.dtype == torch.float32


def test_chains_that_do_not_meet_are_told() -> None:
    def valleys(x: Tensor) -> Tensor:
        return torch.minimum((x - 20).square(), (x + 20).square()).sum(dim=1)

    points = torch.tensor([[-20.0], [20.0]], dtype=torch.float64).repeat(50, 1)
    with pytest.warns(UnreliableEstimate, match="have not mixed: largest R-hat"):
        chains = sample(valleys, importance(points, 8, generator=draws(0)), 50, generator=draws(1))
    assert not chains.ok
    assert chains.summary().startswith("unreliable: 8 chains of 50 draws")


def test_starts_where_the_energy_is_steep_move() -> None:
    start = importance(sample_product(3, 300), 16, spread=4.0, generator=draws(1))
    start = dataclasses.replace(
        start, nodes=torch.cat([start.nodes[:15], torch.tensor([[-20.0, 0.0, 0.0]], dtype=torch.float64)])
    )
    assert float(product(start.nodes).max()) > 1e6
    with pytest.warns(UnreliableEstimate):  # too few draws
        chains = sample(product, start, 100, leaps=4, generator=draws(2))
    assert float(chains.draws[:, :, 0].min()) > -6.0


def test_bad_starts_are_named() -> None:
    start = importance(sample_product(2, 100), 8, generator=draws(0))
    with pytest.raises(ModelError, match="not finite at 8 of 8 starts"):
        sample(lambda x: x.sum(dim=1) + torch.inf, start)
    with pytest.raises(ModelError, match="at least 2 nodes"):
        sample(product, importance(sample_product(2, 100), 1))
    with pytest.raises(ModelError, match="draws"):
        sample(product, start, 9)
