"""An example of the cvxpylayers project, regression with monotone outputs, trained with its layer and with ours.

    y(x) = argmin_y ||y - theta'x||^2   subject to   y_1 <= ... <= y_m

theta is learnt by Adam from mini-batches; the loop takes either layer.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from decision import DecisionLayer, Polytope
from decision.baselines import cvxpylayer
from socicnn.frozen import FrozenNet, Output, Quadratic
from tests.support.cases import generator

N, M, ROWS, BATCH, EPOCHS = 20, 10, 64, 16, 4
FAR = 100.0  # no output comes near: the set of the example has no bounds


def theirs() -> Callable[[Tensor], Tensor]:
    """Return the layer as the example writes it."""
    import cvxpy as cp

    y, target = cp.Variable(M), cp.Parameter(M)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(y - target)), [cp.diff(y) >= 0])
    layer = cvxpylayer.require().CvxpyLayer(problem, parameters=[target], variables=[y])
    tight = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}

    def forward(c: Tensor) -> Tensor:
        found: Tensor = layer(c, solver_args={**cvxpylayer.SOLVER, **cvxpylayer.BACKWARD, **tight})[0]
        return found

    return forward


class Distance(nn.Module):
    """||y - c||^2, also as arrays."""

    def forward(self, y: Tensor, c: Tensor) -> Tensor:
        """Return f(y, c)."""
        return (y - c).square().sum(dim=-1)

    def freeze(self, c: Tensor) -> FrozenNet:
        """Return the networks of some contexts."""
        return FrozenNet([], Output(np.zeros(0), np.zeros(M)), [Quadratic(1.0, np.eye(M), -np.asarray(c))])


def ours() -> DecisionLayer:
    """Return the layer that takes its place."""
    steps = torch.eye(M)[:-1] - torch.eye(M)[1:]  # y_i - y_{i+1} <= 0
    return DecisionLayer(Distance(), Polytope(A=steps, b=torch.zeros(M - 1), lower=-FAR, upper=FAR))


def trained(layer: Callable[[Tensor], Tensor], X: Tensor, Y: Tensor) -> tuple[list[float], Tensor]:
    """Return the losses of all steps and theta: the loop of the example."""
    theta = (0.1 * torch.randn(N, M, generator=generator(4), dtype=torch.float64)).requires_grad_()
    optimiser, losses = torch.optim.Adam([theta], lr=0.1), []
    for _ in range(EPOCHS):
        for rows in torch.arange(ROWS).split(BATCH):
            loss = nn.functional.mse_loss(layer(X[rows] @ theta), Y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    return losses, theta.detach()


@pytest.mark.extra
# cvxpylayers 1.2 hands NumPy tensors in a way that NumPy 2 calls deprecated
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_same_loop_gives_the_same_losses_with_either_layer() -> None:
    pytest.importorskip("cvxpylayers")
    pytest.importorskip("diffcp")
    draw = generator(0)
    X, noise = (torch.randn(ROWS, size, generator=draw, dtype=torch.float64) for size in (N, M))
    truth = torch.randn(N, M, generator=draw, dtype=torch.float64)
    layer, reference = ours(), theirs()
    Y = layer(X @ truth + noise).detach()
    assert (Y.diff(dim=1) >= -1e-12).all()
    assert layer.decision is not None
    assert layer.decision.certified.all()
    losses, theta = trained(layer, X, Y)
    expected, other = trained(reference, X, Y)
    assert losses == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(theta, other, rtol=0.0, atol=1e-4 * float(other.abs().max()))
    assert math.fsum(losses[-4:]) < 0.5 * math.fsum(losses[:4])
