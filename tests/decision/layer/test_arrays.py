"""The layer's closed forms against what they replace: `freeze`, the module's own graph, and the batched faces."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from decision import Box, Budget, DecisionLayer, FeasibleSet, Simplex, surrogates
from decision._layer.network_tensors import NetworkTensors
from decision._minimise.compiled.method import installed
from decision._minimise.stack import Stack
from socicnn.errors import ModelError
from socicnn.nn import SOCICNN
from tests.support.cases import generator

SETS: Sequence[FeasibleSet] = [Simplex(6), Box(6, -0.4, 0.6), Budget(6, 2.0)]


def contexts(count: int = 8, features: int = 3) -> Tensor:
    return torch.randn(count, features, generator=generator(3), dtype=torch.float64)


def network(**options: Any) -> SOCICNN:
    """Return a network with branches of several lengths, in units that are not one."""
    settings: dict[str, Any] = {"hidden_features": (7,), "quadratic": ("diagonal", 4), "norm": (3, ("diagonal", 2), 3)}
    settings.update(context_features=3, context="partial", dtype=torch.float64, generator=generator(1))
    model = SOCICNN(6, **{**settings, **options})
    draw = generator(2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.rand(weight.shape, generator=draw, dtype=weight.dtype))
    model.standardise(
        x_mean=[0.1 * j for j in range(6)], x_scale=0.5, context_mean=0.2, context_scale=1.5, y_mean=3.0, y_scale=2.5
    )
    return model


NETWORKS = {
    "partial": lambda: network(),
    "joint": lambda: network(context="joint", quadratic_offset=True),
    "deep": lambda: network(hidden_features=(7, 5, 4), quadratic_offset=True),
    "projected": lambda: network(positivity="projected", norm=(2, 2)),
    "flat": lambda: network(hidden_features=()),
    "without branches": lambda: network(quadratic=(), norm=()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_numbers_are_those_of_freeze(name: str) -> None:
    model, theta = NETWORKS[name](), contexts()
    numbers = NetworkTensors.of(model, theta)
    assert numbers is not None
    expected, stack = Stack.of(model.freeze(theta)), numbers.stack()
    x = torch.rand(len(theta), 6, generator=generator(4), dtype=torch.float64)
    assert torch.allclose(stack.value(x), model(x, theta).detach(), rtol=1e-13, atol=0.0)
    assert torch.allclose(stack.value(x), expected.value(x), rtol=1e-13, atol=0.0)
    pairs = [(stack.w, expected.w), (stack.v, expected.v), (stack.c, expected.c)]
    for mine, other in zip((*stack.quadratics, *stack.norms), (*expected.quadratics, *expected.norms), strict=False):
        pairs += [(mine.matrix.dense, other.matrix.dense), (mine.offset, other.offset)] if not other.root else []
    for a, b in pairs:
        assert torch.allclose(a, b.expand(a.shape), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "options",
    [{"activation": "softplus"}, {"monotone": [1, 0, 0, 0, 0, -1]}, {"passthrough": False, "hidden_features": (5, 4)}],
    ids=["smooth", "monotone", "without passthrough"],
)
def test_what_has_more_parts_is_left_to_freeze(options: dict[str, Any]) -> None:
    assert NetworkTensors.of(network(**options), contexts()) is None


def test_contexts_and_weights_that_are_wrong_are_refused_as_by_freeze() -> None:
    model = network()
    layer = DecisionLayer(model, Simplex(6))
    with pytest.raises(ModelError, match="context"):
        layer(contexts(4, 2))
    with torch.no_grad():
        next(model.parameters())[0] = torch.nan
    with pytest.raises(ModelError, match="non-finite"):
        layer(contexts())


def gradients(model: nn.Module, feasible_set: FeasibleSet, theta: Tensor, price: float) -> list[Tensor]:
    """Return decisions, values and the gradients of both in contexts and weights, of the contexts that are exact."""
    layer, leaf = DecisionLayer(model, feasible_set), theta.clone().requires_grad_()
    x, value = layer.optimum(leaf)
    assert layer.polished is not None
    exact = layer.polished
    assert exact.double().mean() >= 0.9
    slope = exact[:, None] * torch.randn(x.shape, generator=generator(5), dtype=torch.float64)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    total = (slope * x).sum() + price * (exact * value).sum()
    return [
        exact.double(),
        x.detach(),
        value.detach(),
        *torch.autograd.grad(total, [leaf, *weights], materialize_grads=True),
    ]


def agree(a: Sequence[Tensor], b: Sequence[Tensor]) -> None:
    """Check that tensors agree to rounding, amplified by the faces' systems."""
    for mine, other in zip(a, b, strict=True):
        assert (mine - other).abs().max() <= 1e-9 * (1e-2 + float(other.abs().max()))


@pytest.mark.parametrize("feasible_set", SETS, ids=lambda X: X.name)
@pytest.mark.parametrize("name", NETWORKS)
def test_closed_forms_are_the_gradients_of_the_modules_own_graph(
    name: str, feasible_set: FeasibleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, theta = NETWORKS[name](), contexts()
    closed = gradients(model, feasible_set, theta, 0.7)
    monkeypatch.setattr("decision._layer.network_tensors.LARGEST", 0)
    assert NetworkTensors.of(model, theta) is None
    agree(closed, gradients(model, feasible_set, theta, 0.7))


@pytest.mark.extra
@pytest.mark.parametrize("feasible_set", SETS, ids=lambda X: X.name)
@pytest.mark.parametrize("kind", ["soc-partial", "relu-partial", "quad-joint"])
def test_compiled_faces_are_the_batched_ones(
    kind: str, feasible_set: FeasibleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    assert installed()
    model = surrogates.make(kind, 6, generator=generator(1), dtype=torch.float64, hidden_features=(9,))
    theta = contexts(16, 8)
    compiled = gradients(model, feasible_set, theta, 0.7)
    monkeypatch.setattr("decision._layer.compiled.method.installed", lambda: False)
    agree(compiled, gradients(model, feasible_set, theta, 0.7))


@pytest.mark.extra
def test_compiled_loops_leave_singular_faces_alone() -> None:
    pytest.importorskip("numba")
    from decision._layer.compiled.loops import adjoin, polish
    from decision._layer.compiled.state import ContextArrays, FaceArrays, place_for, room_for

    # v'x over a square at whose corner three constraints meet
    G = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    column = np.array([0, 1, 2, 0, 1])
    nothing, whole = np.zeros((0, 2)), np.zeros(0, dtype=np.int64)
    length = np.linalg.norm(G, axis=1)
    shared = FaceArrays(nothing, 0, whole, whole, np.zeros((0, 4)), G, 0, column, length)
    empty = np.zeros((1, 0))
    h = np.array([[1.0, 1.0, 2.0, 1.0, 1.0]])
    batch = ContextArrays(empty, empty, empty, np.array([[-1.0, -1.0]]), h, empty, np.ones((1, 1)))
    x, done = np.ones((1, 2)), np.ones(1, dtype=np.bool_)
    polish(shared, batch, x, 20, done, place_for(shared), room_for(shared))
    assert not done[0]
    assert (x == 1.0).all()
    answers = tuple(np.zeros((1, size)) for size in (0, 5, 2, 0, 5))
    done[:] = True
    adjoin(shared, batch, x, x, np.array([1e-10]), answers, done, place_for(shared), room_for(shared))
    assert not done[0]
