"""The bias-channel equation against the law of first passages of Brownian motion."""

from __future__ import annotations

import math

import numpy as np
import pytest

from socicnn.errors import ModelError
from socicnn.positivity.diagnostics import simulate_escape

DISTANCE = 16 - 13.82
SHIFT = 0.5826  # discrete monitoring moves the barrier by this many step deviations (Broadie, Glasserman, Kou, 1997)


@pytest.mark.parametrize("sigma", [0.05, 0.1])
def test_escape_rate_is_that_of_the_reflection_principle(sigma: float) -> None:
    steps, replicates = 1000, 4000
    found = simulate_escape([sigma], np.random.default_rng(0), sigma_obj=0.0, replicates=replicates, steps=steps)
    expected = math.erfc((DISTANCE + SHIFT * sigma) / (sigma * math.sqrt(2 * steps)))
    assert abs(found.rate[0] - expected) < 4 * math.sqrt(expected * (1 - expected) / replicates)


def test_median_time_is_that_of_the_law() -> None:
    sigma, replicates = 0.1, 3000
    found = simulate_escape([sigma], np.random.default_rng(1), sigma_obj=0.0, replicates=replicates, steps=3000)
    median = ((DISTANCE + SHIFT * sigma) / (sigma * 0.6744897501960817)) ** 2
    assert median < 3000
    assert abs(np.median(found.times[0]) / median - 1) < 0.1


def test_rises_with_the_noise_and_direct_softplus_stays() -> None:
    found = simulate_escape([0.0, 0.01, 0.03, 0.1, 0.3], np.random.default_rng(2), steps=4000)
    assert found.rate[0] == 0.0
    assert np.isnan(found.mean_time[0])
    assert np.isinf(found.envelope[0])
    assert (np.diff(found.rate) >= 0).all()
    assert found.rate[-1] > 0.9
    assert found.mean_time[-1] < found.mean_time[-2]
    assert found.times.shape == (5, 256)


def test_the_objective_noise_alone_is_attenuated() -> None:
    """psi'(-16) is 1.1e-7: noise that would cross in a hundred steps does nothing behind it."""
    found = simulate_escape([0.0], np.random.default_rng(3), sigma_obj=10.0, steps=2000)
    assert found.rate[0] == 0.0
    free = simulate_escape([0.0], np.random.default_rng(3), sigma_obj=10.0, start=1.0, absorbing=5.0, steps=200)
    assert free.rate[0] > 0.5


def test_time_step_is_time() -> None:
    coarse = simulate_escape([0.1], np.random.default_rng(4), steps=2000, replicates=2000)
    fine = simulate_escape([0.1], np.random.default_rng(5), steps=8000, time_step=0.25, replicates=2000)
    assert abs(coarse.rate[0] - fine.rate[0]) < 0.06


def test_same_generator_same_result() -> None:
    a, b = (simulate_escape([0.1], np.random.default_rng(6), steps=300) for _ in range(2))
    assert np.array_equal(a.times, b.times)


@pytest.mark.parametrize("sigma", [[-0.1], [np.nan], [np.inf]])
def test_noises_are_checked(sigma) -> None:
    with pytest.raises(ModelError, match="finite and >= 0"):
        simulate_escape(sigma, np.random.default_rng(0))


def test_start_is_checked() -> None:
    with pytest.raises(ModelError, match="must lie below"):
        simulate_escape([0.1], np.random.default_rng(0), start=0.0, absorbing=-1.0)
