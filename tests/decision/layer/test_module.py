"""The layer as a module: its decisions are those of `decide`, one freeze per call, and what it refuses."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from decision import Box, DecisionLayer, Simplex, decide, tasks
from socicnn.errors import ModelError, SolverError
from socicnn.frozen import FrozenNet
from socicnn.nn import ICNN, SOCICNN
from tests.support.cases import generator
from tests.support.layers import contexts, slope_of, surrogate


def test_decisions_are_those_of_decide() -> None:
    model, theta = surrogate("soc-partial", 6), contexts(5)
    layer, answer = DecisionLayer(model, Simplex(6)), decide(model, Simplex(6), theta)
    x = layer(theta)
    assert layer.decision.certified.all()
    assert layer.polished.all()
    assert (layer.decision.value <= answer.value).all()
    assert torch.equal(x.detach(), layer.decision.x)
    assert torch.allclose(layer(theta[2]), x[2], rtol=0.0, atol=1e-12)


def test_without_gradients_no_graph_is_kept() -> None:
    layer = DecisionLayer(surrogate("softplus-partial", 4), Simplex(4))
    with torch.no_grad():
        x = layer(contexts(2))
    assert not x.requires_grad
    assert torch.equal(layer(contexts(2)).detach(), x)


class Dropped(nn.Module):
    """A module of one's own that differs in training."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.dropout = nn.Linear(3, 3).double(), nn.Dropout(0.5)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return (self.dropout(self.linear(x)) - context[:, :1]).square().sum(dim=-1)


NOISY: dict[str, Any] = {"context_features": 2, "positivity": "noisy", "dtype": torch.float64}


@pytest.mark.parametrize(
    "make",
    [
        lambda: SOCICNN(3, (6, 6), (3,), (2,), context="joint", generator=generator(0), **NOISY),
        lambda: SOCICNN(3, (6, 6), activation="softplus", generator=generator(0), **NOISY),
        lambda: SOCICNN(3, (6, 6), activation="leaky_relu", generator=generator(0), **NOISY),
        Dropped,
    ],
    ids=["joint", "softplus", "leaky_relu", "module"],
)
def test_weights_are_read_as_in_evaluation_mode(make) -> None:
    torch.manual_seed(0)
    model, theta = make(), contexts(4, 2).requires_grad_()
    layer = DecisionLayer(model, Box(3, -0.5, 1.0))
    results = []
    for training in (True, False):
        layer.train(training)
        before = torch.get_rng_state()
        optimum = layer.optimum(theta)
        total = optimum.x.square().sum() + optimum.value.sum()
        slopes = torch.autograd.grad(total, [theta, *model.parameters()], allow_unused=True)
        assert torch.equal(torch.get_rng_state(), before)  # nothing was drawn
        assert all(part.training is training for part in model.modules())
        assert slopes[0] is not None
        results.append([optimum.x, optimum.value, *(slope for slope in slopes if slope is not None)])
    for trained, evaluated in zip(*results, strict=True):
        assert torch.equal(trained, evaluated)


def test_second_derivatives_are_refused() -> None:
    layer = DecisionLayer(surrogate("soc-partial", 4), Simplex(4))
    theta = contexts(2).requires_grad_()
    (slope,) = torch.autograd.grad(layer(theta).square().sum(), theta, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_a_decision_without_its_certificate_is_an_error() -> None:
    layer = DecisionLayer(surrogate("soc-partial", 4), Simplex(4), rtol=1e-15, method="projected_gradient")
    with pytest.raises(SolverError, match="not certified to a relative gap of 1e-15"):
        layer(contexts(3))


def test_models_that_cannot_be_differentiated_are_refused() -> None:
    with pytest.raises(ModelError, match="needs a torch module; received FrozenNet"):
        DecisionLayer(SOCICNN(3, hidden_features=(4,)).freeze(), Simplex(3))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="finalise"):
        DecisionLayer(ICNN(3, hidden_features=(4, 4), positivity="lift"), Simplex(3))


def test_options_of_another_kind_are_refused() -> None:
    with pytest.raises(ModelError, match=r"options must be a DecideOptions\(\.\.\.\); received dict"):
        DecisionLayer(SOCICNN(3, (4,)), Simplex(3), options={"jobs": 2})


def test_a_training_step_lowers_the_true_cost() -> None:
    task = tasks.make("simplex_socp", features=5, seed=0)
    model, theta = surrogate("soc-partial", 5), task.sample_contexts(32, seed=1)
    layer, losses = DecisionLayer(model, task.feasible_set), []
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-2)
    for _ in range(6):
        loss = task.cost(layer(theta), theta).mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < losses[0] - 0.1 * abs(losses[0])


@pytest.mark.parametrize("width", [1.0, 1e3, 1e6])
def test_bounds_that_are_far_away_change_nothing(width: float) -> None:
    theta = contexts(4).requires_grad_()
    x = DecisionLayer(surrogate("soc-partial", 4), Box(4, -3.0 * width, 3.0 * width))(theta)
    near = DecisionLayer(surrogate("soc-partial", 4), Box(4, -3.0, 3.0))(theta)
    inside = near.detach().abs().amax(dim=1) < 2.9
    assert inside.any()
    slopes = [torch.autograd.grad((slope_of(x) * one)[inside].sum(), theta)[0] for one in (x, near)]
    assert torch.allclose(x[inside], near[inside], rtol=0.0, atol=1e-9)
    assert torch.allclose(*slopes, rtol=0.0, atol=1e-8)


class Bent(nn.Module):
    """(x - q)^2 + relu(x) / 100, without a program."""

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        """Return f(x, q)."""
        return (x - q).square().sum(dim=-1) + 0.01 * torch.relu(x).sum(dim=-1)


def test_bounds_that_are_far_away_do_not_bring_a_module_to_its_kink() -> None:
    q = torch.tensor([[-0.05]], dtype=torch.float64, requires_grad=True)
    x = DecisionLayer(Bent(), Box(1, -1e9, 1e9))(q)
    x.sum().backward()
    assert x.item() == pytest.approx(-0.05, abs=1e-12)
    assert q.grad is not None
    assert q.grad.item() == pytest.approx(1.0)


def test_a_gap_counts_what_f_has_risen_by_at_the_polished_point(monkeypatch: pytest.MonkeyPatch) -> None:
    model, theta = surrogate("soc-partial", 5), contexts(6)
    best = decide(model, Simplex(5), theta, rtol=5e-10)

    def nearly(objective: Any, rows: Any, h: Tensor, x: Tensor, y: Any = None) -> tuple[Tensor, Tensor]:
        risen = x
        for step in 2.0 ** -torch.arange(20.0, 40.0):  # the longest step that is still taken for rounding
            moved = x + step * (0.2 - x)
            small = objective.value(moved) - best.value <= 0.9e-9 * best.scale
            risen = torch.where(small[:, None] & (risen == x).all(dim=1, keepdim=True), moved, risen)
        return risen, torch.ones(len(x), dtype=torch.bool)

    monkeypatch.setattr("decision._layer.module.polished", nearly)
    for rtol in (5e-10, 1e-8):
        layer = DecisionLayer(model, Simplex(5), rtol=rtol)
        layer(theta)
        assert layer.decision is not None
        assert layer.decision.ok
        assert (layer.decision.value - layer.decision.gap <= best.value + 1e-15).all()
        assert layer.decision.violation is not None
        assert (layer.decision.violation <= 1e-15).all()


@pytest.mark.parametrize("kind", ["soc-partial", "softplus-partial"])
def test_no_contexts_have_no_decisions_and_no_gradients(kind: str) -> None:
    model, theta = surrogate(kind, 3), contexts(2)[:0].requires_grad_()
    x, value = DecisionLayer(model, Simplex(3))(theta), DecisionLayer(model, Simplex(3)).optimum(theta).value
    assert x.shape == (0, 3)
    assert value.shape == (0,)
    (x.sum() + value.sum()).backward()
    assert theta.grad is not None
    assert theta.grad.shape == theta.shape
    assert all(weight.grad is None or not weight.grad.any() for weight in model.parameters())


def test_contexts_may_be_arrays_and_lists() -> None:
    layer, theta = DecisionLayer(surrogate("soc-partial", 3), Simplex(3)), contexts(2)
    for values in (theta.numpy(), theta.tolist()):
        assert torch.equal(layer(values), layer(theta))
    assert layer(theta[0].numpy()).shape == (3,)


@pytest.mark.parametrize("power", [-20, 20])
def test_units_of_x_and_f_change_nothing(power: int) -> None:
    unit = 2.0**power

    class InUnits(nn.Module):
        """f(x / unit) unit."""

        def __init__(self) -> None:
            super().__init__()
            self.net = surrogate("softplus-partial", 3)

        def forward(self, x: Tensor, theta: Tensor) -> Tensor:
            """Return f(x, theta)."""
            return unit * self.net(x / unit, theta)

    theta = contexts(3).requires_grad_()
    plain = DecisionLayer(surrogate("softplus-partial", 3), Box(3, -1.0, 1.0))(theta)
    scaled = DecisionLayer(InUnits(), Box(3, -unit, unit))(theta)
    slopes = [torch.autograd.grad((slope_of(plain) * x).sum(), theta)[0] for x in (plain, scaled / unit)]
    assert torch.allclose(scaled / unit, plain, rtol=0.0, atol=1e-12)
    assert torch.allclose(*slopes, rtol=1e-9, atol=1e-11)


def test_what_is_not_polished_is_as_accurate_as_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    model, theta = surrogate("soc-partial", 5), contexts(6).requires_grad_()
    x = DecisionLayer(model, Simplex(5))(theta)
    monkeypatch.setattr("decision._layer.polish.ROUNDS", 0)
    rough = DecisionLayer(model, Simplex(5), rtol=1e-8)
    near = rough(theta)
    assert rough.polished is not None
    assert not rough.polished.any()
    assert torch.allclose(x, near, rtol=0.0, atol=1e-4)
    assert torch.autograd.grad((slope_of(x) * near).sum(), theta)[0].isfinite().all()


def test_each_call_decides_with_the_weights_of_now() -> None:
    model, theta = surrogate("soc-partial", 3), contexts(4)
    layer = DecisionLayer(model, Simplex(3))
    before = layer(theta)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator(2), dtype=weight.dtype))
    after = layer(theta)
    assert not torch.allclose(before, after, rtol=0.0, atol=1e-6)
    assert torch.allclose(after, DecisionLayer(copy.deepcopy(model), Simplex(3))(theta), rtol=0.0, atol=1e-12)


def test_arrays_are_read_once_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    model, theta, frozen = surrogate("soc-partial", 3), contexts(4), []
    freeze = type(model).freeze

    def counted(self: nn.Module, context: Tensor | None = None) -> FrozenNet:
        frozen.append(self)
        return freeze(self, context)

    monkeypatch.setattr(type(model), "freeze", counted)
    DecisionLayer(model, Simplex(3))(theta)
    assert not frozen  # the numbers are read off the model
    monkeypatch.setattr("decision._layer.network_tensors.LARGEST", 2)
    DecisionLayer(model, Simplex(3))(theta)
    assert len(frozen) == 1
