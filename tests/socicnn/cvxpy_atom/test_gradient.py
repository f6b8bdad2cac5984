"""The cost's gradient is that of the network: tangents lie below f, and convex-concave steps go down."""

import cvxpy as cp
import numpy as np
import pytest
import torch

import socicnn
from socicnn._cvxpy_atom.build import to_cvxpy
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Norm, Output
from tests.support.frozen_nets import NETS, random_net


@pytest.mark.parametrize("shape", [(4,), (4, 1), (1, 4)])
def test_gradient_is_that_of_torch(shape: tuple[int, ...]) -> None:
    model = socicnn.SOCICNN(4, (8, 8), options=socicnn.NetOptions(dtype=torch.float64))
    model.standardise(x_mean=[1.0, 2, 3, 4], x_scale=[0.5, 1, 2, 4], y_mean=3.0, y_scale=2.0)
    point = torch.tensor([0.3, -1.0, 2.0, 5.0], dtype=torch.float64, requires_grad=True)
    model(point).backward()
    z = cp.Variable(shape, value=point.detach().numpy().reshape(shape))
    found = to_cvxpy(model, z).grad[z].toarray().reshape(-1)
    np.testing.assert_allclose(found, point.grad.numpy(), rtol=1e-10)


def test_gradient_through_an_affine_expression() -> None:
    """By the chain rule, before a solve and after; for a matrix CVXPY counts column by column."""
    net, rng = random_net(4, n=6), np.random.default_rng(0)
    image = FrozenNet(net.layers, net.output, net.quadratics, net.norms, input_shape=(2, 3))
    X = cp.Variable((2, 3), value=rng.normal(size=(2, 3)))
    h = 1e-6
    steps = np.eye(6).reshape(6, 2, 3)
    slope = [(net((X.value + h * s).reshape(-1)) - net((X.value - h * s).reshape(-1)))[0] / (2 * h) for s in steps]
    found = to_cvxpy(image, X).grad[X].toarray().reshape(3, 2).T.reshape(-1)
    np.testing.assert_allclose(found, slope, rtol=1e-5, atol=1e-6)


# CVXPY 1.9.3 linearises no expression of a variable with one entry
@pytest.mark.parametrize("kind", sorted(NETS.keys() - {"one_input"}))
def test_linearisation_lies_below(kind: str) -> None:
    net = random_net(3, **NETS[kind])
    rng = np.random.default_rng(1)
    z = cp.Variable(net.in_features)
    cost = to_cvxpy(net, z)
    cp.Problem(cp.Minimize(cp.sum_squares(z - 1)), [cost <= net(np.zeros(net.in_features))[0] + 100]).solve(
        solver=cp.CLARABEL
    )
    for point in (z.value, rng.normal(size=net.in_features), np.zeros(net.in_features)):
        z.value = point
        tangent = cp.linearize(cost)
        assert tangent.value.item() == pytest.approx(net(point)[0], rel=1e-12)
        for other in 3 * rng.normal(size=(50, net.in_features)):
            z.value = other
            assert tangent.value.item() <= net(other)[0] + 1e-10 * (1 + abs(net(other)[0]))


def test_subgradient_at_a_kink() -> None:
    net = FrozenNet([], Output([], [0.0, 0.0]), norms=[Norm(2.0, np.eye(2))])
    z = cp.Variable(2, value=np.zeros(2))
    assert np.linalg.norm(to_cvxpy(net, z).grad[z].toarray()) <= 2.0


def test_gradient_without_a_value_is_none() -> None:
    z = cp.Variable(4)
    assert to_cvxpy(random_net(1), z).grad[z] is None


def test_convex_concave_steps_go_down() -> None:
    """Minimise f - g over a box by linearising g: every step is a convex problem and none goes up."""
    f, g = random_net(1), random_net(2)
    z = cp.Variable(4, value=np.full(4, 0.1))
    first, second = to_cvxpy(f, z), to_cvxpy(g, z)
    values = [float(first.value - second.value)]
    for _ in range(5):
        problem = cp.Problem(cp.Minimize(first - cp.linearize(second)), [z >= -1, z <= 1])
        assert problem.is_dcp()
        problem.solve(solver=cp.CLARABEL)
        values.append(float(first.value - second.value))
    assert (np.diff(values) <= 1e-6).all()
    assert values[-1] < values[0] - 0.1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_dccp_maximises_a_network() -> None:
    """(x - 0.2)^2 + |x - 0.2| over [-1, 1] is largest at -1; dccp takes the problem and gets to an end of the box."""
    dccp = pytest.importorskip("dccp")
    net = FrozenNet([], Output([], [0.0]), norms=[Norm(1.0, [[1.0]], [-0.2])])
    z = cp.Variable(1, value=np.array([-0.3]))
    problem = cp.Problem(cp.Maximize(to_cvxpy(net, z)), [z >= -1, z <= 1])
    assert dccp.is_dccp(problem)
    problem.solve(method="dccp", solver=cp.CLARABEL)
    assert abs(z.value[0]) == pytest.approx(1.0, abs=1e-4)


def smooth(seed: int) -> socicnn.SOCICNN:
    options = socicnn.NetOptions(generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return socicnn.SOCICNN(3, (), (3,), (), context_features=2, context="partial", options=options)


def best(models: list[tuple[socicnn.SOCICNN, np.ndarray]]) -> np.ndarray:
    """Return argmin sum_i f_i(z, theta_i) + ||z||^2 over sum(z) = 4, f_i quadratic in z, by its KKT equations."""

    def cost(z: torch.Tensor) -> torch.Tensor:
        return sum(m(z, torch.as_tensor(t)) for m, t in models) + z.square().sum()

    zero = torch.zeros(3, dtype=torch.float64)
    H, g = torch.autograd.functional.hessian(cost, zero), torch.autograd.functional.jacobian(cost, zero)
    ones = torch.ones(3, 1, dtype=torch.float64)
    matrix = torch.cat([torch.cat([H, ones], 1), torch.cat([ones.T, torch.zeros(1, 1)], 1)])
    return torch.linalg.solve(matrix, torch.cat([-g, torch.tensor([4.0])]))[:3].numpy()


def differences(models: list[socicnn.SOCICNN], thetas: np.ndarray, h: float = 1e-4) -> np.ndarray:
    """Return the derivative of the best z in each entry of the contexts, shape `(3, contexts, 2)`."""
    slopes = np.zeros((3, *thetas.shape))
    for place in np.ndindex(*thetas.shape):
        step = np.zeros_like(thetas)
        step[place] = h
        ends = [best(list(zip(models, thetas + sign * step, strict=True))) for sign in (1, -1)]
        slopes[:, *place] = (ends[0] - ends[1]) / (2 * h)
    return slopes


@pytest.mark.extra
@pytest.mark.parametrize("seed", range(3))
def test_derivatives_of_a_solution_pass_through_a_parameter(seed: int) -> None:
    pytest.importorskip("diffcp")
    # CVXPY knows nothing of the network between the Parameter and the program: gradients were 0
    model, value, weights = smooth(seed), np.array([0.3, -0.4]), np.array([1.0, 2.0, 0.0])
    z, theta = cp.Variable(3), cp.Parameter(2, value=value)
    cost = to_cvxpy(model, z, theta) + cp.sum_squares(z) + 0.0 * theta[0]
    problem = cp.Problem(cp.Minimize(cost), [cp.sum(z) == 4])
    slopes = differences([model], value[None])[:, 0]
    for _ in range(2):  # what was there before is not added to
        problem.solve(requires_grad=True, eps=1e-11)
        z.gradient = weights
        problem.backward()
        np.testing.assert_allclose(theta.gradient, weights @ slopes, rtol=1e-3, atol=1e-5)
    theta.delta = np.array([1.0, -2.0])
    problem.derivative()
    np.testing.assert_allclose(z.delta, slopes @ theta.delta, rtol=1e-3, atol=1e-5)


@pytest.mark.extra
def test_derivatives_pass_through_rows_of_a_parameter() -> None:
    pytest.importorskip("diffcp")
    model, values, weights = smooth(0), np.array([[0.3, -0.4], [0.1, 0.2]]), np.array([1.0, 2.0, 0.0])
    z, theta = cp.Variable(3), cp.Parameter((2, 2), value=values)
    problem = cp.Problem(cp.Minimize(sum(to_cvxpy(model, z, theta)) + cp.sum_squares(z)), [cp.sum(z) == 4])
    problem.solve(requires_grad=True, eps=1e-11)
    z.gradient = weights
    problem.backward()
    slopes = np.einsum("i,ijk->jk", weights, differences([model, model], values))
    np.testing.assert_allclose(theta.gradient, slopes, rtol=1e-3, atol=1e-5)


@pytest.mark.extra
def test_derivatives_through_other_expressions_are_refused() -> None:
    pytest.importorskip("diffcp")
    z, theta = cp.Variable(3), cp.Parameter(2, value=[0.3, -0.4])
    problem = cp.Problem(cp.Minimize(to_cvxpy(smooth(0), z, 2 * theta) + cp.sum_squares(z)), [cp.sum(z) == 4])
    problem.solve(requires_grad=True)
    with pytest.raises(ModelError, match="ContextParameters"):
        problem.backward()
    theta.delta = np.ones(2)
    with pytest.raises(ModelError, match="a row of one"):
        problem.derivative()
