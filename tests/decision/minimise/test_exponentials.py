"""Decisions about networks with log-sum-exp and logistic branches, against solvers and CVXPY's own atoms."""

import cvxpy as cp
import numpy as np
import pytest
import torch

import socicnn
from decision import Box, Budget, CvxpySet, DecisionLayer, Simplex, decide
from decision._minimise.stack import Stack
from decision.sets._base import FeasibleSet
from socicnn import SOCICNN
from socicnn._compile import value_program
from socicnn.frozen import FrozenNet, Logistic, LogSumExp, Output
from tests.support.softplus import HighPrecision
from verify._proof.network import Prover

SETS = {"simplex": Simplex(4), "box": Box(4, -1.0, 2.0), "budget": Budget(4, 2.0)}


def minimum(net: FrozenNet, feasible_set: FeasibleSet) -> float:
    """Return a value that min_X f does not exceed: the upper end at a solver's point, moved into the set."""
    x = value_program(net).free(feasible_set.rows()).solve().v[:4]
    return float(Prover(net)(feasible_set.project(torch.tensor(x)[None]).numpy()).hi[0])


def model(seed: int, **settings) -> SOCICNN:
    """Return a network of every kind of branch, with contexts of two numbers."""
    draw = torch.Generator().manual_seed(seed)
    known = {"quadratic": (3,), "norm": (2,), "logsumexp": (5,), "logistic": (4,), "context_features": 2}
    settings = {**known, **settings}
    return SOCICNN(4, generator=draw, dtype=torch.float64, **settings)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_features": (8, 6)},
        {"hidden_features": (8,), "activation": "softplus"},
        {"hidden_features": (), "quadratic": (), "norm": ()},
    ],
    ids=["relu", "softplus", "alone"],
)
def test_decisions_are_certified(name: str, settings: dict) -> None:
    network = model(1, **settings)
    theta = torch.randn(3, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = decide(network, SETS[name], theta)
    assert bool(found.certified.all()), found.status
    assert "float64" not in found.status
    for i in range(3):
        least = minimum(network.freeze(theta[i]), SETS[name])
        assert float(found.value[i] - found.gap[i]) <= least
        assert float(found.value[i]) >= least - 1e-6 * (1 + abs(least))


@pytest.mark.parametrize("method", ["interior_point", "projected_gradient", "central_path", "exact"])
def test_every_method_knows_the_terms(method: str) -> None:
    """Alone or in a batch, as torch network or as arrays."""
    network = model(3, hidden_features=(6,))
    theta = torch.randn(4, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    rtol = 1e-4 if method == "exact" else 1e-6  # solvers are no better at exponential cones
    found = decide(network, Box(4, -1.0, 1.0), theta, method=method, rtol=rtol)
    assert bool(found.certified.all()), found.status
    best = decide(network, Box(4, -1.0, 1.0), theta)
    torch.testing.assert_close(found.value, best.value, rtol=2 * rtol, atol=2 * rtol)
    for i in range(2):
        one = decide(network.freeze(theta[i]), Box(4, -1.0, 1.0), method=method, rtol=rtol)
        assert float(one.value[0]) == pytest.approx(float(found.value[i]), rel=2 * rtol, abs=2 * rtol)


def test_branches_as_tensors_are_those_of_arrays() -> None:
    """Value, slope, curvature and sizes, in units and in parts; tangents are below everywhere."""
    net = model(7, hidden_features=()).freeze(torch.randn(3, 2, dtype=torch.float64))
    stack = Stack.of(net)
    x = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(8)).requires_grad_()
    values = stack.value(x.detach())
    np.testing.assert_allclose(values, net(x.detach()), rtol=1e-13)
    np.testing.assert_allclose(stack.grid(x.detach())[torch.arange(3), torch.arange(3)], net(x.detach()), rtol=1e-13)
    for branch in stack.exponentials:
        p = x @ branch.matrix.dense.T + branch.offset
        zero = torch.zeros_like(p)
        h = torch.logaddexp(p, zero) if branch.logistic else p.unflatten(-1, (-1, branch.group)).logsumexp(dim=-1)
        (slope,) = torch.autograd.grad((branch.weight * h).sum(), x, create_graph=True)
        torch.testing.assert_close(branch.slope(branch.image(x)), slope, rtol=1e-12, atol=1e-14)
        rows = [torch.autograd.grad(slope[:, j].sum(), x, retain_graph=True)[0] for j in range(4)]
        torch.testing.assert_close(branch.hessian(branch.image(x)), torch.stack(rows, dim=1), rtol=1e-11, atol=1e-13)
    scaled = stack.in_units(torch.tensor([2.0, 0.5, 1.0]).double(), 4.0)
    torch.testing.assert_close(scaled.value(x.detach() / 4), values / torch.tensor([2.0, 0.5, 1.0]).double())
    torch.testing.assert_close(stack.take(slice(1, 2)).value(x[1:2].detach()), values[1:2])


def test_gaps_hold_high_precision_minima() -> None:
    """In one dimension the minimum is known to 40 digits: no bound is above it, over scales and far away."""
    flint = pytest.importorskip("flint")
    rng = np.random.default_rng(9)
    for scale in (1e-3, 1.0, 1e3):
        smooth = [LogSumExp(rng.exponential(), scale * rng.normal(size=(3, 1)), rng.normal(size=3))]
        logistic = [Logistic(rng.exponential(size=2), scale * rng.normal(size=(2, 1)), rng.normal(size=2))]
        net = FrozenNet([], Output([], [0.1 * scale], 5.0), logsumexps=smooth, logistics=logistic)
        found = decide(net, Box(1, -2.0 / scale, 3.0 / scale))
        exact, low, high = HighPrecision(net), -2.0 / scale, 3.0 / scale
        grid = np.linspace(low, high, 2001)[:, None]
        lowest = grid[np.argmin(net(grid))]
        assert flint.arb(float(found.value[0] - found.gap[0])) <= exact(lowest)
        assert float(found.gap[0]) <= 1e-6 * float(found.scale[0])


def test_constraints_and_whole_numbers() -> None:
    network = model(10, hidden_features=(5,), context_features=0)
    x = cp.Variable(4)
    found = decide(network, CvxpySet([cp.norm(x, 2) <= 1, cp.sum(x) == 0.5]))
    assert bool(found.certified.all()), found.status
    problem = cp.Problem(cp.Minimize(socicnn.to_cvxpy(network, x)), [cp.norm(x, 2) <= 1, cp.sum(x) == 0.5])
    assert float(found.value[0]) == pytest.approx(problem.solve(cp.CLARABEL), rel=1e-5, abs=1e-5)


def test_the_optimum_is_that_of_cvxpys_atoms() -> None:
    network = model(5, hidden_features=(), quadratic=(2,), norm=())
    theta = torch.tensor([0.3, -1.0], dtype=torch.float64)
    net, x = network.freeze(theta), cp.Variable(4)
    cost = (
        net.output.v[0] @ x
        + net.output.c[0]
        + cp.sum_squares(net.quadratics[0].A @ x + net.quadratics[0].e[0]) * float(net.quadratics[0].beta[0])
    )
    smooth, logistic = net.logsumexps[0], net.logistics[0]
    cost += float(smooth.alpha[0]) * cp.log_sum_exp(smooth.G @ x + smooth.o[0])
    cost += logistic.omega[0] @ cp.logistic(logistic.S @ x + logistic.s[0])
    value = cp.Problem(cp.Minimize(cost), [x >= 0, cp.sum(x) == 1]).solve(cp.CLARABEL)
    found = decide(network, Simplex(4), theta)
    assert float(found.value[0]) == pytest.approx(value, rel=1e-6, abs=1e-6)
    assert np.isfinite(float(found.gap[0]))


def test_a_layer_decides_and_differentiates_what_the_network_is() -> None:
    """Its branches are not left out: x is that of `decide`, gradients are those of differences."""
    network = model(6, hidden_features=(5,))
    layer, theta = DecisionLayer(network, Box(4, -1.0, 1.0)), torch.randn(3, 2, dtype=torch.float64)
    theta.requires_grad_()
    x, weight = layer(theta), torch.arange(12.0, dtype=torch.float64).reshape(3, 4)
    torch.testing.assert_close(x, decide(network, Box(4, -1.0, 1.0), theta.detach()).x, rtol=0, atol=1e-4)
    (gradient,) = torch.autograd.grad((x * weight).sum(), theta)
    for j in range(2):
        step = torch.zeros_like(theta)
        step[:, j] = 1e-4
        with torch.no_grad():
            change = ((layer(theta + step) - layer(theta - step)) * weight).sum(dim=1) / 2e-4
        torch.testing.assert_close(gradient[:, j], change, rtol=2e-3, atol=2e-3)


def test_whole_entries_are_those_of_trying_all() -> None:
    draw = torch.Generator().manual_seed(11)
    network = SOCICNN(3, (5,), (3,), (), logsumexp=(4,), logistic=(3,), generator=draw, dtype=torch.float64)
    found = decide(network, Box(3, -2.0, 2.0), integer=[0, 2])
    assert bool(found.certified.all()), found.status
    whole, free = np.arange(-2.0, 3.0), np.linspace(-2.0, 2.0, 4001)
    grid = np.stack([axis.reshape(-1) for axis in np.meshgrid(whole, free, whole, indexing="ij")], axis=1)
    values = network.freeze()(grid)
    best = grid[np.argmin(values)]
    assert found.x[0, [0, 2]].tolist() == best[[0, 2]].tolist()
    assert float(found.value[0] - found.gap[0]) <= values.min()
    assert float(found.value[0]) == pytest.approx(values.min(), rel=1e-6, abs=1e-6)
