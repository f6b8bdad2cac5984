"""A coupling flow as proposal: its density, joint training, and log Z."""

import builtins
from typing import Any

import pytest
import torch

from socicnn.density import Energy, FlowProposal, annealed, fit, flow_proposal, negative_log_likelihood, quadrature
from socicnn.errors import MissingExtra, ModelError
from tests.socicnn.density.laws import draws, product, sample_product


def made(n: int, count: int = 2000, **settings: Any) -> FlowProposal:
    pytest.importorskip("zuko")
    settings = {"transforms": 2, "hidden_features": (16,), "generator": draws(0), **settings}
    return flow_proposal(sample_product(n, 4000), count, **settings)


@pytest.mark.extra
class TestFlow:
    def test_weights_are_the_density(self) -> None:
        rule = made(3).fit(20, draws(1)).draw(draws(2))
        expected = -rule.log_density(rule.nodes) - torch.log(torch.tensor(2000.0))
        assert torch.allclose(rule.log_weights, expected, atol=1e-6)
        x = rule.nodes[:3].clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda points: rule.log_density(points).sum(), x, atol=1e-4)

    def test_mass_is_one(self) -> None:
        rule = made(2, degrees=30, learning_rate=0.01).fit(30, draws(1))
        box = quadrature([-12.0, -16.0], [20.0, 16.0], [30, 30], dtype=torch.float64)
        with torch.no_grad():
            assert abs(float(box.log_partition(-rule.log_density(box.nodes)))) < 1e-3

    def test_learning_raises_the_effective_sample_size(self) -> None:
        rule = made(6, 4000, learning_rate=5e-3, transforms=4, hidden_features=(32,))
        before = rule.estimate(product(rule.nodes))
        rule.fit(100, draws(1))
        still = rule.frozen(4000, draws(2))
        found = still.estimate(product(still.nodes))
        assert found.effective_sample_size > 3 * before.effective_sample_size
        assert abs(found) < 4 * found.error < 0.08  # log Z = 0
        again = annealed(product, still, temperatures=5, generator=draws(3))
        better = again.estimate(product(again.nodes))
        assert abs(better) < 4 * better.error < 4 * found.error

    def test_energy_and_flow_learn_in_turn(self) -> None:
        rule = made(3, 400, learning_rate=0.01)
        x = sample_product(3, 1000)
        with torch.no_grad():
            before = rule.log_density(x).mean()
        energy = Energy.dense(3, (6,), generator=draws(1), dtype=torch.float64)
        history = fit(energy, x, rule=rule, steps=40, batch_size=64, learning_rate=0.02, note_every=40)
        assert history.epochs == 1
        with torch.no_grad():
            assert rule.log_density(x).mean() > before + 0.05
        assert rule.flow.seen is not None  # it learns from the energy's law as well
        still = rule.frozen(3000, draws(2))
        state = {name: value.clone() for name, value in still.flow.state_dict().items()}
        assert negative_log_likelihood(energy.finalise(), still.draw(draws(3)), x).effective_sample_size > 300
        assert all(torch.equal(value, state[name]) for name, value in still.flow.state_dict().items())

    def test_one_dimension_and_seeds(self) -> None:
        one, two = (made(1, 100).fit(3, draws(1)).draw(draws(2)) for _ in range(2))
        assert torch.equal(one.nodes, two.nodes)
        assert torch.allclose(one.log_weights, two.log_weights)
        with pytest.raises(ModelError, match="transforms"):
            made(2, transforms=0)


def test_without_zuko(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *arguments: Any, **settings: Any) -> Any:
        if name.startswith("zuko"):
            raise ImportError(name)
        return found(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"socicnn\[flows\]"):
        flow_proposal(sample_product(2, 100), 10)
