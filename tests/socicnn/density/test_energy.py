"""Energies: convex, with the hooks of every recipe; total variation and likelihood against closed forms."""

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from socicnn import ICNN, SOCICNN
from socicnn.density import (
    ComposedFlow,
    Energy,
    PotentialFlow,
    annealed,
    grid,
    importance,
    log_partition_bounds,
    negative_log_likelihood,
    quadrature,
    sample,
    target,
    total_variation,
)
from socicnn.errors import ModelError
from socicnn.positivity import RECIPES


class Formula(nn.Module):
    """An energy that is a formula."""

    def __init__(self, formula: object) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, x: Tensor) -> Tensor:
        assert callable(self.formula)
        return self.formula(x)


class TestEnergy:
    def test_formula(self) -> None:
        network = ICNN(3, (8, 8), activation="softplus", dtype=torch.float64)
        x = torch.randn(6, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        expected = network(x) + 0.35 * x.square().sum(dim=-1)
        assert torch.allclose(Energy(network, 0.7)(x), expected)
        assert Energy(network).strong_convexity == 0.02

    @pytest.mark.parametrize("name", sorted(RECIPES))
    def test_every_recipe_ends_with_a_convex_energy(self, name: str) -> None:
        draw = torch.Generator().manual_seed(1)
        energy = Energy.dense(2, (8, 8), positivity=name, generator=draw, dtype=torch.float64)
        rule = quadrature([-4.0, -4.0], [4.0, 4.0], [1, 1], dtype=torch.float64)
        data = torch.randn(64, 2, generator=draw, dtype=torch.float64)
        optimiser = torch.optim.Adam(energy.parameters(), lr=0.05)
        losses = []
        for _ in range(12):
            optimiser.zero_grad()
            energy.condition(data)
            loss = energy.objective(data, rule)
            (loss + energy.penalty()).backward()
            optimiser.step()
            energy.after_step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0]
        plain = energy.finalise(data)
        assert not plain.needs_data
        assert plain.strong_convexity == energy.strong_convexity
        assert all(bool((weight() >= 0).all()) for _, weight in plain.network.constrained())
        a, b = (3 * torch.randn(200, 2, generator=draw, dtype=torch.float64) for _ in range(2))
        with torch.no_grad():
            assert bool((plain((a + b) / 2) <= (plain(a) + plain(b)) / 2 + 1e-12).all())
        if not energy.needs_data and name != "admm":
            with torch.no_grad():
                assert torch.allclose(plain(a), energy.eval()(a), atol=1e-12)

    def test_networks_with_branches_are_energies_too(self) -> None:
        energy = Energy(SOCICNN(2, (4,), quadratic=(2,), norm=(2,), dtype=torch.float64), strong_convexity=0.0)
        assert energy(torch.zeros(3, 2, dtype=torch.float64)).shape == (3,)

    def test_what_is_none_is_refused(self) -> None:
        with pytest.raises(ModelError, match="without a context"):
            Energy(ICNN(2, (4,), context_features=1))
        with pytest.raises(ModelError, match="strong_convexity"):
            Energy(ICNN(2, (4,)), -1.0)


class TestMeasures:
    def test_likelihood_of_a_normal(self) -> None:
        # f = 0 and sc = 1 give the standard normal
        network = ICNN(1, (), dtype=torch.float64)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()
        energy = Energy(network, 1.0)
        rule = quadrature([-9.0], [9.0], dtype=torch.float64)
        x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
        expected = 0.5 * math.log(2 * math.pi) + 1.0
        assert negative_log_likelihood(energy, rule, x) == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("name", ["gumbel", "laplace", "gamma", "beta", "half_normal", "skew_normal", "gamma_mode"])
    def test_total_variation_of_a_law_and_itself(self, name: str) -> None:
        law = target(name)
        shifted = Formula(lambda x: 7.0 - law.log_density(x))  # the constant belongs to Z
        assert total_variation(shifted, law) < 1e-12

    def test_total_variation_of_disjoint_laws(self) -> None:
        energy = Formula(lambda x: torch.where(x[:, 0] < 0, 0.0, torch.inf))
        assert total_variation(energy, target("half_normal")) == pytest.approx(1.0)

    def test_total_variation_against_closed_forms(self) -> None:
        normal = Formula(lambda x: 0.5 * x[:, 0].square())  # half of it lies where the half-normal is not
        assert total_variation(normal, target("half_normal")) == pytest.approx(0.5, abs=2e-3)
        wide = Formula(lambda x: x[:, 0].abs() / 2)  # exp(-|x|)/2 and exp(-|x|/2)/4 cross at 2 log 2: TV = 1/4
        assert total_variation(wide, target("laplace")) == pytest.approx(0.25, abs=1e-3)

    def test_functions_are_energies_and_flows_are_none(self) -> None:
        """exp(-F) of a flow's potential F is a law, too, with bounds, draws and a distance, but not the flow's."""
        law, draw = target("laplace"), torch.Generator().manual_seed(0)
        assert total_variation(lambda x: x[:, 0].abs(), law) < 1e-12
        flow = PotentialFlow.dense(1, (4,), dtype=torch.float64, generator=draw)
        several, proposal = ComposedFlow([flow]), importance(law.sample(50, draw, torch.float64), 4, generator=draw)
        for model in (flow, several):
            for use in (
                lambda m: total_variation(m, law),
                lambda m: log_partition_bounds(m, -8.0, 8.0),
                lambda m: sample(m, proposal, generator=draw),
                lambda m: annealed(m, proposal, generator=draw),
            ):
                with pytest.raises(ModelError, match=r"is no energy: .* `lambda x: -flow.log_density\(x\)`"):
                    use(model)
        assert 0 < total_variation(lambda x: -flow.log_density(x), law) < 1

    def test_numbers_of_any_type_are_stored(self) -> None:
        for number in (np.float32(0.25), torch.tensor(0.25), 1):
            for kind in (Energy, PotentialFlow):
                config = kind(ICNN(1, (2,), activation="softplus"), number).config()
                assert json.loads(json.dumps(config))["strong_convexity"] == float(number)

    def test_cells(self) -> None:
        x, volume = grid(target("gamma_mode"), [6, 3])
        assert x.shape == (18, 2)
        assert volume == pytest.approx(21 / 6 * 2)
        assert x[0].tolist() == pytest.approx([-5 + 21 / 12, -2])
        assert len(grid(target("beta"))[0]) == 8000
        assert torch.equal(grid(target("beta"), 50)[0], grid(target("beta"), [50])[0])
        for cells in ([5], [5, 0], [5, 5, 5], 5, 2.5, "5"):
            with pytest.raises(ModelError, match="cells"):
                grid(target("gamma_mode"), cells)
