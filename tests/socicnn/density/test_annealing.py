"""log Z by annealed importance sampling, against closed forms and quadrature."""

import math

import pytest
import torch
from torch import Tensor

from socicnn.density import (
    Energy,
    annealed,
    importance,
    negative_log_likelihood,
    quadrature,
    target,
)
from socicnn.errors import ModelError
from tests.socicnn.density.laws import draws, product, sample_product


class TestExact:
    @pytest.mark.parametrize(("n", "seed"), [(6, 0), (10, 0)])
    def test_products_of_laws(self, n: int, seed: int) -> None:
        proposal = importance(sample_product(n, 2000), 4000, generator=draws(seed))
        rule = annealed(product, proposal, generator=draws(seed + 10))
        found = rule.estimate(product(rule.nodes))
        assert abs(found) <= 0.02  # log Z = 0
        assert abs(found) < 4 * found.error < 0.03
        before = proposal.estimate(product(proposal.nodes))
        assert found.effective_sample_size > 3 * before.effective_sample_size * (0.5 if n == 6 else 1)
        assert 0.6 < rule.acceptance < 0.95

    def test_error_is_a_standard_error(self) -> None:
        proposal = importance(sample_product(4, 500), 4000, generator=draws(0))
        rule = annealed(product, proposal, temperatures=4, generator=draws(1))
        log_w = (rule.log_weights - product(rule.nodes)).reshape(40, 100)  # 40 independent estimates
        ess = torch.exp(2 * torch.logsumexp(log_w, 1) - torch.logsumexp(2 * log_w, 1))
        off = (torch.logsumexp(log_w, 1) + math.log(40)) / (1 / ess - 1 / 100).sqrt()
        assert 0.75 < off.square().mean().sqrt() < 1.3

    def test_one_temperature_is_importance_sampling(self) -> None:
        proposal = importance(sample_product(3, 200), 500, generator=draws(0))
        rule = annealed(product, proposal, temperatures=1, generator=draws(1))
        assert torch.equal(rule.nodes, proposal.nodes)
        assert torch.allclose(rule.log_weights, proposal.log_weights)

    def test_bounded_support_and_large_offset(self) -> None:
        def exponential(x: Tensor) -> Tensor:
            return torch.where((x > 0).all(dim=1), x.sum(dim=1), torch.inf) + 5e3

        points = -torch.rand((500, 3), generator=draws(0), dtype=torch.float64).log()
        rule = annealed(exponential, importance(points, 2000, generator=draws(1)), generator=draws(2))
        found = rule.estimate(exponential(rule.nodes))
        assert abs(found + 5e3) < 4 * found.error < 0.2

    def test_weights_hold_for_energies_nearby(self) -> None:
        rule = annealed(product, importance(sample_product(6, 500), 2000, generator=draws(0)), generator=draws(1))
        slopes = torch.tensor([0.2, -0.2, 0.1, 0.0, 0.2, -0.2], dtype=torch.float64)
        found = rule.estimate(product(rule.nodes) - rule.nodes @ slopes)
        exact = sum(  # log of the moment generating functions: Gumbel, logistic, Laplace
            [math.lgamma(1 - 0.2), math.lgamma(1.0)]
            + [math.log(math.pi * s / math.sin(math.pi * s)) for s in (0.2, 0.2)]
            + [-math.log(1 - s * s) for s in (0.1, 0.2)]
        )
        assert abs(found - exact) < 4 * found.error < 0.1


class TestEnergies:
    def test_a_network_agrees_with_quadrature(self) -> None:
        law = target("gamma_mode")
        x = law.sample(1000, draws(0))
        plain = Energy.dense(2, (8, 8), strong_convexity=0.5, generator=draws(1)).finalise().double()
        box = quadrature([-20.0, -8.0], [30.0, 8.0], [8, 5], dtype=torch.float64)
        exact = negative_log_likelihood(plain, box, x)
        rule = annealed(plain, importance(x, 2000, generator=draws(2)), temperatures=10, generator=draws(3))
        assert rule.nodes.dtype == torch.float64  # that of the energy
        found = negative_log_likelihood(plain, rule, x)
        assert abs(found - exact) < 4 * found.error < 0.1

    def test_draw_follows_the_energy(self) -> None:
        energy = Energy.dense(2, (4,), generator=draws(1), dtype=torch.float64)
        proposal = importance(sample_product(2, 100), 50, generator=draws(0))
        rule = annealed(energy, proposal, temperatures=3, generator=draws(1))
        again = rule.draw(draws(2))
        assert not torch.equal(again.nodes, rule.nodes)
        assert (again.temperatures, again.leaps) == (rule.temperatures, rule.leaps)
        with torch.no_grad():
            for parameter in energy.parameters():
                parameter.add_(0.1)
        assert not torch.equal(rule.draw(draws(2)).log_weights, again.log_weights)

    def test_invalid_settings_are_named(self) -> None:
        proposal = importance(sample_product(2, 100), 50, generator=draws(0))
        with pytest.raises(ModelError, match="temperatures"):
            annealed(product, proposal, temperatures=0)
        with pytest.raises(ModelError, match="leaps"):
            annealed(product, proposal, leaps=0)
        with pytest.raises(ModelError, match="NaN at x = "):
            annealed(lambda x: x.sum(dim=1) * torch.nan, proposal)
