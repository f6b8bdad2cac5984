"""`decide`: minimise a surrogate over a set for a batch of contexts, with a certified gap on every answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from decision.answers import Answers, Goal
from decision.bounds import lower_bound, upper_bound
from decision.constrained import Constraints, solve_constrained
from decision.methods import Auto, Exact, Method, Problem, make
from decision.region import Region
from decision.rounding import rounded, tangent
from decision.sets.base import FeasibleSet
from decision.stack import Stack
from socicnn.arrays import as_float64
from socicnn.compile import Freezable, frozen
from socicnn.conic.solvers import Solver
from socicnn.errors import ModelError

CHUNK = 256  # contexts at a time: enough to keep the processor busy, few enough to stay in its cache


@dataclass(frozen=True, eq=False)
class Decision:
    """Decisions of a batch of contexts, one row a context, in float64.

    Args:
        x: decisions, in the set to 1e-9, shape `(contexts, n)`.
        value: f(x), shape `(contexts,)`.
        gap: certified: f(x) - gap <= min_X f in real arithmetic, rounding counted in, shape `(contexts,)`.
        iterations: of the optimiser (or solves) each context took, shape `(contexts,)`.
        seconds: wall time of the whole call.
        method: name of the method.
        goal: the relative gap asked for.
        status: what a user should know, in a sentence or two.
        context: the contexts decided for, shape `(contexts, p)`, or None.
        outside: whether x left the region of the training candidates, shape `(contexts,)`; None where no region was
            given.
    """

    x: Tensor
    value: Tensor
    gap: Tensor
    iterations: Tensor
    seconds: float
    method: str
    goal: float
    status: str
    context: Tensor | None = None
    outside: Tensor | None = None

    @property
    def relative_gap(self) -> Tensor:
        """Gap / (1 + |f(x)|), shape `(contexts,)`."""
        return self.gap / (1.0 + self.value.abs())

    @property
    def certified(self) -> Tensor:
        """Whether the relative gap is at most the one asked for, shape `(contexts,)`."""
        return self.relative_gap <= self.goal

    def __len__(self) -> int:
        return len(self.x)


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

    Args:
        model_or_net: a trained network, or a FrozenNet.
        feasible_set: the set X; or a list of CVXPY constraints on one variable of n entries (exact way only).
        context: contexts, shape `(contexts, p)`, or one, shape `(p,)`; None for a network without.
        method: `auto`, `interior_point`, `projected_gradient`, `exact`, or a `Method`.
        gap: relative gap gap / (1 + |f|) at which to stop.
        start: points to start from, shape `(n,)` or `(contexts, n)`; the set's centre where None.
        max_iterations: iterations of one context at most; each method has its own limit where None.
        time_limit: seconds for the whole call.
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
    if not gap > 0:
        raise ModelError(f"gap must be a positive number; received {gap}")
    if time_limit is not None and not time_limit > 0:
        raise ModelError(f"time_limit must be a positive number of seconds; received {time_limit}")
    theta = None if context is None else torch.as_tensor(as_float64(context))
    if theta is not None and theta.ndim == 1:
        theta = theta[None]
    net = frozen(model_or_net, theta)
    chosen = make(method, solver, settings)
    deadline = float("inf") if time_limit is None else began + time_limit
    if not isinstance(feasible_set, FeasibleSet):
        exact = chosen.exact if isinstance(chosen, Auto) else chosen
        if not isinstance(exact, Exact):
            raise ModelError(f"CVXPY constraints go through the exact program; use method='exact', not '{chosen.name}'")
        solved = solve_constrained(
            net, Constraints.of(feasible_set, net.in_features), exact.made(), Goal(gap, None, deadline)
        )
        ones = torch.ones(len(solved.x), dtype=torch.int64)
        found = _decision(solved.x, solved.value, solved.gap, ones, exact, gap, theta, region)
        return replace(found, status=sentence(found, solved.notes), seconds=time.perf_counter() - began)
    n = net.in_features
    if feasible_set.n != n:
        raise ModelError(f"the set has {feasible_set.n} coordinates, the network {n} inputs")
    stack = Stack.of(net, device)
    x = _start(start, feasible_set, len(stack), stack.v.device)
    goal = Goal(0.99 * gap, max_iterations, deadline)  # the rest is left to rounding
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
    found = _decision(x, stack.value(x), proven, answers.iterations, chosen, gap, theta, region)
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
) -> Decision:
    outside = None if region is None else region.outside(x)
    return Decision(x, value, gap, iterations, 0.0, method.name, goal, "", context, outside)


def sentence(found: Decision, notes: list[str]) -> str:
    """Return what a user should know about the decisions."""
    short = int((~found.certified).sum())
    count = len(found)
    if short:
        worst = float(found.relative_gap.max())
        first = f"{short} of {count} decisions have a larger gap than asked for (worst relative gap {worst:.1e})."
    else:
        first = f"All {count} decisions are certified to a relative gap of {found.goal:g}."
    parts = [first, *notes]
    if found.outside is not None and bool(found.outside.any()):
        parts.append(f"{int(found.outside.sum())} of {count} lie outside the region of the training candidates.")
    return " ".join(parts)
