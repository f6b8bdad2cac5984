"""Laws of components are log-concave with mass one, near to the data's, and energies start from them."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import FastICA

from experiments.densities.components import components_start, fit_components, fit_law
from experiments.densities.proposal import component_proposal
from socicnn._arrays import Array
from socicnn.positivity import recipe


@pytest.fixture(scope="module")
def points() -> Array:
    rng = np.random.default_rng(0)
    return rng.gumbel(size=(2000, 2)) @ np.array([[0.8, 0.3], [-0.2, 0.5]])


def test_a_law_is_log_concave_with_mass_one_and_near_to_its_sample() -> None:
    rng = np.random.default_rng(0)
    scale = np.pi / np.sqrt(6)  # the standard deviation of Gumbel's law
    law = fit_law(rng.gumbel(size=2000) / scale)
    x = np.linspace(-30, 60, 90_001)
    log_p = law.log_density(x)
    assert np.trapezoid(np.exp(log_p), x) == pytest.approx(1.0, abs=1e-4)
    assert np.diff(log_p, 2).max() < 1e-9
    fresh = rng.gumbel(size=20_000)
    exact = -(fresh + np.exp(-fresh)) + np.log(scale)
    assert 0 < (exact - law.log_density(fresh / scale)).mean() < 0.03  # the divergence, from 2,000 points


@pytest.mark.parametrize("name", ["softplus", "lift", "projected"])
def test_an_energy_starts_near_the_components_law(points: Array, name: str) -> None:
    fitted = fit_components(points, 0)
    energy = components_start(fitted, (8, 8), recipe(name), torch.Generator().manual_seed(0))
    x = torch.tensor(points[:500], dtype=torch.float32)
    values = energy.finalise(x)(x).detach().double().numpy()
    log_p = fitted.log_density(points[:500])
    assert np.std(values + log_p) < 0.5 * np.std(log_p)  # up to a constant; the layers add a little
    assert np.corrcoef(values, -log_p)[0, 1] > 0.95


def test_draws_follow_the_components_law(points: Array) -> None:
    fitted = fit_components(points, 0)
    rule = component_proposal(fitted, 20_000, torch.float64, torch.Generator().manual_seed(0))
    x = rule.nodes.numpy()
    np.testing.assert_allclose(rule.log_density(rule.nodes).numpy(), fitted.log_density(x), atol=1e-6)
    np.testing.assert_allclose(x.mean(axis=0), points.mean(axis=0), atol=0.03)
    np.testing.assert_allclose(np.cov(x.T), np.cov(points.T), atol=0.06)
    assert abs(float(rule.log_partition(-rule.log_density(rule.nodes)))) < 1e-6
    shifted = 0.5 * rule.nodes.square().sum(dim=1)  # another law, whose log Z is known: log 2 pi
    log_z = rule.estimate(shifted)
    assert abs(log_z - np.log(2 * np.pi)) < 4 * log_z.error < 0.2
    fresh = rule.draw(torch.Generator().manual_seed(1))
    assert fresh.nodes.shape == rule.nodes.shape
    assert not torch.equal(fresh.nodes, rule.nodes)


def test_directions_are_independent_where_fast_ica_repeats_one(points: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    class Repeating(FastICA):
        def fit(self, X: Array, y: None = None) -> "Repeating":
            super().fit(X)
            self.components_[1] = self.components_[0]
            return self

    monkeypatch.setattr("sklearn.decomposition.FastICA", Repeating)
    fitted = fit_components(points, 0)
    s = (points - fitted.location) @ fitted.directions.T
    np.testing.assert_allclose(np.cov(s.T), np.eye(2), atol=1e-6)
