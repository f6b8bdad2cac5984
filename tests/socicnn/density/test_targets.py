"""Targets: densities as SciPy has them, samples that follow them, log-concave, inside their windows."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from socicnn.density import TARGETS, PotentialFlow, Target, grid, target
from socicnn.density._targets import SkewNormal
from socicnn.errors import ModelError

LAWS = {
    "gumbel": [stats.gumbel_r()],
    "laplace": [stats.laplace()],
    "gamma": [stats.gamma(2)],
    "beta": [stats.beta(2, 5)],
    "half_normal": [stats.halfnorm()],
    "skew_normal": [stats.skewnorm(4)],
    "gamma_mode": [stats.gamma(2, loc=-3), stats.norm(scale=0.5)],
}


def test_every_target_is_tested() -> None:
    assert set(LAWS) == set(TARGETS)


@pytest.mark.parametrize("name", LAWS)
class TestTarget:
    def test_density_is_scipys(self, name: str) -> None:
        found = target(name)
        draw = np.random.default_rng(0)
        x = draw.uniform(found.lower, found.upper, (500, found.features))
        with np.errstate(divide="ignore"):
            expected = sum(law.logpdf(x[:, axis]) for axis, law in enumerate(LAWS[name]))
        got = found.log_density(torch.as_tensor(x)).numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)
        assert not np.isnan(found.log_density(torch.zeros(3, found.features)).numpy()).any()

    def test_samples_follow_it(self, name: str) -> None:
        x = target(name).sample(4000, torch.Generator().manual_seed(3), torch.float64).numpy()
        assert x.shape == (4000, len(LAWS[name]))
        for axis, law in enumerate(LAWS[name]):
            assert stats.kstest(x[:, axis], law.cdf).pvalue > 0.01

    def test_window_holds_the_mass_and_more(self, name: str) -> None:
        found = target(name)
        x, volume = grid(found, [2000] if found.features == 1 else [420, 240])
        mass = float(found.log_density(x).exp().sum()) * volume
        assert abs(mass - 1) < 2e-3
        outside = sum(law.cdf(a) + law.sf(b) for law, a, b in zip(LAWS[name], found.lower, found.upper, strict=True))
        assert outside < 1e-6

    def test_is_log_concave(self, name: str) -> None:
        found = target(name)
        ends = found.sample(400, torch.Generator().manual_seed(5), torch.float64)
        a, b = found.log_density(ends[:200]), found.log_density(ends[200:])
        middle = found.log_density((ends[:200] + ends[200:]) / 2)
        assert bool((middle >= (a + b) / 2 - 1e-12).all())

    def test_draws_come_from_the_generator_alone(self, name: str) -> None:
        state = torch.get_rng_state()
        one, two, other = (target(name).sample(5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert torch.equal(one, two)
        assert not torch.equal(one, other)
        assert one.dtype == torch.get_default_dtype()
        assert torch.equal(torch.get_rng_state(), state)

    def test_points_of_another_dimension_are_refused(self, name: str) -> None:
        with pytest.raises(ModelError, match="x must have shape"):
            target(name).log_density(torch.zeros(4, 3))


def test_a_count_is_an_integer() -> None:
    flow = PotentialFlow.dense(1, (2,))
    for sample in (target("beta").sample, flow.sample):
        assert len(sample(0)) == 0
        for count in (-1, 2.5, "3"):
            with pytest.raises(ModelError, match="count must be an integer >= 0"):
                sample(count)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ModelError, match="unknown target 'cauchy'; there are: beta, gamma"):
        target("cauchy")
    made: Target = SkewNormal(alpha=-2.0)
    assert target(made) is made


def test_skew_normal_of_any_shape() -> None:
    x = torch.linspace(-6, 6, 50, dtype=torch.float64)[:, None]
    for alpha in (0.0, -3.0):
        np.testing.assert_allclose(SkewNormal(alpha).log_density(x), stats.skewnorm(alpha).logpdf(x[:, 0]), rtol=1e-9)
        sample = SkewNormal(alpha).sample(4000, torch.Generator().manual_seed(0), torch.float64)[:, 0]
        assert stats.kstest(sample.numpy(), stats.skewnorm(alpha).cdf).pvalue > 0.01
    with pytest.raises(ModelError, match="alpha"):
        SkewNormal(math.inf)
