"""A stack of networks in torch is the frozen networks, whatever their matrices."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from decision import Box, Simplex, decide
from decision._minimise import reference
from decision._minimise.linear_map import Map
from decision._minimise.smoothed_stack import smoothed, tangent
from decision._minimise.stack import Stack, alike
from decision._minimise.stack_surrogate import StackSurrogate
from decision._options import MethodName
from socicnn.frozen import FrozenNet, Layer, Norm, Output
from tests.support.stacks import random_stack

WIDTHS = [(), (1,), (6,), (9, 7), (5, 1, 6)]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("widths", WIDTHS)
def test_value_is_the_frozen_networks(widths: tuple[int, ...], inside: bool) -> None:
    net = random_stack(0, widths=widths, inside=inside)
    x = np.random.default_rng(1).normal(size=(4, 5))
    stack = Stack.of(net)
    np.testing.assert_allclose(stack.value(torch.as_tensor(x)).numpy(), net(x), rtol=1e-13)
    np.testing.assert_allclose(stack.take(torch.tensor([2])).value(torch.as_tensor(x[2:3])).numpy(), net[2](x[2:3]))
    short = stack.to(torch.float32).value(torch.as_tensor(x, dtype=torch.float32))
    assert short.dtype == torch.float32
    np.testing.assert_allclose(short.numpy(), net(x), rtol=1e-5, atol=1e-5)


def test_one_context_is_a_stack_of_one() -> None:
    net = random_stack(0)[1]
    x = np.ones((1, 5))
    np.testing.assert_allclose(Stack.of(net).value(torch.as_tensor(x)).numpy(), net(x), rtol=1e-13)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("widths", WIDTHS)
def test_rounded_is_above_and_its_tangent_below_and_right(widths: tuple[int, ...], inside: bool) -> None:
    net = random_stack(3, widths=widths, inside=inside)
    stack = Stack.of(net)
    generator = torch.Generator().manual_seed(0)
    x, other = (torch.randn(4, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    for width in (1.0, 1e-3, 1e-9):
        delta = torch.full((4,), width, dtype=torch.float64)
        at = smoothed(stack, x, delta)
        found = tangent(stack, at)
        gradient, minorant = found.gradient, found.minorant
        assert (at.value >= stack.value(x) - 1e-12).all()
        # the gradient is that of the rounded value, and the minorant is below f everywhere
        point = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(smoothed(stack, point, delta).value.sum(), point)
        torch.testing.assert_close(gradient, slope, rtol=1e-6, atol=1e-6)
        assert (minorant + (gradient * (other - x)).sum(dim=1) <= stack.value(other) + 1e-10).all()
    torch.testing.assert_close(at.value, stack.value(x))


def test_rounding_leaves_the_stack_as_it_was() -> None:
    stack = Stack.of(random_stack(0, widths=(4, 3, 2)))
    before = [layer.b.clone() for layer in stack.layers]
    x = torch.zeros(4, 5, dtype=torch.float64)
    smoothed(stack, x, torch.ones(4, dtype=torch.float64))
    for layer, b in zip(stack.layers, before, strict=True):
        assert torch.equal(layer.b, b)


@pytest.mark.parametrize("widths", WIDTHS)
def test_hessians_with_quadratics_inside_layers_are_those_of_the_gradient(widths: tuple[int, ...]) -> None:
    surrogate = StackSurrogate.of(random_stack(3, widths=widths, inside=bool(widths)))
    x = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    delta = torch.linspace(0.2, 1.0, 4, dtype=torch.float64)
    _, hessian = surrogate.hessian(x, delta)
    for j, step in enumerate(1e-5 * torch.eye(5, dtype=torch.float64)):
        ends = (surrogate.smooth(x + step, delta).gradient - surrogate.smooth(x - step, delta).gradient) / 2e-5
        torch.testing.assert_close(hessian[:, :, j], ends, rtol=1e-7, atol=1e-7)


def with_many_norms(contexts: int = 4) -> FrozenNet:
    """Return a stack whose norms have 2, 3, 2, 2 x 2 and 2 rows, one of them sparse, with weights of their own."""
    rng = np.random.default_rng(5)
    C = [rng.normal(size=(rows, 5)) for rows in (2, 3, 2, 4, 2)]
    C[4] = sparse.csr_array(C[4])
    groups = (2, 3, 2, 2, 2)
    norms = [
        Norm(rng.random(contexts), one, rng.normal(size=(contexts, one.shape[0])), group)
        for one, group in zip(C, groups, strict=True)
    ]
    return replace(random_stack(5), norms=norms)


@pytest.mark.parametrize("method", ["exact", "interior_point", "projected_gradient"])
def test_a_first_layer_without_passthrough_is_minimised(method: MethodName) -> None:
    """f(x) = relu(1 + x_1 - x_2) + ||x||, whose first layer is the constant 1."""
    layers = [Layer(None, None, [1.0]), Layer([[1.0]], [[1.0, -1.0]], [0.0])]
    net = FrozenNet(layers, Output([1.0], [0.0, 0.0]), norms=[Norm(1.0, np.eye(2))])
    decided = decide(net, Simplex(2), method=method)
    t = np.linspace(0.0, 1.0, 100_001)
    values = net(np.stack([t, 1.0 - t], axis=1))
    assert decided.ok
    assert values.min() - 1e-9 <= decided.value[0] <= values.min() + 1e-5
    assert decided.value[0] - decided.gap[0] <= values.min()


def test_norms_of_equal_size_are_one_branch() -> None:
    net = with_many_norms()
    assert alike(net.norms) == [[0, 2, 3], [1], [4]]
    stack = Stack.of(net)
    assert [tuple(one.weight.shape) for one in stack.norms] == [(4, 4), (4, 1), (4, 1)]
    x = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(stack.value(x).numpy(), net(x.numpy()), rtol=1e-13)
    weight = torch.rand(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    blocks = stack.norms[0].matrix.dense.reshape(4, 2, 5)
    curvature = torch.einsum("cg,gij,gik->cjk", weight, blocks, blocks)
    torch.testing.assert_close(stack.norms[0].curvature(weight), curvature)


@pytest.mark.parametrize("method", ["exact", "interior_point", "projected_gradient"])
def test_decisions_with_merged_norms_are_proven_by_each_method(method: MethodName) -> None:
    net = with_many_norms()
    found = decide(net, Simplex(5), method=method)
    assert found.ok
    reference = decide(net, Simplex(5), method="interior_point", rtol=1e-9)
    assert ((found.value - reference.value).abs() <= found.gap + reference.gap).all()


def sparse_net() -> FrozenNet:
    """Return a network whose layers are sparse."""
    draw = np.random.default_rng(3)
    U, W = (sparse.csr_array(draw.normal(size=(6, n)) * (draw.random((6, n)) < 0.5)) for n in (3, 6))
    layers = [Layer(None, U, draw.normal(size=6)), Layer(abs(W), U, draw.normal(size=6))]
    return FrozenNet(layers, Output(np.ones(6), np.ones(3), 0.5))


def test_points_of_a_grid_are_turned_once_for_all_sparse_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    net, seen = sparse_net(), []
    stack, points = Stack.of(net), torch.randn(7, 3, dtype=torch.float64)
    plain = Map.apply

    def spy(matrix: Map, rows: torch.Tensor) -> torch.Tensor:
        seen.append((matrix.shape[1], rows.T.is_contiguous()))
        return plain(matrix, rows)

    monkeypatch.setattr(Map, "apply", spy)
    np.testing.assert_allclose(stack.grid(points)[0].numpy(), net(points.numpy()), rtol=1e-13)
    assert [turned for columns, turned in seen if columns == 3] == [True, True]


def test_wide_points_are_evaluated_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    surrogate, at = StackSurrogate.of(sparse_net()), reference.Reference.of(Box(3))
    whole, counts = at.largest(surrogate), []
    plain = StackSurrogate.grid

    def spy(networks: StackSurrogate, points: torch.Tensor) -> torch.Tensor:
        counts.append(len(points))
        return plain(networks, points)

    monkeypatch.setattr(StackSurrogate, "grid", spy)
    monkeypatch.setattr(reference, "ENTRIES", 12)
    torch.testing.assert_close(at.largest(surrogate), whole)
    assert counts == [4, 4, 4, 1]
