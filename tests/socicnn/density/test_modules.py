"""Anybody's convex modules as energies and flows, plain and lifted; what is not twice differentiable makes no flow."""

import math
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from socicnn import ICNN, SOCICNN
from socicnn.density import (
    ComposedFlow,
    ConvexModule,
    Energy,
    PotentialFlow,
    cloud,
    fit,
    fit_stacked,
    negative_log_likelihood,
    quadrature,
    target,
    total_variation,
)
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from socicnn.nn._network import Network
from socicnn.positivity import HyperNetwork, Lift
from tests.support.modules import Around


def module(n: int = 1, seed: int = 0, tagged: bool = True) -> nn.Sequential:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Linear(n, 16), nn.Softplus(), nn.Linear(16, 1)).double()
    made[2].weight._pos_required = tagged
    return made


class Quadratic(nn.Module):
    """x'x/2 times a number, by a class of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * self.scale * x.square().sum(dim=-1)


def tensors(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


class TestEnergy:
    def test_plain_module_learns_and_stays_convex(self) -> None:
        energy = Energy(module())
        fit(energy, target("gumbel"), steps=300, batch_size=64, learning_rate=0.03)
        plain = energy.finalise()
        assert isinstance(plain.network, ConvexModule)
        assert bool((plain.network.module[2].weight >= 0).all())
        before = Energy(module())
        assert total_variation(plain, target("gumbel")) < 0.1 < 0.2 < total_variation(before, target("gumbel"))

    def test_lifted_module_ends_as_the_module(self) -> None:
        lifted = HyperNetwork(1, (8, 8), module())
        energy = Energy(lifted)
        assert energy.needs_data
        fit(energy, target("gumbel"), steps=200, batch_size=64, learning_rate=0.02)
        with pytest.raises(ModelError, match="requires the training data"):
            energy.finalise()
        data = target("gumbel").sample(500, torch.Generator().manual_seed(1), torch.float64)
        plain = energy.finalise(data)
        assert not plain.needs_data
        expected = lifted.finalise(data)(data)[:, 0] + 0.01 * data.square().sum(dim=1)
        assert torch.allclose(plain(data), expected)
        assert total_variation(plain, target("gumbel")) < 0.1

    def test_the_batch_conditions_a_lift_not_the_nodes(self) -> None:
        lifted = HyperNetwork(1, (8, 8), module())
        with torch.no_grad():
            for parameter in lifted.weights.parameters():
                parameter.normal_(generator=torch.Generator().manual_seed(0))
        energy, x = Energy(lifted, 0.5), target("gumbel").sample(40, torch.Generator().manual_seed(1), torch.float64)
        rule = quadrature([-9.0], [30.0], dtype=torch.float64)
        energy.condition(x)
        values = lifted(torch.cat([x, rule.nodes]), condition=x)[:, 0]
        values = values + 0.25 * torch.cat([x, rule.nodes]).square()[:, 0]
        expected = values[:40].mean() + rule.log_partition(values[40:])
        assert torch.allclose(energy.objective(x, rule), expected)

    @pytest.mark.parametrize("recipe", ["projected", "admm"])
    def test_networks_inside_a_module_stay_convex(self, recipe: Literal["projected", "admm"]) -> None:
        draw = torch.Generator().manual_seed(1)
        net = ICNN(1, (8, 8), activation="softplus", positivity=recipe, generator=draw, dtype=torch.float64)
        energy = Energy(Around(net), in_features=1)
        fit(energy, target("gumbel"), steps=60, batch_size=32, learning_rate=0.05)
        assert (float(energy.penalty().detach()) > 0) == (recipe == "admm")
        plain = energy.finalise()
        inner = plain.network.module
        assert isinstance(inner, Around)
        weights = [weight().detach() for _, weight in inner.net.constrained()]
        assert min(float(weight.min()) for weight in weights) >= 0
        x = target("gumbel").sample(20, draw, torch.float64)
        assert torch.equal(plain(x), inner(x) + 0.01 * x.square().sum(dim=1))
        assert isinstance(inner.net.freeze(), FrozenNet)  # which refuses negative weights

    def test_module_of_ones_own(self) -> None:
        with pytest.raises(ModelError, match="give `in_features=n`"):
            Energy(Quadratic())
        energy = Energy(Quadratic(), 0.0, in_features=2)
        rule = quadrature([-9.0, -9.0], [9.0, 9.0], [6, 6], dtype=torch.float64)
        assert negative_log_likelihood(energy, rule, [[0.0, 0.0]]) == pytest.approx(math.log(2 * math.pi))

    @pytest.mark.parametrize("lift", [False, True])
    def test_stacked_is_one_by_one(self, lift: bool) -> None:
        def energies() -> list[Energy]:
            draw = torch.Generator().manual_seed(5)
            made = [module(seed=seed) for seed in range(3)]
            return [Energy(HyperNetwork(1, (4,), m, generator=draw) if lift else m) for m in made]

        one, many = energies(), energies()
        for seed, energy in enumerate(one):
            fit(energy, target("gumbel"), seed=seed, steps=6, batch_size=8)
        fit_stacked(many, target("gumbel"), steps=6, batch_size=8)
        for a, b in zip(one, many, strict=True):
            assert torch.allclose(tensors(a), tensors(b), rtol=1e-6, atol=1e-8)
        with pytest.raises(ModelError, match="share architecture"):
            fit_stacked([energies()[0], Energy(nn.Sequential(nn.Linear(1, 3), nn.Softplus(), nn.Linear(3, 1)))], "beta")

    @pytest.mark.parametrize(
        ("given", "settings", "message"),
        [
            ("icnn", {}, "received str"),
            (lambda x: x, {}, "received function"),
            (nn.Softplus(), {"in_features": 2}, "no floating parameters"),
            (Quadratic(), {"in_features": 0}, "in_features must be an integer >= 1"),
            (Quadratic(), {"in_features": True}, "in_features must be an integer >= 1"),
        ],
    )
    def test_what_is_no_module_is_refused(self, given: nn.Module, settings: dict[str, int], message: str) -> None:
        for kind in (Energy, PotentialFlow):
            with pytest.raises(ModelError, match=message):
                kind(given, **settings)  # type: ignore[arg-type]  # what is refused

    def test_shapes_that_do_not_fit_are_named(self) -> None:
        vector = nn.Sequential(nn.Linear(2, 3)).double()
        with pytest.raises(ModelError, match=r"one value per point, shape \(5,\) or \(5, 1\); received \(5, 3\)"):
            Energy(vector)(torch.zeros(5, 2, dtype=torch.float64))
        with pytest.raises(ModelError, match=r"x must have shape \(\*batch, 2\)"):
            ConvexModule(vector)(torch.zeros(5, 3, dtype=torch.float64))


class Concave(nn.Module):
    """-size x'x, whose author is wrong about it."""

    twice_differentiable = True

    def __init__(self, size: float) -> None:
        super().__init__()
        self.size = nn.Parameter(torch.tensor(size, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return -self.size * x.square().sum(dim=-1)


class TestFlow:
    @pytest.mark.parametrize("log_det", ["exact", "stochastic"])
    def test_a_potential_that_is_not_convex_has_no_likelihood(self, log_det: Literal["exact", "stochastic"]) -> None:
        """|det| knows no sign: log p was finite, and the mass of such a law is not one."""
        x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        for size, bent in ((3.0, 40), (0.5, 40), (0.0, 0)):  # curvature below zero, below its bound, at its bound
            flow = PotentialFlow(Concave(size), in_features=2, log_det=log_det)
            made = ComposedFlow([PotentialFlow.dense(2, (3,), dtype=torch.float64), flow])
            for model in (flow, made):
                if not bent:
                    assert negative_log_likelihood(model, None, x).ok
                    continue
                with pytest.raises(ModelError, match=f"not convex at {bent} of 40 points"):
                    negative_log_likelihood(model, None, x)
        history = fit(PotentialFlow(Concave(3.0), in_features=2, log_det=log_det), x, steps=2, batch_size=8)
        assert math.isfinite(history.value)  # a module may start there, and come out of it

    @pytest.mark.parametrize("lift", [False, True])
    def test_modules_make_flows(self, lift: bool) -> None:
        law = cloud("eight_gaussians")
        network: nn.Module = HyperNetwork(2, (8, 8), module(2)) if lift else module(2)
        flow = PotentialFlow(network)
        history = fit(flow, law, steps=40, batch_size=64, learning_rate=0.03, note_every=10)
        assert history.train[-1] < history.train[0]
        plain = flow.finalise(law.sample(200, torch.Generator().manual_seed(0), torch.float64))
        axis = torch.linspace(-12, 12, 300, dtype=torch.float64)
        x = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).reshape(-1, 2)
        mass = plain.log_density(x).detach().exp().sum() * (axis[1] - axis[0]) ** 2
        assert float(mass) == pytest.approx(1.0, abs=1e-3)
        z = plain.transport(x[::9000]).detach()
        assert torch.allclose(plain.inverse(z), x[::9000], atol=1e-6)

    def test_quadratic_branches_are_smooth(self) -> None:
        network = SOCICNN(1, (6,), (1, "diagonal"), (), activation="softplus", dtype=torch.float64)
        flow = PotentialFlow(network)
        with torch.no_grad():
            flow.w1.fill_(1.0)
        rule = quadrature([-30.0], [30.0], [200], dtype=torch.float64)
        assert float(rule.log_partition(-flow.log_density(rule.nodes).detach())) == pytest.approx(0.0, abs=1e-8)

    @pytest.mark.parametrize(
        ("network", "message"),
        [
            (lambda: ICNN(2, (4,)), "'relu', which has a kink"),
            (lambda: ICNN(2, (4, 4), activation=("softplus", "relu")), "'relu', which has a kink"),
            (lambda: SOCICNN(2, (4,), activation="softplus", norm=(2, 1)), "2 norm branches"),
            (lambda: SOCICNN(2, (4,), activation="softplus"), "1 norm branch"),
            (lambda: SOCICNN(2, (4,), activation="softplus", norm=("diagonal",), positivity=Lift()), "1 norm branch"),
            (lambda: nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)), "ReLU is not among"),
            (lambda: nn.Sequential(nn.Linear(2, 4), nn.ELU(), nn.Linear(4, 1)), "ELU is not among"),
            (lambda: nn.Sequential(nn.Linear(2, 4), nn.Softplus(threshold=1), nn.Linear(4, 1)), "threshold=1"),
        ],
    )
    def test_what_has_a_kink_is_refused_by_name(self, network: object, message: str) -> None:
        assert callable(network)
        with pytest.raises(ModelError, match=f"twice differentiable: .*{message}"):
            PotentialFlow(network())

    def test_what_declares_itself_is_taken_at_its_word(self) -> None:
        own = Quadratic()
        with pytest.raises(ModelError, match="Quadratic is not among"):
            PotentialFlow(own, in_features=2)
        own.twice_differentiable = True  # type: ignore[assignment]  # a word, not a tensor
        x = torch.zeros(1, 2, dtype=torch.float64)
        flow = PotentialFlow(own, in_features=2)
        with torch.no_grad():
            curvature = nn.functional.softplus(flow.w1) + nn.functional.softplus(flow.w0) + 0.05
            assert torch.allclose(flow.log_density(x), curvature.log() * 2 - math.log(2 * math.pi))
        own.twice_differentiable = False  # type: ignore[assignment]
        with pytest.raises(ModelError, match="declares twice_differentiable = False"):
            PotentialFlow(own, in_features=2)


def test_networks_are_taken_as_they_are() -> None:
    network = ICNN(2, (4,), activation="softplus")
    assert Energy(network).network is network
    assert isinstance(Energy(network).network, Network)
