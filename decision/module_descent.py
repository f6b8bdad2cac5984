"""Minimise any convex torch module over a set, with a certified gap: for surrogates that have no conic program.

Softplus networks and structured models with logistic atoms cannot be frozen, but they can be evaluated, and bounded
from below while they are: with relu rounded to

    r_delta(a) = max_{0 <= l <= 1} l a - delta l^2 / 2,      relu - delta/2 <= r_delta <= relu,

and norms to sqrt(||u||^2 + delta^2) - delta, a network whose later layers are non-decreasing becomes a smooth
f_delta <= f (Nesterov, "Smooth minimization of non-smooth functions", 2005). Then f_delta(x) less its Frank-Wolfe gap
is a lower bound of f over X, and both losses vanish with delta.
"""

from __future__ import annotations

import copy
import time
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from decision.deciding import Decision
from decision.region import Region
from decision.sets.base import FeasibleSet
from socicnn.arrays import as_float64
from socicnn.errors import ModelError

NAME = "module_descent"
DELTAS = tuple(10.0 ** (-1 - k / 2) for k in range(17))  # of the rounding, in units of y
ITERATIONS = 400  # of each delta at most
CHECK = 10
_RELUS = (torch.relu, nn.functional.relu, Tensor.relu)


@final
class Rounded(TorchFunctionMode):
    """While it is entered, relu and Euclidean norms are evaluated rounded, never above their own values.

    Args:
        delta: width of the rounding, > 0.

    >>> with Rounded(0.5):
    ...     torch.relu(torch.tensor([0.25, 2.0]))
    tensor([0.0625, 1.7500])
    """

    def __init__(self, delta: float) -> None:
        super().__init__()
        self.delta = delta

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace what is rounded, pass on the rest."""
        kwargs = kwargs or {}
        if func in _RELUS:
            (a,) = args
            share = (a / self.delta).clamp(0.0, 1.0)
            return share * (a - 0.5 * self.delta * share)
        if func is torch.linalg.vector_norm:
            if set(kwargs) - {"dim", "keepdim"} or len(args) != 1:
                raise ModelError(
                    "only Euclidean norms can be rounded, torch.linalg.vector_norm(u, dim=..., keepdim=...); received "
                    f"further arguments {sorted(set(kwargs) - {'dim', 'keepdim'})}"
                )
            square = args[0].square().sum(**kwargs)
            return (square + self.delta**2).sqrt() - self.delta
        return func(*args, **kwargs)


def decide_module(
    model: nn.Module,
    feasible_set: FeasibleSet,
    context: Any,
    *,
    gap: float = 1e-4,
    region: Region | None = None,
) -> Decision:
    """Minimise f(x, theta) over X for each context: accelerated projected gradient on f_delta, delta falling.

    The gap is in plain float64: rounding is not counted in. The module may use relu and Euclidean norms where they are
    followed by non-decreasing functions, and smooth functions anywhere, as convex networks do.

    Args:
        model: called as `model(x, context)`, convex in x; it is copied and computed with in float64.
        feasible_set: the set X.
        context: contexts, shape `(contexts, p)`.
        gap: relative gap gap / (1 + |f|) at which to stop.
        region: region of the training candidates, to flag decisions outside it.

    >>> from decision import Simplex, surrogates
    >>> model = surrogates.make("softplus-partial", 3)
    >>> bool(decide_module(model, Simplex(3), torch.zeros(4, 8)).certified.all())
    True
    """
    began = time.perf_counter()
    theta = torch.as_tensor(as_float64(context))
    if theta.ndim != 2:
        raise ModelError(f"context must have shape (contexts, p); received {tuple(theta.shape)}")
    if not gap > 0:
        raise ModelError(f"gap must be a positive number; received {gap}")
    model = copy.deepcopy(model).double().eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    run = _Run(model, feasible_set, theta, 0.99 * gap)
    for delta in DELTAS:
        if not len(run.rows):
            break
        run.stage(delta)
    proven = (run.best - run.lower).clamp(min=0.0)
    relative = proven / (1.0 + run.best.abs())
    short = int((relative > gap).sum())
    status = (
        f"{short} of {len(theta)} decisions have a larger gap than asked for (worst {float(relative.max()):.1e})."
        if short
        else f"All {len(theta)} decisions are certified to a relative gap of {gap:g}, in plain float64."
    )
    outside = None if region is None else region.outside(run.best_x)
    seconds = time.perf_counter() - began
    return Decision(run.best_x, run.best, proven, run.iterations, seconds, NAME, gap, status, theta, outside)


class _Run:
    """Best points and bounds of all contexts, and the state of those that are not done."""

    def __init__(self, model: nn.Module, feasible_set: FeasibleSet, theta: Tensor, goal: float) -> None:
        self.model, self.set, self.theta, self.goal = model, feasible_set, theta, goal
        contexts = len(theta)
        self.best_x = feasible_set.center().repeat(contexts, 1)
        self.best = self._exact(self.best_x, theta)
        self.lower = torch.full_like(self.best, -torch.inf)
        self.iterations = torch.zeros(contexts, dtype=torch.int64)
        self.rows = torch.arange(contexts)
        self.curvature = torch.ones_like(self.best)

    def _exact(self, x: Tensor, theta: Tensor) -> Tensor:
        with torch.no_grad():
            value: Tensor = self.model(x, theta)
        return value

    def _rounded(self, x: Tensor, theta: Tensor, delta: float) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        with Rounded(delta):
            value: Tensor = self.model(x, theta)
        (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    def _value(self, x: Tensor, theta: Tensor, delta: float) -> Tensor:
        with torch.no_grad(), Rounded(delta):
            value: Tensor = self.model(x, theta)
        return value

    def stage(self, delta: float) -> None:
        """Descend on f_delta until its own gap is below what the rounding costs."""
        x = self.best_x[self.rows]
        y, momentum = x.clone(), torch.ones(len(x), dtype=x.dtype)
        for iteration in range(ITERATIONS):
            theta = self.theta[self.rows]
            value, g = self._rounded(y, theta, delta)
            fall = (g * (y - self.set.minimize_linear(g))).sum(dim=-1)
            self.lower[self.rows] = torch.maximum(self.lower[self.rows], value - fall)
            new = self._backtrack(y, g, value, theta, delta)
            restart = ((y - new) * (new - x)).sum(dim=-1) > 0
            grown = 0.5 * (1 + (1 + 4 * momentum.square()).sqrt())
            weight = torch.where(restart, 0.0, (momentum - 1) / grown)
            y = self.set.project(new + weight[:, None] * (new - x))
            x, momentum = new, torch.where(restart, 1.0, grown)
            self.curvature[self.rows] *= 0.95
            self.iterations[self.rows] += 1
            if iteration % CHECK == CHECK - 1 or iteration == ITERATIONS - 1:
                cost = self._offer(x)
                tight = fall < 0.3 * (cost - value).clamp(min=0.0)
                left = self._open()
                self.rows, x, y, momentum = self.rows[left], x[left], y[left], momentum[left]
                if bool(tight[left].all()):
                    return

    def _open(self) -> Tensor:
        """Return which of the rows have a larger gap than asked for."""
        best = self.best[self.rows]
        return best - self.lower[self.rows] > self.goal * (1 + best.abs())

    def _offer(self, x: Tensor) -> Tensor:
        """Keep the points that are better; return their values."""
        value = self._exact(x, self.theta[self.rows])
        better = value < self.best[self.rows]
        self.best_x[self.rows] = torch.where(better[:, None], x, self.best_x[self.rows])
        self.best[self.rows] = torch.minimum(value, self.best[self.rows])
        return value

    def _backtrack(self, y: Tensor, g: Tensor, value: Tensor, theta: Tensor, delta: float) -> Tensor:
        """Return the projected step, halved until the quadratic model is above f_delta."""
        L = self.curvature[self.rows]
        for _ in range(40):
            new = self.set.project(y - g / L[:, None])
            move = new - y
            model = value + (g * move).sum(dim=-1) + 0.5 * L * move.square().sum(dim=-1)
            low = self._value(new, theta, delta) > model + 1e-12 * (1 + value.abs())
            if not bool(low.any()):
                break
            L = torch.where(low, 2 * L, L)
        self.curvature[self.rows] = L
        return new
