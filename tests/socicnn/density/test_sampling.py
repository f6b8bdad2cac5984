"""log Z by importance sampling: right within its own standard error, in any dimension, and in training."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from socicnn.density import Energy, fit, fit_stacked, importance, negative_log_likelihood, quadrature, target
from socicnn.errors import ModelError


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(n: int, count: int = 400) -> Tensor:
    mixing = torch.randn(n, n, generator=draws(n), dtype=torch.float64) + 2 * torch.eye(n, dtype=torch.float64)
    return 1 + torch.randn(count, n, generator=draws(1), dtype=torch.float64) @ mixing


class TestImportance:
    @pytest.mark.parametrize("n", [1, 3, 8])
    @pytest.mark.parametrize("degrees", [3, 9])
    def test_proposal_is_scipys(self, n: int, degrees: int) -> None:
        x = points(n)
        rule = importance(x, 4000, degrees=degrees, spread=1.5, generator=draws(2))
        covariance = torch.cov(x.T).reshape(n, n)
        law = stats.multivariate_t(x.mean(dim=0), 2.25 * (degrees - 2) / degrees * covariance, df=degrees)
        expected = torch.as_tensor(law.logpdf(rule.nodes)).reshape(-1)
        assert torch.allclose(-rule.log_weights - math.log(4000), expected)
        whitened = torch.linalg.solve(rule.factor, (rule.nodes - rule.location).T)
        assert stats.kstest(whitened[0], stats.t(degrees).cdf).pvalue > 0.01

    @pytest.mark.parametrize("n", [1, 3, 8])
    def test_is_right_within_its_standard_error(self, n: int) -> None:
        x = points(n)
        M = torch.linalg.inv(torch.cov(x.T).reshape(n, n)) * 1.3
        exact = 0.5 * n * math.log(2 * math.pi) - 0.5 * float(torch.logdet(M)) - 5e3
        off = []
        for seed in range(20):
            rule = importance(x, 3000, generator=draws(seed))
            moved = rule.nodes - 0.9
            energies = 0.5 * torch.einsum("ij,jk,ik->i", moved, M, moved) + 5e3
            off.append((float(rule.log_partition(energies)) - exact) / float(rule.error(energies)))
        assert max(map(abs, off)) < 4.5  # in standard errors
        assert 0.4 < torch.tensor(off).square().mean().sqrt() < 1.8

    def test_effective_sample_size(self) -> None:
        rule = importance(points(2), 1000, generator=draws(0))
        assert float(rule.effective_sample_size(rule.log_weights + 7.0)) == pytest.approx(1000)  # p = q
        assert float(rule.error(rule.log_weights)) == pytest.approx(0.0, abs=1e-6)
        alone = torch.full((1000,), torch.inf, dtype=torch.float64)
        alone[3] = 0.0
        assert float(rule.effective_sample_size(alone)) == pytest.approx(1.0)

    def test_draws_come_from_the_generator_alone(self) -> None:
        state = torch.get_rng_state()
        one, two = (importance(points(2), 50, generator=draws(4)) for _ in range(2))
        assert torch.equal(one.nodes, two.nodes)
        again = one.draw(draws(5))
        assert not torch.equal(again.nodes, one.nodes)
        assert torch.equal(again.location, one.location)
        assert torch.equal(torch.get_rng_state(), state)
        assert importance(points(2).float(), 50, generator=draws(4)).nodes.dtype == torch.float32

    @pytest.mark.parametrize(
        ("settings", "message"), [({"count": 0}, "count"), ({"degrees": 2}, "degrees"), ({"spread": 0.0}, "spread")]
    )
    def test_bad_settings_are_named(self, settings: dict[str, object], message: str) -> None:
        with pytest.raises(ModelError, match=message):
            importance(points(2), **settings)  # type: ignore[arg-type]  # what is refused

    def test_bad_points_are_refused(self) -> None:
        for bad in (points(3, 3), torch.ones(50, 2), points(2)[:, [0, 0]]):
            with pytest.raises(ModelError, match="singular"):
                importance(bad)
        with pytest.raises(ModelError, match="shape"):
            importance(torch.zeros(5))
        with pytest.raises(ModelError, match="non-finite entries"):
            importance(torch.full((5, 1), torch.nan))


class TestTraining:
    def test_agrees_with_quadrature(self) -> None:
        law = target("gamma_mode")
        x = law.sample(2000, draws(0), torch.float64)
        energy = Energy.dense(2, (12, 12), generator=draws(1), dtype=torch.float64)
        fit(energy, law, rule=importance(x, 300, generator=draws(2)), steps=150, batch_size=64, learning_rate=0.02)
        plain = energy.finalise()
        exact = negative_log_likelihood(
            plain, quadrature([-40.0, -12.0], [60.0, 12.0], [60, 20], dtype=torch.float64), x
        )
        rule = importance(x, 40_000, generator=draws(3))
        with torch.no_grad():
            error = float(rule.error(plain(rule.nodes)))
        assert abs(negative_log_likelihood(plain, rule, x) - exact) < 4 * error
        assert error < 0.02
        before = Energy.dense(2, (12, 12), generator=draws(1), dtype=torch.float64)
        assert exact < negative_log_likelihood(before, rule, x) - 0.1

    def test_stacked_is_one_by_one(self) -> None:
        x = points(3)
        rule = importance(x, 40, generator=draws(0))
        one, many = (
            [Energy.dense(3, (5,), generator=draws(s), dtype=torch.float64) for s in range(3)] for _ in range(2)
        )
        for seed, energy in enumerate(one):
            fit(energy, x, rule=rule, seed=seed, steps=6, batch_size=8)
        fit_stacked(many, x, rule=rule, steps=6, batch_size=8)
        for a, b in zip(one, many, strict=True):
            for left, right in zip(a.parameters(), b.parameters(), strict=True):
                assert torch.allclose(left, right, rtol=1e-6, atol=1e-8)

    def test_nodes_are_drawn_anew_at_each_step(self) -> None:
        seen: list[Tensor] = []
        energy = Energy.dense(2, (4,), generator=draws(0), dtype=torch.float64)
        energy.register_forward_pre_hook(lambda module, given: seen.append(given[0][8:].clone()))
        fit(energy, points(2), rule=importance(points(2), 20, generator=draws(0)), steps=3, batch_size=8)
        assert not torch.equal(seen[0], seen[1])
        assert not torch.equal(seen[1], seen[2])
