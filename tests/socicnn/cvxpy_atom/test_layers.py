"""Explicit Parameters fed by a function of torch: a layer of cvxpylayers whose decision is differentiable in theta."""

from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch

import socicnn
from socicnn._cvxpy_atom.build import to_cvxpy
from socicnn.errors import ModelError

MODES = ("joint", "partial")


def make(mode: str) -> socicnn.SOCICNN:
    torch.manual_seed(0)
    model = socicnn.SOCICNN(
        3,
        (6,),
        context_features=2,
        context=mode,
        options=socicnn.NetOptions(dtype=torch.float64),  # type: ignore[arg-type]
    )
    model.standardise(x_mean=[0.1, 0.2, 0.3], x_scale=[1.0, 2, 0.5], context_mean=[0.5, 0.0], y_scale=2.0)
    return model


def regularised(model: Any, context: Any) -> tuple[cp.Problem, cp.Variable, Any]:
    """Return f plus a strongly convex term over a simplex, so that the decision moves smoothly."""
    z = cp.Variable(3)
    cost = to_cvxpy(model, z, context)
    return cp.Problem(cp.Minimize(cost + cp.sum_squares(z)), [cp.sum(z) == 1, z >= 0]), z, cost


@pytest.mark.parametrize("mode", MODES)
def test_the_function_gives_the_values_of_the_parameters(mode: str) -> None:
    model = make(mode)
    given = socicnn.ContextParameters(model)
    problem, z, cost = regularised(model, given)
    assert problem.is_dpp()
    assert set(problem.parameters()) == set(given.parameters)
    theta = np.array([0.3, -1.2])
    given.assign(theta)
    fed = given(torch.as_tensor(theta))
    for parameter, value in zip(given.parameters, fed, strict=True):
        np.testing.assert_allclose(value.detach().numpy(), parameter.value, rtol=1e-13, atol=1e-13)
    wanted = regularised(model, theta)[0].solve(solver=cp.CLARABEL)
    assert problem.solve(solver=cp.CLARABEL) == pytest.approx(wanted, rel=1e-6)
    assert cost.value == pytest.approx(model.freeze(theta)(z.value)[0], rel=1e-12)
    batch = given(torch.as_tensor(theta).expand(4, 5, 2))
    assert [tuple(value.shape) for value in batch] == [(4, 5, *p.shape) for p in given.parameters]
    np.testing.assert_allclose(batch[0][2, 3].detach().numpy(), fed[0].detach().numpy(), rtol=1e-13, atol=1e-13)


def test_the_function_reads_weights_as_in_evaluation_mode() -> None:
    model = socicnn.SOCICNN(3, (6,), context_features=2, context="joint", positivity="noisy", dtype=torch.float64)
    given, theta = socicnn.ContextParameters(model), torch.tensor([0.3, -1.2], dtype=torch.float64)
    model.train()
    before = torch.get_rng_state()
    trained = given(theta)
    assert torch.equal(torch.get_rng_state(), before)  # no noise was drawn
    assert model.vectors.training
    assert all(value.requires_grad for value in trained)
    given.assign(theta)
    for parameter, value in zip(given.parameters, trained, strict=True):
        np.testing.assert_allclose(value.detach().numpy(), parameter.value, rtol=1e-13, atol=1e-13)


def test_contexts_far_from_zero_keep_their_digits_in_float32() -> None:
    model = make("partial").float()
    model.standardise(context_mean=[1.7e9, 2020.0])
    given = socicnn.ContextParameters(model)
    theta = np.array([1.7e9 + 0.3, 2020.1])
    given.assign(theta)
    for parameter, value in zip(given.parameters, given(torch.as_tensor(theta)), strict=True):
        np.testing.assert_allclose(value.detach().numpy(), parameter.value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_the_function_is_differentiable(mode: str) -> None:
    given = socicnn.ContextParameters(make(mode))
    theta = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(given, (theta,))


# cvxpylayers 1.2 hands NumPy tensors in a way that NumPy 2 calls deprecated
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("mode", MODES)
def test_decisions_of_a_layer_are_differentiable_in_theta_and_weights(mode: str) -> None:
    layers = pytest.importorskip("cvxpylayers.torch")
    model = make(mode)
    given = socicnn.ContextParameters(model)
    problem, z, _ = regularised(model, given)
    layer = layers.CvxpyLayer(problem, parameters=given.parameters, variables=[z])
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    loss = lambda theta: (layer(*given(theta))[0] @ weights).sum()  # noqa: E731 (local shorthand)
    theta = torch.tensor([[0.3, -1.2], [1.0, 0.4]], dtype=torch.float64, requires_grad=True)
    loss(theta).backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in model.vectors.parameters())

    def decided(point: np.ndarray) -> float:
        total = 0.0
        for one in point:
            other, x, _ = regularised(model, one)
            other.solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
            total += float(x.value @ weights.numpy())
        return total

    h, slope = 1e-2, np.zeros((2, 2))  # far above what a solver leaves of x
    for index in np.ndindex(2, 2):
        step = np.zeros((2, 2))
        step[index] = h
        value = theta.detach().numpy()
        slope[index] = (decided(value + step) - decided(value - step)) / (2 * h)
    assert np.abs(slope).max() > 0.1, "the case would not show anything"
    np.testing.assert_allclose(theta.grad.numpy(), slope, rtol=1e-2, atol=5e-4)


def test_what_is_refused() -> None:
    model = make("joint")
    given = socicnn.ContextParameters(model)
    with pytest.raises(ModelError, match="another network"):
        to_cvxpy(make("joint"), cp.Variable(3), given)
    with pytest.raises(ModelError, match=r"context must be a tensor of shape \(\*batch, 2\); received \(3,\)"):
        given(torch.zeros(3))
    with pytest.raises(ModelError, match="received ndarray"):
        given(np.zeros(2))  # type: ignore[arg-type]  # what a user may do
    with pytest.raises(ModelError, match="takes none"):
        socicnn.ContextParameters(socicnn.SOCICNN(3, (2,)))
