"""Surrogates f(x, theta) = v(theta)'x of a cost that is linear in x, trained on values, on decisions, and on both.

v is the predictor of the other methods, so that only what it learns from differs.

- *values*: the mean square of the surrogate's error within a context over a pool of feasible points x_j, and that of
  its gradient in x. With S the covariance of the pool, per context

      (v - c)'S(v - c) / tr S + ||v - c||^2 / n

- *layer*: the true cost of the decisions of a `DecisionLayer` with v(theta)'x + RIDGE ||x||^2 over the convex set. The
  quadratic is there because vertices do not move; it is left out when decisions are judged.
- *both*: values first; then also the cost of the decisions, by the perturbed gradient of `fit_focused`: the gradient of
  [f(x_1, theta) - f(x_0, theta)] / LAMBDA in the weights, where x_0 minimises f and x_1 minimises f + LAMBDA c'x. Both
  are found by the problem's own solver, as in the other methods, with whole numbers where it has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from decision import DecisionLayer
from experiments.predict_then_optimize.problems import Problem
from socicnn._arrays import Array
from socicnn.frozen import FrozenNet, Output, Quadratic

POINTS = 200  # of the pool: vertices that are best for random coefficients
RIDGE = 0.5  # of ||x||^2, coefficients being of size 1
LAMBDA = 1.0  # of the perturbed gradient
RTOL = 1e-4  # of the layer's decisions


def pool(problem: Problem, seed: int) -> Array:
    """Return points of the set that are best for random coefficients, shape `(POINTS, n)`."""
    c = np.random.default_rng(seed).normal(size=(POINTS, problem.C.shape[1]))
    return np.stack([problem.model.best(row) for row in c])


def values_loss(problem: Problem, seed: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of values and gradients as a function of predicted and true coefficients."""
    points = pool(problem, seed)
    S = np.atleast_2d(np.cov(points.T))
    root = torch.tensor(np.linalg.cholesky(S / np.trace(S) + 1e-9 * np.eye(len(S)))).float()

    def loss(v: Tensor, c: Tensor) -> Tensor:
        error = v - c
        return (error @ root).square().sum(dim=1).mean() + error.square().mean()

    return loss


class Surrogate(nn.Module):
    """v(theta)'x + RIDGE ||x||^2; the sign turns a problem that maximises into one that minimises.

    Args:
        predictor: v, or -v.
        n: length of x.
        sign: of the coefficients.
        ridge: weight of ||x||^2.
    """

    def __init__(self, predictor: nn.Module, n: int, sign: float, ridge: float = RIDGE) -> None:
        super().__init__()
        self.predictor, self._n, self._sign, self._ridge = predictor, n, sign, ridge

    def forward(self, x: Tensor, theta: Tensor) -> Tensor:
        """Return f(x, theta)."""
        linear = (self._sign * self.predictor(theta) * x).sum(dim=-1)
        return linear + self._ridge * x.square().sum(dim=-1) if self._ridge else linear

    def freeze(self, theta: Any) -> FrozenNet:
        """Return the networks of some contexts."""
        like = next(self.predictor.parameters())
        with torch.no_grad():
            v = self._sign * self.predictor(torch.as_tensor(theta).to(like)).double().numpy()
        squares = [Quadratic(self._ridge, np.eye(self._n), np.zeros(self._n))] if self._ridge else []
        return FrozenNet([], Output(np.zeros(0), v), squares, contexts=len(v) if v.ndim > 1 else None)


def decisions_loss(problem: Problem, predictor: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the true cost of the layer's decisions as a function of features and true coefficients."""
    layer = DecisionLayer(Surrogate(predictor, problem.C.shape[1], problem.sign), problem.feasible_set, rtol=RTOL)
    return lambda theta, c: (layer(theta) * problem.sign * c).sum(dim=1).mean()


def focused_loss(problem: Problem, predictor: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """Return values whose gradient in the weights is nearly that of the decisions' cost."""

    def best(v: Tensor) -> Tensor:
        rows = (problem.sign * v).detach().double().numpy()  # to be minimised
        return torch.tensor(np.stack([problem.model.best(row) for row in rows])).to(v)

    def loss(theta: Tensor, c: Tensor) -> Tensor:
        v = predictor(theta)
        difference = best(v + LAMBDA * c) - best(v)
        return (problem.sign * v * difference).sum(dim=1).mean() / LAMBDA

    return loss
