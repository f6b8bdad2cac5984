"""Minimise any convex torch module over a set, with a certified gap: for surrogates that have no conic program.

Two ways, on the rounded module of `rounded_module`: Newton's method along the central path (`module_newton`) for sets
with linear rows and an interior and few inputs, accelerated projected gradient for all others.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn

from decision.minimise.answers import Decision, Goal, sentence
from decision.minimise.interior import Polyhedron
from decision.minimise.module_newton import CentralPath
from decision.minimise.smoothed_module import Bracket, RoundedModule
from decision.region import Region
from decision.sets.base import FeasibleSet
from socicnn.arrays import as_float64
from socicnn.errors import ModelError
from socicnn.ranges import Ranges

NAME = "module_descent"
NOTE = "Gaps are in plain float64: there is no conic program to prove more by."
LARGEST = 200  # inputs up to which a Hessian, n products with a vector, is worth its time
PRODUCTS = 12800  # of a Hessian with a vector at a time, of all contexts together
DELTAS = tuple(10.0 ** (-1 - k / 2) for k in range(17))  # of the rounding, in units of y
ITERATIONS = 400  # of each delta at most
CHECK = 10


def decide_module(
    model: nn.Module,
    feasible_set: FeasibleSet,
    context: Any = None,
    *,
    rtol: float = 1e-6,
    atol: float = 0.0,
    max_iterations: int | None = None,
    time_limit: float | None = None,
    region: Region | None = None,
    gap: float | None = None,
) -> Decision:
    """Minimise f(x, theta) over X for each context, for any convex module: what `decide` does without a program.

    Args:
        model: called as `model(x, context)`, convex in x; it is copied and computed with in float64 on the CPU.
        feasible_set: the set X.
        context: contexts, shape `(contexts, p)`, or of the module's own `context_shape` if it has one; None for a
            module that is called as `model(x)`.
        rtol: relative accuracy: the share of max_P f - f(x) that a gap may have (`reference`).
        atol: absolute accuracy, in the units of f; a gap of this size will do, too.
        max_iterations: iterations of one context at most.
        time_limit: seconds for the whole call.
        region: region of the training candidates, to flag decisions outside it.
        gap: deprecated, use `rtol`.

    >>> from decision import Simplex, surrogates
    >>> model = surrogates.make("softplus-partial", 3)
    >>> bool(decide_module(model, Simplex(3), torch.zeros(4, 8)).certified.all())
    True
    """
    began = time.perf_counter()
    if gap is not None:
        warnings.warn("decide_module(gap=...) is now decide_module(rtol=...)", DeprecationWarning, stacklevel=2)
        rtol = gap
    goal = Goal.of(rtol, atol, max_iterations, time_limit)
    found = minimise_module(model, feasible_set, context, goal, getattr(model, "ranges", None))
    outside = None if region is None else region.outside(found.x)
    found = replace(found, rtol=rtol, atol=atol, outside=outside)
    return replace(found, status=sentence(found, [NOTE]), seconds=time.perf_counter() - began)


def minimise_module(
    model: nn.Module, feasible_set: FeasibleSet, context: Any, goal: Goal, ranges: Ranges | None
) -> Decision:
    """Minimise f_delta over X for each context with delta falling: by Newton's method if the set and n allow it.

    The gap is in plain float64: rounding is not counted in. The module may use relu and Euclidean norms where they are
    followed by non-decreasing functions, and twice differentiable functions anywhere, as convex networks do.

    Args:
        model: called as `model(x, context)`, convex in x.
        feasible_set: the set X.
        context: contexts, or None for a module that is called as `model(x)`.
        goal: when to stop.
        ranges: of the training data, for the reference points.

    Returns:
        The decisions; their status holds the notes alone.

    Raises:
        ModelError: contexts or a set that do not fit.
    """
    theta = _contexts(model, context)
    bad = (~theta.isfinite()).flatten(1).any(dim=1).nonzero()[:, 0]
    if len(bad):
        raise ModelError(
            f"context has {len(bad)} rows with non-finite entries, the first row {int(bad[0])}; remove or replace them"
        )
    n = getattr(model, "in_features", feasible_set.n)
    if feasible_set.n != n:
        raise ModelError(f"the set has {feasible_set.n} coordinates, the network {n} inputs")
    found = Bracket(RoundedModule(model, context is None), feasible_set, theta, goal, ranges)
    polyhedron = Polyhedron.of(feasible_set) if feasible_set.n <= LARGEST else None
    if polyhedron is None:
        Descent(found).run()
    elif len(theta):
        for rows in torch.arange(len(theta)).split(max(1, PRODUCTS // feasible_set.n)):
            CentralPath(found, polyhedron, rows).follow()
    x = feasible_set.project(found.x)
    value = found.module.exact(x, theta)
    # where f overflowed nothing is proven
    proven = torch.where(value.isfinite(), (value - found.lower).clamp(min=0.0), torch.inf)
    scale = (found.most - value).clamp(min=0.0)
    shown = None if context is None else theta
    missed = feasible_set.relative_violation(x)
    return Decision(
        x,
        value,
        proven,
        found.iterations,
        0.0,
        NAME,
        0.0,
        NOTE,
        scale,
        found.floor(),
        shown,
        violation=missed,
    )


def _contexts(model: nn.Module, context: Any) -> Tensor:
    """Return the contexts with an axis that counts them; one of no numbers where there is none."""
    if context is None:
        return torch.zeros(1, 0, dtype=torch.float64)
    theta = torch.tensor(as_float64(context))
    shape = getattr(model, "context_shape", None)
    if shape is None:
        wanted, fits = "p", theta.ndim == 2
    else:
        theta = theta[None] if tuple(theta.shape) == tuple(shape) else theta
        wanted, fits = ", ".join(map(str, shape)), theta.ndim > 0 and tuple(theta.shape[1:]) == tuple(shape)
    if not fits:
        raise ModelError(f"context must have shape (contexts, {wanted}); received {tuple(theta.shape)}")
    return theta


@final
class Descent:
    """Accelerated projected gradient with restarts, one delta after another.

    Args:
        bracket: of all contexts; improved.
    """

    def __init__(self, bracket: Bracket) -> None:
        self.bracket = bracket
        self.rows = torch.arange(len(bracket.theta))
        self.curvature = torch.ones_like(bracket.value)

    def run(self) -> None:
        """Descend until every context is done or the least delta is reached."""
        for delta in DELTAS:
            if not len(self.rows):
                return
            self._stage(delta)

    def _stage(self, delta: float) -> None:
        """Descend on f_delta until its own gap is below what the rounding costs."""
        bracket = self.bracket
        x = bracket.x[self.rows]
        y, momentum = x.clone(), torch.ones(len(x), dtype=x.dtype)
        for iteration in range(ITERATIONS):
            theta = bracket.theta[self.rows]
            value, g = bracket.module.gradient(y, theta, delta)
            fall = bracket.offer_bound(self.rows, y, value, g)
            new = self._backtrack(y, g, value, theta, delta)
            restart = ((y - new) * (new - x)).sum(dim=-1) > 0
            grown = 0.5 * (1 + (1 + 4 * momentum.square()).sqrt())
            weight = torch.where(restart, 0.0, (momentum - 1) / grown)
            y = bracket.set.project(new + weight[:, None] * (new - x))
            x, momentum = new, torch.where(restart, 1.0, grown)
            self.curvature[self.rows] *= 0.95
            bracket.iterations[self.rows] += 1
            if iteration % CHECK == CHECK - 1 or iteration == ITERATIONS - 1 or bracket.spent(self.rows):
                cost = bracket.offer_point(self.rows, x)
                tight = fall < 0.3 * (cost - value).clamp(min=0.0)
                left = bracket.open(self.rows)
                self.rows, x, y, momentum = self.rows[left], x[left], y[left], momentum[left]
                if bool(tight[left].all()):
                    return

    def _backtrack(self, y: Tensor, g: Tensor, value: Tensor, theta: Tensor, delta: float) -> Tensor:
        """Return the projected step, halved until the quadratic model is above f_delta."""
        L = self.curvature[self.rows]
        for _ in range(40):
            new = self.bracket.set.project(y - g / L[:, None])
            move = new - y
            model = value + (g * move).sum(dim=-1) + 0.5 * L * move.square().sum(dim=-1)
            low = self.bracket.module.value(new, theta, delta) > model + 1e-12 * (1 + value.abs())
            if not bool(low.any()):
                break
            L = torch.where(low, 2 * L, L)
        self.curvature[self.rows] = L
        return new
