"""What an optimiser has found so far, and when to stop; the decisions that come of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from decision.minimise.stack import Dual, Stack
from socicnn.errors import ModelError

FEASIBLE = 1e-9  # violation, relative to the data, up to which a decision counts as one in the set
SHARE = 0.99  # of the gap asked for, that an optimiser has to reach; the rest is left to rounding


@dataclass(frozen=True)
class Goal:
    """When an optimiser may stop.

    Args:
        gap: relative gap (f(x) - lower) / (1 + |f(x)|) to reach.
        max_iterations: iterations of one context at most; None for the optimiser's own limit.
        deadline: time of `time.perf_counter()` at which to stop.
    """

    gap: float
    max_iterations: int | None = None
    deadline: float = math.inf

    @classmethod
    def of(cls, gap: float, max_iterations: int | None, time_limit: float | None) -> Goal:
        """Return what a user asks for, from now on.

        Raises:
            ModelError: a gap or limit that is not positive.
        """
        if not gap > 0:
            raise ModelError(f"gap must be a positive number; received {gap}")
        if max_iterations is not None and not max_iterations >= 1:
            raise ModelError(f"max_iterations must be an integer >= 1; received {max_iterations}")
        if time_limit is not None and not time_limit > 0:
            raise ModelError(f"time_limit must be a positive number of seconds; received {time_limit}")
        deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
        return cls(SHARE * gap, max_iterations, deadline)

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return time.perf_counter() > self.deadline

    def after(self, iterations: int) -> Goal:
        """Return the goal that is left after so many iterations."""
        return self if self.max_iterations is None else replace(self, max_iterations=self.max_iterations - iterations)


@dataclass(eq=False)
class Answers:
    """The best point and the best bound of each context so far; optimisers change it in place.

    Args:
        x: feasible points, shape `(contexts, n)`.
        value: f(x), shape `(contexts,)`.
        lower: lower bound of f over X, in plain float64, shape `(contexts,)`.
        dual: the dual point that gives the bound.
        iterations: shape `(contexts,)`.
        notes: what a caller should know, one sentence each.
    """

    x: Tensor
    value: Tensor
    lower: Tensor
    dual: Dual
    iterations: Tensor
    notes: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, stack: Stack, x: Tensor) -> Answers:
        """Return the answers before any work: points, their values and no bound."""
        lower = x.new_full((len(stack),), -math.inf)
        none = torch.zeros(len(stack), dtype=torch.int64, device=x.device)
        return cls(x.clone(), stack.value(x), lower, stack.zero_dual(x), none)

    def relative_gap(self) -> Tensor:
        """Return (f(x) - lower) / (1 + |f(x)|)."""
        return (self.value - self.lower) / (1.0 + self.value.abs())

    def take(self, rows: Tensor) -> Answers:
        """Return a copy for some contexts."""
        return Answers(
            self.x[rows], self.value[rows], self.lower[rows], self.dual.take(rows), self.iterations[rows], self.notes
        )

    def put(self, rows: Tensor, other: Answers) -> None:
        """Overwrite the answers of some contexts."""
        self.x[rows], self.value[rows], self.lower[rows] = other.x, other.value, other.lower
        self.dual.put(rows, other.dual)
        self.iterations[rows] = other.iterations

    def offer_point(self, x: Tensor, value: Tensor) -> None:
        """Keep the points that are better."""
        better = value < self.value
        self.x = torch.where(better[:, None], x, self.x)
        self.value = torch.where(better, value, self.value)

    def offer_bound(self, lower: Tensor, dual: Dual) -> None:
        """Keep the bounds that are better."""
        better = lower > self.lower
        self.lower = torch.where(better, lower, self.lower)
        self.dual = self.dual.where(~better, dual)


@dataclass(frozen=True, eq=False, repr=False)
class Decision:
    """Decisions of a batch of contexts, one row a context, in float64.

    Args:
        x: decisions, in the set up to `violation`, shape `(contexts, n)`.
        value: f(x), shape `(contexts,)`.
        gap: certified: f(x) - gap <= min_X f in real arithmetic, rounding counted in (by `decide_module` in plain
            float64), shape `(contexts,)`.
        iterations: of the optimiser (or solves) each context took, shape `(contexts,)`.
        seconds: wall time of the whole call.
        method: name of the method.
        goal: the relative gap asked for.
        status: what a user should know, in a sentence or two.
        context: the contexts decided for, shape `(contexts, p)`, or None.
        outside: whether x left the region of the training candidates, shape `(contexts,)`; None where no region was
            given.
        violation: worst violation of one constraint at x, relative to the size of the set's data, shape
            `(contexts,)`; None if it was not measured. Above 1e-9 a decision is not certified.
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
    violation: Tensor | None = None

    @property
    def relative_gap(self) -> Tensor:
        """Gap / (1 + |f(x)|), shape `(contexts,)`; infinite where the value overflowed."""
        known = self.value.isfinite() & ~self.gap.isnan()
        return torch.where(known, self.gap / (1.0 + self.value.abs()), torch.inf)

    @property
    def certified(self) -> Tensor:
        """Whether x is in the set, its value finite and its relative gap at most the goal, shape `(contexts,)`."""
        return self.feasible & self.value.isfinite() & (self.relative_gap <= self.goal)

    @property
    def feasible(self) -> Tensor:
        """Whether x violates no constraint by more than 1e-9 of the set's data, shape `(contexts,)`.

        If the violation was not measured, whether x is finite.
        """
        finite = self.x.isfinite().all(dim=-1)
        return finite if self.violation is None else finite & (self.violation <= FEASIBLE)

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"<Decision: method {self.method}, {self.seconds:.2g} s. {self.status}>"


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
