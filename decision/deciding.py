"""`decide`: minimise a surrogate over a set for a batch of contexts, with a certified gap on every answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from decision.minimise.answers import Answers, Decision, Goal, sentence
from decision.minimise.bounds import lower_bound, upper_bound
from decision.minimise.constrained import Constraints, solve_constrained
from decision.minimise.methods import Auto, Exact, Method, Problem, make
from decision.minimise.module_descent import decide_module
from decision.minimise.smoothed_stack import rounded, tangent
from decision.minimise.stack import Stack
from decision.region import Region
from decision.sets.base import FeasibleSet
from socicnn.arrays import as_float64
from socicnn.compile import Freezable, frozen
from socicnn.conic.solvers import Solver
from socicnn.errors import ModelError, NoProgramError

CHUNK = 256  # contexts at a time: enough to keep the processor busy, few enough to stay in its cache


def decide(
    model_or_net: Freezable,
    feasible_set: FeasibleSet | Sequence[Any],
    context: Any = None,
    method: str | Method = "auto",
    *,
    gap: float = 1e-6,
    start: Any = None,
    max_iterations: int | None = None,
    time_limit: float | None = None,
    solver: str | Solver = "clarabel",
    settings: dict[str, Any] | None = None,
    region: Region | None = None,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> Decision:
    """Minimise f(x, theta) over x in X for each context theta.

    The gap is proven by a dual point of the network (ReLU multipliers in their boxes, unit vectors of the norms), which
    every method gives: f(x) - gap <= min_X f holds whatever the method did.

    Where the method is `auto`, a network without a conic program (softplus layers, logistic atoms) is decided by
    `module_descent.decide_module`: gaps in plain float64, on the CPU, from the set's centre whatever `start` says.

    Args:
        model_or_net: a trained network, or a FrozenNet.
        feasible_set: the set X; or a list of CVXPY constraints on one variable of n entries (exact way only).
        context: contexts, shape `(contexts, p)`, or one, shape `(p,)`; None for a network without.
        method: `auto`, `interior_point`, `projected_gradient`, `exact`, or a `Method`.
        gap: relative gap gap / (1 + |f|) at which to stop.
        start: points to start from, shape `(n,)` or `(contexts, n)`; the set's centre where None.
        max_iterations: iterations of one context at most; each method has its own limit where None.
        time_limit: seconds for the whole call; a solve through CVXPY, of constraints that need more than second-order
            cones, is not interrupted.
        solver: of the exact way.
        settings: its settings, by its own names.
        region: region of the training candidates, to flag decisions outside it.
        device: where to compute; the CPU where None.
        progress: whether the exact way shows a progress bar.

    Returns:
        The decisions.

    Raises:
        ModelError: a network, contexts or starting points that do not fit.
        ProgramError: a set that does not fit.

    >>> from decision.sets import Simplex
    >>> from socicnn.frozen import FrozenNet, Output, Quadratic
    >>> net = FrozenNet([], Output([], [0.0, 1.0]), [Quadratic(1.0, [[1.0, 0.0], [0.0, 1.0]])])
    >>> answer = decide(net, Simplex(2))
    >>> answer.x.round(decimals=3), bool(answer.certified.all())
    (tensor([[0.7500, 0.2500]], dtype=torch.float64), True)
    """
    began = time.perf_counter()
    goal = Goal.of(gap, max_iterations, time_limit)
    theta = None if context is None else torch.as_tensor(as_float64(context))
    if theta is not None and tuple(theta.shape) == (getattr(model_or_net, "context_shape", None) or theta.shape[:1]):
        theta = theta[None]  # one context
    chosen = make(method, solver, settings)
    try:
        net = frozen(model_or_net, theta)
    except NoProgramError:
        if not isinstance(chosen, Auto) or not isinstance(feasible_set, FeasibleSet):
            raise
        assert isinstance(model_or_net, Module)  # arrays are a program
        return decide_module(
            model_or_net,
            feasible_set,
            theta,
            gap=gap,
            max_iterations=max_iterations,
            time_limit=time_limit,
            region=region,
        )
    if not isinstance(feasible_set, FeasibleSet):
        exact = chosen.exact if isinstance(chosen, Auto) else chosen
        if not isinstance(exact, Exact):
            raise ModelError(f"CVXPY constraints go through the exact program; use method='exact', not '{chosen.name}'")
        given = {"start": start, "max_iterations": max_iterations, "device": device}
        unused = [name for name, value in given.items() if value is not None]
        if unused:
            raise ModelError(f"CVXPY constraints go through a solver alone; leave out {', '.join(unused)}")
        solved = solve_constrained(net, Constraints.of(feasible_set, net.in_features), exact.made(), goal)
        ones = torch.ones(len(solved.x), dtype=torch.int64)
        found = _decision(solved.x, solved.value, solved.gap, ones, exact, gap, theta, region, solved.violation)
        return replace(found, status=sentence(found, solved.notes), seconds=time.perf_counter() - began)
    n = net.in_features
    if feasible_set.n != n:
        raise ModelError(f"the set has {feasible_set.n} coordinates, the network {n} inputs")
    stack = Stack.of(net, device)
    x = _start(start, feasible_set, len(stack), stack.v.device)
    if not len(stack):
        none = x.new_zeros(0)
        found = _decision(x, none, none, none.long(), chosen, gap, theta, region)
        return replace(found, status=sentence(found, []), seconds=time.perf_counter() - began)
    answers = Answers.start(stack, x)
    for rows in torch.arange(len(stack), device=x.device).split(CHUNK):
        part = net if net.contexts is None else net[rows.cpu().numpy()]
        problem = Problem(part, stack.take(rows), feasible_set, progress)
        mine = answers.take(rows)
        _first_bound(problem, mine)
        if not goal.late:
            chosen.improve(problem, mine, goal)
        answers.put(rows, mine)
    x = feasible_set.project(answers.x)
    proven = upper_bound(stack, x) - lower_bound(stack, feasible_set, answers.dual)
    proven = (proven * (1.0 + 2.0**-50)).clamp(min=0.0)
    missed = feasible_set.relative_violation(x)
    found = _decision(x, stack.value(x), proven, answers.iterations, chosen, gap, theta, region, missed)
    return replace(found, status=sentence(found, answers.notes), seconds=time.perf_counter() - began)


def _start(start: Any, feasible_set: FeasibleSet, count: int, device: torch.device) -> Tensor:
    """Return feasible starting points, one a context."""
    if start is None:
        return feasible_set.center(device=device).repeat(count, 1)
    x = torch.as_tensor(as_float64(start), device=device)
    if x.shape not in ((feasible_set.n,), (count, feasible_set.n)) or not bool(x.isfinite().all()):
        raise ModelError(
            f"start must be finite and of shape ({feasible_set.n},) or ({count}, {feasible_set.n}); received "
            f"shape {tuple(x.shape)}"
        )
    return feasible_set.project(x.expand(count, -1).contiguous())


def _first_bound(problem: Problem, answers: Answers) -> None:
    """Offer the bound of the subgradient at the start, so that every answer has a gap."""
    stack, x = problem.stack, answers.x
    gradient, minorant, dual = tangent(stack, rounded(stack, x, torch.full_like(answers.value, 1e-9)))
    fall = (gradient * (x - problem.feasible_set.minimize_linear(gradient))).sum(dim=-1)
    answers.offer_bound(minorant - fall, dual)


def _decision(
    x: Tensor,
    value: Tensor,
    gap: Tensor,
    iterations: Tensor,
    method: Method,
    goal: float,
    context: Tensor | None,
    region: Region | None,
    violation: Tensor | None = None,
) -> Decision:
    outside = None if region is None else region.outside(x)
    return Decision(x, value, gap, iterations, 0.0, method.name, goal, "", context, outside, violation)
