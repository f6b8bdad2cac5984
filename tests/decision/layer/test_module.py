import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from decision import Box, Budget, DecisionLayer, FeasibleSet, Simplex, decide, surrogates, tasks
from decision.baselines import StructuredPCF
from socicnn.errors import ModelError, SolverError
from socicnn.frozen import FrozenNet, Layer, Output, Quadratic, Squares
from socicnn.nn import ICNN, SOCICNN, ConvSOCICNN
from tests.contracts.networks import units
from tests.support.cases import generator
from tests.support.differences import central, directions_of

STEP = 1e-3
EXACT = {torch.float64: 1e-8, torch.float32: 1e-4}
SETS = [Simplex(10), Box(10, -0.4, 0.6), Budget(10, 3.0)]


def contexts(count: int, features: int = 8, seed: int = 3) -> Tensor:
    return torch.randn(count, features, generator=generator(seed), dtype=torch.float64)


def surrogate(kind: str, n: int, **options: object) -> nn.Module:
    return surrogates.make(kind, n, generator=generator(1), dtype=torch.float64, **options)


def slope_of(x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=generator(5), dtype=x.dtype)


def errors(
    layer: DecisionLayer,
    theta: Tensor,
    moved: Sequence[Tensor],
    leaves: Sequence[Tensor] | None = None,
    judged: DecisionLayer | None = None,
    step: float = STEP,
) -> Tensor:
    """Return the error of the derivative of a linear loss in each context, relative to the length of dx.

    Contexts whose face changes within the differences are left out: the quotients are not derivatives there.

    Args:
        layer: gives the differences.
        theta: contexts.
        moved: what is moved.
        leaves: the same tensors of the layer that is judged.
        judged: that layer, if it is another one.
        step: of the differences.
    """
    directions = directions_of(moved)
    leaves = moved if leaves is None else leaves
    dx = central(lambda: layer(theta), moved, directions, step)
    finer = central(lambda: layer(theta), moved, directions, 0.5 * step)
    x = (judged or layer)(theta)
    slope = slope_of(x)
    length = dx.norm(dim=1).clamp(min=1e-3)  # at a vertex nothing moves
    size = length * slope.norm(dim=1)
    smooth = (dx - finer).norm(dim=1) <= 1e-6 * length
    assert 2 * int(smooth.sum()) >= len(x), "most contexts ought to keep their face"
    found = []
    for i in smooth.nonzero()[:, 0].tolist():
        parts = torch.autograd.grad((slope[i] * x[i]).sum(), leaves, retain_graph=True, allow_unused=True)
        along = [(a * b).sum() for a, b in zip(parts, directions, strict=True) if a is not None]
        found.append((torch.stack(along).sum().double() - (slope[i] * finer[i]).sum()).abs() / size[i])
    return torch.stack(found)


@pytest.mark.parametrize("kind", ["soc-partial", "relu-partial", "quad-joint", "softplus-partial"])
@pytest.mark.parametrize("feasible_set", SETS, ids=lambda X: X.name)
def test_gradients_in_weights_are_those_of_differences(kind: str, feasible_set: FeasibleSet) -> None:
    model = surrogate(kind, 10, hidden_features=(12, 8))
    layer = DecisionLayer(model, feasible_set)
    assert errors(layer, contexts(6), list(model.parameters())).max() <= EXACT[torch.float64]
    assert layer.polished.all()


@pytest.mark.parametrize("kind", ["soc-partial", "soc-joint"])
def test_gradients_are_exact_in_fifty_dimensions(kind: str) -> None:
    layer = DecisionLayer(surrogate(kind, 50, hidden_features=(24,)), Simplex(50))
    assert errors(layer, contexts(4), list(layer.model.parameters())).max() <= EXACT[torch.float64]


@pytest.mark.parametrize("n", [10, 50])
def test_float32_models_get_float32_gradients(n: int) -> None:
    model = surrogate("soc-partial", n).float()
    layer, exact = DecisionLayer(model, Simplex(n)), DecisionLayer(copy.deepcopy(model).double(), Simplex(n))
    weights = list(model.parameters())
    assert errors(exact, contexts(6), list(exact.parameters()), weights, layer).max() <= EXACT[torch.float32]
    x = layer(contexts(6).float())
    assert x.dtype == torch.float64
    assert all(one.dtype == torch.float32 for one in torch.autograd.grad(x.sum(), weights, materialize_grads=True))


@pytest.mark.parametrize("kind", ["soc-partial", "relu-joint", "softplus-partial"])
def test_gradients_in_contexts_are_those_of_differences(kind: str) -> None:
    layer = DecisionLayer(surrogate(kind, 6, hidden_features=(8,)), Box(6, -1.0, 1.0))
    theta = contexts(6).requires_grad_()
    assert errors(layer, theta, [theta]).max() <= EXACT[torch.float64]


class Own(nn.Module):
    """A module that says nothing of itself: two layers of units, a norm and a quadratic, without a context."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.randn(5, n, generator=generator(2), dtype=torch.float64))
        self.b = nn.Parameter(torch.randn(5, generator=generator(3), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x)."""
        z = nn.functional.relu(x @ self.A.T + self.b)
        z = torch.relu(z @ torch.ones(5, 3, dtype=x.dtype) + x[:, :3])
        norm = torch.linalg.vector_norm(x @ self.A[:2].T - self.b[:2], dim=-1)
        return z.sum(dim=-1) + norm + (x - 0.3).square().sum(dim=-1)


def test_modules_of_ones_own_are_differentiated() -> None:
    layer = DecisionLayer(Own(4), Box(4, -1.0, 1.0))
    assert layer(None).shape == (4,)
    dx = central(
        lambda: layer(None)[None], list(layer.model.parameters()), directions_of(list(layer.model.parameters())), 1e-4
    )
    x = layer(None)
    slope = slope_of(x)
    found = torch.autograd.grad((slope * x).sum(), list(layer.model.parameters()))
    along = sum((a * b).sum() for a, b in zip(found, directions_of(list(layer.model.parameters())), strict=True))
    assert (along - (slope * dx[0]).sum()).abs() <= 1e-8 * slope.norm() * dx.norm()


def test_a_structured_model_is_differentiated() -> None:
    model = StructuredPCF(6, 3, rows=3, generator=generator(1), dtype=torch.float64)
    units(model)
    layer = DecisionLayer(model, Budget(6, 2.0))
    assert errors(layer, contexts(4, 3), list(model.parameters())).max() <= EXACT[torch.float64]


def test_images_are_differentiated() -> None:
    model = ConvSOCICNN((1, 3, 3), hidden_features=(2,), generator=generator(1), dtype=torch.float64)
    layer = DecisionLayer(model, Box(9, -1.0, 1.0))
    layer(None).sum().backward()
    assert all(one.grad is None or one.grad.isfinite().all() for one in model.parameters())


class Scalar(nn.Module):
    """A convex function of one coordinate, by name."""

    def __init__(self, shape: str) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor, theta: Tensor) -> Tensor:
        """Return f(x, theta)."""
        x, q = x[:, 0], theta[:, 0]
        if self.shape == "parabola":
            return (x - q).square()
        if self.shape == "unit":
            return torch.relu(x) + 0.5 * (x - q).square()
        return torch.linalg.vector_norm(torch.stack([x, 0.0 * x], dim=1), dim=1) + 0.5 * (x - q).square()


def slope_at(shape: str, q: float, lower: float, upper: float = 5.0) -> tuple[float, float]:
    """Return x and dx/dq."""
    theta = torch.tensor([[q]], dtype=torch.float64, requires_grad=True)
    x = DecisionLayer(Scalar(shape), Box(1, lower, upper))(theta)
    (slope,) = torch.autograd.grad(x.sum(), theta)
    return x.item(), slope.item()


@pytest.mark.parametrize(("q", "x", "slope"), [(-0.5, 0.0, 0.0), (0.0, 0.0, 0.0), (0.5, 0.5, 1.0), (1e-6, 1e-6, 1.0)])
def test_the_positive_part_has_slope_zero_at_zero(q: float, x: float, slope: float) -> None:
    assert slope_at("parabola", q, 0.0) == pytest.approx((x, slope), abs=1e-12)


@pytest.mark.parametrize(
    ("q", "x", "slope"),
    [(-0.5, -0.5, 1.0), (0.0, 0.0, 0.0), (0.4, 0.0, 0.0), (1.0, 0.0, 0.0), (1.5, 0.5, 1.0)],
)
def test_a_unit_holds_x_on_its_kink_from_end_to_end(q: float, x: float, slope: float) -> None:
    assert slope_at("unit", q, -5.0) == pytest.approx((x, slope), abs=1e-9)


@pytest.mark.parametrize(("q", "x", "slope"), [(-1.5, -0.5, 1.0), (-1.0, 0.0, 0.0), (0.3, 0.0, 0.0), (2.0, 1.0, 1.0)])
def test_a_norm_holds_x_on_its_kink(q: float, x: float, slope: float) -> None:
    assert slope_at("norm", q, -5.0) == pytest.approx((x, slope), abs=1e-9)


class Linear(nn.Module):
    """v'x, which a set of several minimisers or a vertex decides."""

    def __init__(self, v: Sequence[float]) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.tensor(v, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return v'x."""
        return x @ self.v


@pytest.mark.parametrize("v", [(1.0, 2.0, 3.0), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0)], ids=["vertex", "edge", "everywhere"])
@pytest.mark.parametrize(
    "feasible_set", [Simplex(3), Box(3, 0.0, [1.0, 0.0, 1.0]), Budget(3, 3.0)], ids=lambda X: X.name
)
def test_where_nothing_moves_x_its_slope_is_zero(v: tuple[float, ...], feasible_set: FeasibleSet) -> None:
    layer = DecisionLayer(Linear(v), feasible_set)
    x = layer()
    (slope,) = torch.autograd.grad((x * slope_of(x)).sum(), layer.model.v)
    assert torch.equal(slope, torch.zeros_like(slope))


@pytest.mark.parametrize("kind", ["soc-partial", "relu-joint", "softplus-partial"])
def test_optimal_values_have_the_envelopes_gradient(kind: str) -> None:
    layer = DecisionLayer(surrogate(kind, 6, hidden_features=(8,)), Budget(6, 2.0))
    theta = contexts(5).requires_grad_()
    moved = [theta, *layer.model.parameters()]
    directions = directions_of(moved)
    differences = central(lambda: layer.optimum(theta).value, moved, directions, 1e-3)
    finer = central(lambda: layer.optimum(theta).value, moved, directions, 5e-4)
    value = layer.optimum(theta).value
    assert torch.equal(value, layer.decision.value)
    smooth = ((differences - finer).abs() <= 1e-9).nonzero()[:, 0].tolist()
    assert len(smooth) >= 3
    for i in smooth:
        parts = torch.autograd.grad(value[i], moved, retain_graph=True, allow_unused=True)
        along = sum((a * b).sum() for a, b in zip(parts, directions, strict=True) if a is not None)
        assert (along - differences[i]).abs() <= 1e-8 * (1.0 + differences[i].abs())


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


def test_each_call_freezes_the_network_once_with_the_weights_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    model, theta, frozen = surrogate("soc-partial", 3), contexts(4), []
    freeze = type(model).freeze

    def counted(self: nn.Module, context: Tensor | None = None) -> FrozenNet:
        frozen.append(self)
        return freeze(self, context)

    monkeypatch.setattr(type(model), "freeze", counted)
    layer = DecisionLayer(model, Simplex(3))
    before = layer(theta)
    assert len(frozen) == 1
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator(2), dtype=weight.dtype))
    after = layer(theta)
    assert len(frozen) == 2
    assert not torch.allclose(before, after, rtol=0.0, atol=1e-6)
    assert torch.allclose(after, DecisionLayer(copy.deepcopy(model), Simplex(3))(theta), rtol=0.0, atol=1e-12)


class Bowl(nn.Module):
    """relu(||F x||^2 - 1) + ||x - target||^2: the kink of its unit is a curve, on which the decision slides."""

    def __init__(self) -> None:
        super().__init__()
        self.F = nn.Parameter(torch.tensor([[1.0, 0.2], [0.0, 1.5]], dtype=torch.float64))

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Return f(x, target)."""
        unit = torch.relu((x @ self.F.T).square().sum(dim=-1, keepdim=True) - 1.0)
        return unit[:, 0] + 0.5 * (x - target).square().sum(dim=-1)

    def freeze(self, context: object = None) -> FrozenNet:
        """Return the same as arrays."""
        squares = Squares([1.0], self.F.detach().numpy(), [0.0, 0.0])
        layer = Layer(None, np.zeros((1, 2)), [-1.0], squares)
        offset = -np.asarray(context)
        return FrozenNet([layer], Output([1.0], [0.0, 0.0]), [Quadratic(0.5, np.eye(2), offset)])


def test_a_decision_slides_along_a_curved_kink() -> None:
    layer = DecisionLayer(Bowl(), Box(2, -3.0, 3.0))
    theta = torch.tensor([[0.2, 0.1], [1.0, 0.5], [-0.8, 1.2], [6.0, 5.0]], dtype=torch.float64, requires_grad=True)
    x = layer(theta)
    assert layer.polished is not None
    assert layer.polished.all()
    on_curve = (x @ layer.model.F.T).square().sum(dim=1) - 1.0
    assert (on_curve.abs() < 1e-12).tolist() == [False, True, True, False]
    assert errors(layer, theta, [theta, layer.model.F], step=1e-4).max() <= EXACT[torch.float64]
