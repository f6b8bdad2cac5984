"""Gradients of decisions are those of differences: in weights, contexts, modules of any kind."""

import copy

import pytest
import torch
from torch import Tensor, nn

from decision import Box, Budget, DecisionLayer, FeasibleSet, Simplex
from decision.baselines import StructuredPCF
from socicnn.nn import ConvSOCICNN
from tests.contracts.networks import units
from tests.support.cases import generator
from tests.support.differences import central, directions_of
from tests.support.layers import EXACT, contexts, errors, slope_of, surrogate

SETS = [Simplex(10), Box(10, -0.4, 0.6), Budget(10, 3.0)]


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
