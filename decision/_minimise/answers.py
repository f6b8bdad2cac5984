"""What an optimiser has found so far, and when to stop; the decisions that come of it."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from decision._minimise.reference import ROUNDING, UNDERFLOW
from decision._minimise.stack import Dual
from decision._minimise.surrogate import Surrogate
from socicnn._integers import as_integer, is_number
from socicnn._results import Result, Row
from socicnn.errors import ModelError

FEASIBLE = 1e-9  # violation, relative to a row's own data, up to which a decision counts as one in the set
SHARE = 0.99  # of the gap asked for, that an optimiser has to reach; the rest is left to rounding


@dataclass(frozen=True)
class Goal:
    """When an optimiser may stop: where f(x) - lower <= max(rtol scale, atol, rounding).

    Args:
        rtol: relative accuracy, of the scale of `reference`.
        max_iterations: iterations of one context at most; defaults to the optimiser's own limit.
        deadline: time of `time.perf_counter()` at which to stop.
        atol: absolute accuracy, in units of the user's f.
    """

    rtol: float
    max_iterations: int | None = None
    deadline: float = math.inf
    atol: float = 0.0

    @classmethod
    def of(cls, rtol: float, atol: float, max_iterations: int | None, time_limit: float | None) -> Goal:
        """Return what a user asks for, from now on.

        Raises:
            ModelError: an accuracy or limit that is not positive.
        """
        if not (is_number(rtol) and rtol > 0):
            raise ModelError(f"rtol must be a positive number; received {rtol!r}")
        if not (is_number(atol) and 0 <= atol < math.inf):
            raise ModelError(f"atol must be a number >= 0; received {atol!r}")
        if max_iterations is not None:
            max_iterations = as_integer("max_iterations", max_iterations)
        if time_limit is not None and not (is_number(time_limit) and time_limit > 0):
            raise ModelError(f"time_limit must be a positive number of seconds; received {time_limit!r}")
        deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
        return cls(SHARE * rtol, max_iterations, deadline, SHARE * atol)

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return time.perf_counter() > self.deadline

    def after(self, iterations: int) -> Goal:
        """Return the goal that is left after these iterations."""
        return self if self.max_iterations is None else replace(self, max_iterations=self.max_iterations - iterations)


@dataclass(eq=False)
class Answers:
    """The best point and the best bound of each context so far; optimisers change it in place.

    Args:
        x: feasible points, shape `(contexts, n)`.
        value: f(x), shape `(contexts,)`.
        lower: lower bound of f over X, in plain float64, shape `(contexts,)`.
        dual: the multipliers that give the bound.
        iterations: shape `(contexts,)`.
        most: largest value of f at the reference points, shape `(contexts,)`.
        size: sum of the absolute values of the terms of f at the start, +inf if not known, shape `(contexts,)`.
        unit: what 1 here is in units of the user's f, shape `(contexts,)`.
        notes: what a caller should know, one sentence each.
    """

    x: Tensor
    value: Tensor
    lower: Tensor
    dual: Dual
    iterations: Tensor
    most: Tensor
    size: Tensor
    unit: Tensor
    notes: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, surrogate: Surrogate, x: Tensor, most: Tensor, size: Tensor, unit: Tensor) -> Answers:
        """Return the answers before any work: points, their values and no bound."""
        lower = x.new_full((len(x),), -math.inf)
        none = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return cls(x.clone(), surrogate.value(x), lower, surrogate.multipliers(x), none, most, size, unit)

    def allowed(self, goal: Goal) -> Tensor:
        """Return the gap at which each context is done, shape `(contexts,)`."""
        scale = torch.minimum((self.most - self.value).clamp(min=0.0), self.size)
        known = self.value.abs() + self.lower.nan_to_num(neginf=0.0).abs()
        rounding = ROUNDING * torch.where(self.size.isinf(), known, self.size)
        return torch.maximum(torch.maximum(goal.rtol * scale, rounding), goal.atol / self.unit)

    def done(self, goal: Goal) -> Tensor:
        """Return which contexts have the gap asked for, shape `(contexts,)`."""
        return self.value - self.lower <= self.allowed(goal)

    def take(self, rows: Tensor) -> Answers:
        """Return a copy for some contexts."""
        fixed = (self.most[rows], self.size[rows], self.unit[rows])
        return Answers(
            self.x[rows],
            self.value[rows],
            self.lower[rows],
            self.dual.take(rows),
            self.iterations[rows],
            *fixed,
            self.notes,
        )

    def put(self, rows: Tensor, other: Answers) -> None:
        """Overwrite the answers of some contexts; notes are added."""
        self.x[rows], self.value[rows], self.lower[rows] = other.x, other.value, other.lower
        self.dual.put(rows, other.dual)
        self.iterations[rows] = other.iterations
        self.notes += [note for note in other.notes if note not in self.notes]

    def offer_point(self, x: Tensor, value: Tensor) -> None:
        """Keep the points that are better."""
        better = value < self.value
        self.x = torch.where(better[:, None], x, self.x)
        self.value = torch.where(better, value, self.value)

    def offer_bound(self, lower: Tensor, dual: Dual) -> None:
        """Keep the bounds that are better."""
        better = lower > self.lower
        self.lower = torch.where(better, lower, self.lower)
        if bool(better.all()):
            self.dual = dual
        elif bool(better.any()):  # large networks have many multipliers to copy
            self.dual = self.dual.where(~better, dual)


@dataclass(frozen=True, eq=False, repr=False)
class Decision(Result):
    """Decisions of a batch of contexts, one row per context, in float64.

    Args:
        x: decisions, in the set up to `violation`, shape `(contexts, n)`.
        value: f(x), shape `(contexts,)`.
        gap: certified, in the units of f: f(x) - gap <= min_X f in real arithmetic, rounding counted in (of modules
            without a conic program in plain float64), shape `(contexts,)`.
        iterations: of the optimiser (or solves) each context took, shape `(contexts,)`.
        seconds: wall time of the whole call.
        method: name of the method.
        rtol: the relative accuracy asked for.
        scale: what gaps are relative to (`reference`), shape `(contexts,)`.
        floor: the gap that rounding alone may leave, shape `(contexts,)`.
        context: the contexts decided for, shape `(contexts, p)`, or None.
        outside: whether x or the context left the region of the training data, shape `(contexts,)`; None if that
            region is not known.
        violation: worst violation of one constraint at x, relative to the constraint's own numbers (of a simplex, box,
            budget or a set of oracles alone, to the size of the set), shape `(contexts,)`; None if it was not measured.
            Above 1e-9 a decision is not certified.
        atol: the absolute accuracy asked for.
        notes: what a user should know besides the verdict, one sentence each.
    """

    x: Tensor
    value: Tensor
    gap: Tensor
    iterations: Tensor
    seconds: float
    method: str
    rtol: float
    scale: Tensor
    floor: Tensor
    context: Tensor | None = None
    outside: Tensor | None = None
    violation: Tensor | None = None
    atol: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def relative_gap(self) -> Tensor:
        """Gap / scale, shape `(contexts,)`; infinite where nothing is proven or the value overflowed.

        It is 0 where the gap is no more than what underflow may leave, for instance of the cost 0.
        """
        known = self.value.isfinite() & self.gap.isfinite()
        ratio = torch.where(self.gap > UNDERFLOW, self.gap / self.scale, 0.0)
        return torch.where(known & ~ratio.isnan(), ratio, torch.inf)

    @property
    def certified(self) -> Tensor:
        """Whether x is in the set, its value finite and gap <= max(rtol scale, atol, floor), shape `(contexts,)`."""
        allowed = torch.maximum(self.rtol * self.scale, self.floor).clamp(min=self.atol)
        return self.feasible & self.value.isfinite() & allowed.isfinite() & (self.gap <= allowed)

    @property
    def feasible(self) -> Tensor:
        """Whether x violates no constraint by more than 1e-9 of its own data, shape `(contexts,)`.

        If the violation was not measured, whether x is finite.
        """
        finite = self.x.isfinite().all(dim=-1)
        return finite if self.violation is None else finite & (self.violation <= FEASIBLE)

    @property
    def goal(self) -> float:
        """The relative accuracy asked for; deprecated, use `rtol`."""
        warnings.warn("Decision.goal is now Decision.rtol", DeprecationWarning, stacklevel=2)
        return self.rtol

    @property
    def status(self) -> str:
        """What a user should know, in a few sentences, the verdict first."""
        return " ".join([_verdict(self), *self.notes, *_strangers(self)])

    def __len__(self) -> int:
        return len(self.x)

    @property
    def ok(self) -> bool:
        """Whether every decision is certified."""
        return bool(self.certified.all())

    @property
    def max_gap(self) -> float:
        """Largest gap, in the units of f; 0 without decisions."""
        return float(self.gap.max()) if len(self) else 0.0

    def summary(self) -> str:
        """Return the verdict, what else a user should know, method and time, in one line."""
        return f"{self.status} Method {self.method}, {self.seconds:.2g} s"

    def table(self) -> tuple[Row, list[Row]]:
        """Return value, gap and verdict of each context."""
        columns = (self.value, self.gap, self.relative_gap, self.certified)
        rows: list[Row] = [
            (i, value, f"{gap:.1e}", f"{relative:.1e}", "yes" if certified else "NO")
            for i, (value, gap, relative, certified) in enumerate(zip(*(c.tolist() for c in columns), strict=True))
        ]
        return ("context", "value", "gap", "relative gap", "certified"), rows


def _verdict(decided: Decision) -> str:
    """Return whether all are certified, as a sentence."""
    short, count = int((~decided.certified).sum()), len(decided)
    asked = f"a relative gap of {decided.rtol:g}" + (f" or a gap of {decided.atol:g}" if decided.atol else "")
    if not short:
        which = "The decision is" if count == 1 else f"All {count} decisions are"
        wanted = (decided.rtol * decided.scale).clamp(min=max(decided.atol, UNDERFLOW))
        alone = int((decided.gap > wanted).sum())  # within the floor: a point as a set, for instance
        if not alone:
            return f"{which} certified to {asked}."
        rounded = "to rounding alone" if alone == count else f"to {asked}, {alone} of them to rounding alone"
        return f"{which} certified {rounded}: next to its terms, f hardly varies over the set."
    worst = float(decided.relative_gap[~decided.certified].max())
    which = "The decision is" if count == 1 else f"{short} of {count} decisions {'is' if short == 1 else 'are'}"
    return f"{which} not certified to {asked} (worst relative gap {worst:.1e})."


def _strangers(decided: Decision) -> list[str]:
    """Return a sentence on the decisions outside the training data, if there are any."""
    outside, count = 0 if decided.outside is None else int(decided.outside.sum()), len(decided)
    if not outside:
        return []
    which = "It lies" if count == 1 else f"{outside} of {count} {'lies' if outside == 1 else 'lie'}"
    return [f"{which} outside the training data, where the network has learned nothing."]
