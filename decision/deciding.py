"""`decide`: minimise a surrogate over a set for a batch of contexts, with a certified gap on every answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from decision.minimise.answers import Decision, Goal, sentence
from decision.minimise.bounds import lower_bound, minorant, repaired, upper_bound
from decision.minimise.constrained import Constraints, solve_constrained
from decision.minimise.growth import growth_bound
from decision.minimise.methods import Auto, Exact, Method, make
from decision.minimise.module_descent import minimise_module
from decision.minimise.reference import ROUNDING, Reference, own_reach, terms
from decision.minimise.search import Found, Task, minimise
from decision.minimise.stack import Stack
from decision.options import DecideOptions, MethodName
from decision.region import Region
from decision.sets import Box
from decision.sets.base import FeasibleSet
from socicnn.arrays import as_float64
from socicnn.compile import Freezable, frozen
from socicnn.errors import ModelError, NoProgramError
from socicnn.frozen import FrozenNet
from socicnn.moved import with_moved, with_renamed
from socicnn.nn.devices import as_device
from socicnn.ranges import Ranges

RTOL = 1e-6  # of the library, the command and every method
EPS = 2.0**-53


def decide(
    model_or_net: Freezable,
    feasible_set: FeasibleSet | Sequence[Any],
    context: Any = None,
    method: MethodName | Method = "auto",
    *,
    rtol: float = RTOL,
    atol: float = 0.0,
    start: Any = None,
    time_limit: float | None = None,
    region: Region | Literal["stored"] | None = "stored",
    options: DecideOptions = DecideOptions(),  # noqa: B008 (frozen)
    **moved: Any,
) -> Decision:
    """Minimise f(x, theta) over x in X for each context theta.

    The gap is proven by a dual point of the network (ReLU multipliers in their boxes, unit vectors of the norms), which
    every method gives: f(x) - gap <= min_X f holds whatever the method did. A decision is certified if

        gap <= max(rtol scale, atol, 64 eps S_all),    scale = min(max_P f - f(x), S(x))

    with P a few points of X that are fixed before the search, S(x) the sum of the absolute values of the terms of f
    without its constant (`minimise.reference`), and S_all that sum with the constant and the terms of the bound. A
    constant added to f changes neither decisions nor verdicts, nor do units of f and x that are powers of two.

    If the method is `auto`, a network without a conic program (softplus layers, logistic atoms) is minimised by
    `minimise.module_descent`: gaps in plain float64, on the CPU, from the set's centre whatever `start` says.

    Args:
        model_or_net: a trained network, or a FrozenNet.
        feasible_set: the set X; or a list of CVXPY constraints on one variable of n entries (exact way only).
        context: contexts, shape `(contexts, p)`, or one, shape `(p,)`; None for a network without.
        method: `auto`, `interior_point`, `projected_gradient` or `exact`, or a `Method`.
        rtol: relative accuracy: the share of the scale that a gap may have.
        atol: absolute accuracy, in the units of f; a gap of this size will do, too.
        start: points to start from, shape `(n,)` or `(contexts, n)`; defaults to a point of the set that suits f.
        time_limit: seconds for the whole call; a solve through CVXPY, of constraints that need more than second-order
            cones, is not interrupted.
        region: where the network has learned something, to flag decisions and contexts outside: by default the ranges
            of the training data that are stored in the network, if any; None to flag nothing.
        options: limit of iterations, solver, device and progress bar; see `DecideOptions`.
        moved: options by keyword, and `gap`, now `rtol`; deprecated.

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
    rtol = with_renamed(rtol, moved, "gap", "rtol", function="decide")
    options = with_moved(options, moved, function="decide", argument="options")
    if isinstance(region, str) and region != "stored":
        raise ModelError(f"region must be a Region, 'stored' or None; received {region!r}")
    goal = Goal.of(rtol, atol, options.max_iterations, time_limit)
    theta = None if context is None else torch.tensor(as_float64(context, "context"))
    if theta is not None and tuple(theta.shape) == (getattr(model_or_net, "context_shape", None) or theta.shape[:1]):
        theta = theta[None]  # one context
    chosen = make(method, options.solver, options.settings)
    ranges = getattr(model_or_net, "ranges", None)
    try:
        net = frozen(model_or_net, theta)
    except NoProgramError:
        if not isinstance(chosen, Auto) or not isinstance(feasible_set, FeasibleSet):
            raise
        assert isinstance(model_or_net, Module)  # arrays are a program
        found = minimise_module(model_or_net, feasible_set, theta, goal, ranges)
    else:
        if isinstance(feasible_set, FeasibleSet):
            stack = Stack.of(net, None if options.device is None else as_device(options.device))
            x = _start(start, feasible_set, len(stack), net.in_features, stack.v.device)
            found = _over_set(net, feasible_set, goal, chosen, _Given(stack, ranges, x, options.progress))
        else:
            exact = chosen.exact if isinstance(chosen, Auto) else chosen
            if not isinstance(exact, Exact):
                raise ModelError(
                    f"CVXPY constraints go through the exact program; use method='exact', not '{chosen.name}'"
                )
            given = {"start": start, "max_iterations": options.max_iterations, "device": options.device}
            unused = [name for name, value in given.items() if value is not None]
            if unused:
                raise ModelError(f"CVXPY constraints go through a solver alone; leave out {', '.join(unused)}")
            found = _under_constraints(net, feasible_set, goal, exact)
    outside = _outside(region, ranges, found.x, theta)
    found = replace(found, rtol=rtol, atol=atol, context=theta, outside=outside)
    notes = [found.status] if found.status else []
    if getattr(context, "requires_grad", False):
        notes.append("The contexts require gradients, and decisions have none: they were detached.")
    return replace(found, status=sentence(found, notes), seconds=time.perf_counter() - began)


@dataclass(frozen=True, eq=False)
class _Given:
    """What a search over a set starts from: the networks, the ranges of their data, starting points or None."""

    stack: Stack
    ranges: Ranges | None
    x: Tensor | None
    progress: bool


def _over_set(net: FrozenNet, feasible_set: FeasibleSet, goal: Goal, method: Method, given: _Given) -> Decision:
    """Return the decisions over one of the sets, with their notes as status."""
    stack = replace(given.stack, c=torch.zeros_like(given.stack.c))
    if not len(stack):
        none = stack.c
        x = stack.v.new_zeros(0, feasible_set.n)
        return Decision(x, none, none, none.long(), 0.0, method.name, goal.rtol, "", none, none)
    reference = Reference.of(feasible_set, given.ranges)
    most, reach = reference.largest(stack), reference.reach(stack)
    task = Task(net, stack, feasible_set, most, reach, method, given.progress)
    return _judged(given.stack.c, task, minimise(task, given.x, goal), goal)


def _judged(c: Tensor, task: Task, found: Found, goal: Goal) -> Decision:
    """Return decisions with what is proven of them; the task leaves the constants c out."""
    stack, feasible_set = task.stack, task.feasible_set
    x = feasible_set.project(found.x)
    plain = stack.value(x)
    value = plain + c
    line = minorant(stack, repaired(stack, found.dual))
    vertex = feasible_set.minimize_linear(line.slope)
    size = terms(stack, x, task.reach)
    scale = torch.minimum((task.most - plain).clamp(min=0.0), size)
    bound = (line.slope * vertex).abs().sum(dim=-1) + line.offset_size
    above, below = upper_bound(stack, x), lower_bound(stack, feasible_set, found.dual)
    allowed = goal.rtol * scale
    if isinstance(feasible_set, Box) and bool((above - below > allowed).any()):
        grown = growth_bound(stack, feasible_set, x, found.dual, 0.1 * allowed)
        bound = torch.where(grown > below, size, bound)  # its terms are those of f at x
        below = torch.maximum(below, grown)
    floor = ROUNDING * (size + c.abs() + bound)
    # the difference is rounded once, and so is the sum that the value is
    proven = (above - below + 2.0 * EPS * (plain.abs() + value.abs())) * (1.0 + 8.0 * EPS)
    proven = proven.clamp(min=0.0)
    missed = feasible_set.relative_violation(x)
    status = " ".join(found.notes)
    return Decision(
        x,
        value,
        proven,
        found.iterations,
        0.0,
        task.method.name,
        0.0,
        status,
        scale,
        floor,
        violation=missed,
    )


def _under_constraints(net: FrozenNet, constraints: Sequence[Any], goal: Goal, method: Exact) -> Decision:
    """Return the decisions under CVXPY constraints: relative to the terms of f alone, as their set has no points P."""
    stack = Stack.of(net)
    c = stack.c
    plain = replace(net, output=replace(net.output, c=0.0 * np.asarray(net.output.c)))
    solved = solve_constrained(plain, Constraints.of(constraints, net.in_features), method.made(), goal)
    value = solved.value + c
    gap = solved.gap + 2.0 * EPS * (solved.value.abs() + value.abs())
    size = terms(stack, solved.x, own_reach(stack))
    floor = ROUNDING * (2.0 * size + c.abs())
    ones = torch.ones(len(value), dtype=torch.int64)
    status = " ".join(solved.notes)
    return Decision(solved.x, value, gap, ones, 0.0, method.name, 0.0, status, size, floor, violation=solved.violation)


def _start(start: Any, feasible_set: FeasibleSet, count: int, n: int, device: torch.device) -> Tensor | None:
    """Return feasible starting points, one per context; None if the user gives none."""
    if feasible_set.n != n:
        raise ModelError(f"the set has {feasible_set.n} coordinates, the network {n} inputs")
    if start is None:
        return None
    x = torch.tensor(as_float64(start, "start"), device=device)
    if x.shape not in ((feasible_set.n,), (count, feasible_set.n)):
        raise ModelError(
            f"start must have shape ({feasible_set.n},) or ({count}, {feasible_set.n}); received shape {tuple(x.shape)}"
        )
    if not bool(x.isfinite().all()):
        raise ModelError("start has non-finite entries; remove or replace them")
    return feasible_set.project(x.expand(count, -1).contiguous())


def _outside(
    region: Region | Literal["stored"] | None, ranges: Ranges | None, x: Tensor, context: Tensor | None
) -> Tensor | None:
    """Return which rows leave the region or the stored ranges, in x or in the context; None if neither is known."""
    if region is None or (ranges is None and region == "stored"):
        return None
    outside = torch.zeros(len(x), dtype=torch.bool)
    if isinstance(region, Region):
        outside |= region.outside(x).cpu()
    elif ranges is not None:
        outside |= torch.tensor(ranges.outside_x(x.reshape(len(x), *ranges.x_lower.shape).cpu().numpy()))
    if ranges is not None and ranges.context_lower is not None and context is not None:
        outside |= torch.tensor(ranges.outside_context(context.cpu().numpy()))
    return outside
