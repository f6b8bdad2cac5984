"""Decisions about networks with log-sum-exp and logistic branches, against solvers and CVXPY's own atoms."""

import cvxpy as cp
import numpy as np
import pytest
import torch

from decision import Box, Budget, DecisionLayer, Simplex, decide
from decision.sets._base import FeasibleSet
from socicnn import SOCICNN
from socicnn._compile import value_program
from socicnn.frozen import FrozenNet
from verify._proof.network import Prover

SETS = {"simplex": Simplex(4), "box": Box(4, -1.0, 2.0), "budget": Budget(4, 2.0)}


def minimum(net: FrozenNet, feasible_set: FeasibleSet) -> float:
    """Return a value that min_X f does not exceed: the upper end at a solver's point, moved into the set."""
    x = value_program(net).free(feasible_set.rows()).solve().v[:4]
    return float(Prover(net)(feasible_set.project(torch.tensor(x)[None]).numpy()).hi[0])


def model(seed: int, **settings) -> SOCICNN:
    """Return a network of every kind of branch, with contexts of two numbers."""
    draw = torch.Generator().manual_seed(seed)
    settings = {"quadratic": (3,), "norm": (2,), "logsumexp": (5,), "logistic": (4,), **settings}
    return SOCICNN(4, context_features=2, generator=draw, dtype=torch.float64, **settings)


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
    for i in range(3):
        least = minimum(network.freeze(theta[i]), SETS[name])
        assert float(found.value[i] - found.gap[i]) <= least
        assert float(found.value[i]) >= least - 1e-6 * (1 + abs(least))


def test_smooth_networks_are_proven_by_their_arrays() -> None:
    network = model(3, hidden_features=(6,), activation="softplus", quadratic=(), norm=())
    theta = torch.randn(4, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found = decide(network, Box(4, -1.0, 1.0), theta)
    assert bool(found.certified.all())
    assert "float64" not in found.status


def test_the_optimum_is_that_of_cvxpys_atoms() -> None:
    network = model(5, hidden_features=(), quadratic=(2,), norm=())
    theta = torch.tensor([0.3, -1.0], dtype=torch.float64)
    net, x = network.freeze(theta), cp.Variable(4)
    cost = (
        net.output.v @ x
        + net.output.c
        + cp.sum_squares(net.quadratics[0].A @ x + net.quadratics[0].e) * float(net.quadratics[0].beta)
    )
    cost += float(net.logsumexps[0].alpha) * cp.log_sum_exp(net.logsumexps[0].G @ x + net.logsumexps[0].o)
    cost += net.logistics[0].omega @ cp.logistic(net.logistics[0].S @ x + net.logistics[0].s)
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
