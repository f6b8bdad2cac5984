"""A model without `context_shape` over a set that moves: its signatures say whether it sees the set's contexts."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import socicnn
import verify
from decision import Ball, DecisionLayer, Polytope, decide, tasks
from decision.learning import Ensemble
from socicnn import SOCICNN
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Output, Quadratic

CONTEXTS = torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 0.0]], dtype=torch.float64)
UPPER = [[1.0, 1.0], [2.0, 0.5], [0.25, 4.0]]
BOXES = Polytope(lower=0.0, upper=UPPER)  # one for each context
NEAREST = CONTEXTS.clamp(min=0.0).minimum(torch.tensor(UPPER))


def squares(c: Any) -> FrozenNet:
    return FrozenNet([], Output(np.zeros(0), np.zeros(2)), [Quadratic(1.0, np.eye(2), -np.asarray(c))])


class Distance(nn.Module):
    """||y - c||^2, as docs/layer.md has it."""

    def forward(self, y: Tensor, c: Tensor) -> Tensor:
        return (y - c).square().sum(dim=-1)

    def freeze(self, c: Any) -> FrozenNet:
        return squares(c)


class FrozenOnly(nn.Module):
    """The arrays alone take the context."""

    def freeze(self, c: Any) -> FrozenNet:
        return squares(c)


class Optional(nn.Module):
    """As the protocol `Freezable` has it; `forward` says that a context is needed."""

    def forward(self, y: Tensor, c: Tensor) -> Tensor:
        return (y - c).square().sum(dim=-1)

    def freeze(self, context: Any = None) -> FrozenNet:
        return squares(context)


class Named(nn.Module):
    """A context that may be left out, by the name that networks give it."""

    def forward(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        return (y if context is None else y - context).square().sum(dim=-1)

    def freeze(self, context: Any = None) -> FrozenNet:
        return squares(np.zeros(2) if context is None else context)


class Plain(nn.Module):
    """||y - 1||^2, which takes no context."""

    def forward(self, y: Tensor, scale: float = 1.0) -> Tensor:
        return (scale * y - 1.0).square().sum(dim=-1)

    def freeze(self, context: Any = None) -> FrozenNet:
        assert context is None
        return squares(np.ones(2))


@pytest.mark.parametrize("kind", [Distance, FrozenOnly, Optional, Named])
def test_a_module_that_takes_a_context_sees_that_of_the_set(kind: type[nn.Module]) -> None:
    answer = decide(kind(), BOXES, CONTEXTS)
    assert answer.ok
    torch.testing.assert_close(answer.x, NEAREST, atol=2e-3, rtol=0.0)
    assert answer.context is not None


def test_a_module_that_takes_none_is_decided_over_sets_that_move() -> None:
    answer = decide(Plain(), BOXES, CONTEXTS)
    torch.testing.assert_close(answer.x, torch.tensor(UPPER).double().clamp(max=1.0), atol=2e-3, rtol=0.0)
    assert torch.equal(decide(Plain(), BOXES).x, answer.x)


@pytest.mark.parametrize("kind", [Distance, Optional, Named])
def test_a_layer_gives_it_to_the_module_and_gradients_come_back(kind: type[nn.Module]) -> None:
    radius = torch.tensor([[0.3], [0.4], [0.5]], dtype=torch.float64)
    theta = CONTEXTS.clone().requires_grad_()
    layer = DecisionLayer(kind(), Ball(2, radius=1.0))
    x = layer(theta, Ball(2, radius=radius))
    expected = CONTEXTS * radius / torch.linalg.vector_norm(CONTEXTS, dim=1, keepdim=True)
    torch.testing.assert_close(x, expected, atol=1e-9, rtol=0.0)
    x[:, 0].sum().backward()
    assert theta.grad is not None
    assert torch.linalg.vector_norm(theta.grad[0]) > 0.05


def test_ensembles_and_costs_of_tasks_say_what_they_take() -> None:
    def network(context: int) -> SOCICNN:
        draw = torch.Generator().manual_seed(0)
        return SOCICNN(2, (3,), (2,), (), context_features=context, context="partial", generator=draw).double()

    for context in (0, 2):
        single, double = network(context), Ensemble([network(context)] * 2)
        assert double.context_shape == single.context_shape
        gaps = decide(double, BOXES, CONTEXTS).value - decide(single, BOXES, CONTEXTS).value
        assert gaps.abs().max() < 1e-5
    task = tasks.make("simplex_socp", 2, seed=0)
    theta = task.sample_contexts(3, seed=1)
    assert task.context_shape == theta.shape[1:]
    answer = decide(task, BOXES, theta)
    torch.testing.assert_close(answer.value, task.cost(answer.x, theta))


def test_proofs_see_the_context_of_a_module_of_ones_own() -> None:
    context = np.array([1.0, 2.0])
    assert verify.Certifier(Distance())(np.zeros((1, 2)), context).ok
    for asked in (lambda: verify.certify(Distance(), np.zeros(2)), lambda: socicnn.value_program(Distance())):
        with pytest.raises(ModelError, match=r"context is missing: Distance\.freeze takes one"):
            asked()
