"""What is known of decisions at last: their values, proven gaps and what these are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from decision._minimise.answers import FEASIBLE, SHARE, Answers, Goal
from decision._minimise.compiled.measure import Measure
from decision._minimise.compiled.method import compiled_answers
from decision._minimise.methods import Auto
from decision._minimise.origin import snapped
from decision._minimise.reference import least_gap
from decision._minimise.search import Search, minimise
from decision._minimise.stack_surrogate import StackSurrogate

EPS = 2.0**-53
ROUNDS = 4  # of searches of a module that go on, each nearer to where it is least
CROSSED = (
    "A lower bound lies above the value that was reached, which the values of a convex function do not do: "
    "these gaps are infinite."
)
WIDE = (
    "The box is far wider than the bends of the network's smooth units, and the last digits of a slope times its width "
    "are more than the accuracy asked for: narrower bounds give a proof."
)
COLUMNS = ("x", "value", "gap", "iterations", "scale", "floor", "violation")


@dataclass(frozen=True, eq=False)
class Judged:
    """Columns of a `Decision`, one row per context, and notes."""

    x: Tensor
    value: Tensor
    gap: Tensor
    iterations: Tensor
    scale: Tensor
    floor: Tensor
    violation: Tensor
    notes: tuple[str, ...]
    failure: str = ""  # why no context of these has a point
    multipliers: Tensor | None = None  # of the rows of a conic set, by the solver, shape `(contexts, rows)`

    def certified(self, goal: Goal) -> Tensor:
        """Return which rows have the gap that is asked for, shape `(contexts,)`."""
        allowed = torch.maximum(goal.rtol * self.scale, self.floor).clamp(min=goal.atol)
        return (self.gap <= allowed) & (self.violation <= FEASIBLE)

    def take(self, rows: Tensor) -> Judged:
        """Return some rows."""
        return replace(self, **{name: getattr(self, name)[rows] for name in COLUMNS})

    def put(self, rows: Tensor, other: Judged) -> None:
        """Overwrite some rows."""
        for name in COLUMNS:
            getattr(self, name)[rows] = getattr(other, name)

    @classmethod
    def joined(cls, parts: Sequence[Judged]) -> Judged:
        """Return the rows of all parts."""
        columns = {name: torch.cat([getattr(part, name) for part in parts]) for name in COLUMNS}
        notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
        failed = all(part.failure for part in parts)
        known = [part.multipliers for part in parts if part.multipliers is not None]
        multipliers = torch.cat(known) if len(known) == len(parts) else None
        return cls(**columns, notes=notes, failure=parts[0].failure if failed else "", multipliers=multipliers)


def decided(search: Search, x: Tensor | None, goal: Goal) -> Judged:
    """Search from the points x, shape `(contexts, n)`, or where it suits f if omitted, and judge what is found."""
    if not len(search.surrogate):
        none = search.surrogate.constant
        return Judged(none.new_zeros(0, search.feasible_set.n), none, none, none.long(), none, none, none, ())
    quick = _compiled(search, x, goal)
    if quick is None:
        most = search.reference.largest(search.surrogate)
        return _explained(search, _searched(search.measured(), x, most, goal), goal)
    answers, measure = quick
    judged = _judged(search, answers, goal, measure)
    left = (~judged.certified(goal)).nonzero()[:, 0]
    if len(left) and not goal.late:
        rest = search.take(left)
        again = None if x is None else x[left]
        judged.put(left, _judged(rest, minimise(rest, again, answers.most[left], goal), goal))
    return judged


def _explained(search: Search, judged: Judged, goal: Goal) -> Judged:
    """Return what was found, with the reason why smooth networks over a wide box may have no proof."""
    networks, asked = search.surrogate, replace(goal, rtol=goal.rtol / SHARE, atol=goal.atol / SHARE)
    if not isinstance(networks, StackSurrogate) or not networks.stack.smooth or bool(judged.certified(asked).all()):
        return judged
    return judged if search.first_box() is None else replace(judged, notes=(*judged.notes, WIDE))


def _searched(search: Search, x: Tensor | None, most: Tensor, goal: Goal) -> Judged:
    """Return what a search finds; it goes on where its answers are good by the terms of f at the start alone."""
    answers = minimise(search, x, most, goal)
    judged = _judged(search, answers, goal)
    asked = replace(goal, rtol=goal.rtol / SHARE, atol=goal.atol / SHARE)
    left = (answers.done(goal) & ~judged.certified(asked)).nonzero()[:, 0]
    for _ in range(1 if search.surrogate.proves else ROUNDS):
        if not len(left) or goal.late or goal.max_iterations is not None:
            break
        rest, before = search.take(left), judged.take(left)
        # the terms of a module are known at answers alone: the search is told by how much f may vary
        known = most[left] if rest.surrogate.proves else torch.minimum(most[left], before.value + before.scale)
        again = minimise(rest, before.x, known, goal)
        again.iterations += before.iterations
        better = _judged(rest, replace(again, most=answers.most[left]), goal)
        closer = better.gap < before.gap
        judged.put(left[closer], better.take(closer))
        left = left[closer & ~better.certified(asked)]
    return judged


def _compiled(search: Search, x: Tensor | None, goal: Goal) -> tuple[Answers, Measure] | None:
    """Return what the compiled loops find, if the method leaves the choice and they can be used."""
    if not isinstance(search.method, Auto) or not isinstance(search.surrogate, StackSurrogate):
        return None
    region = search.feasible_set
    if search.first_box() is not None:  # much wider than what the network sees
        return None
    return compiled_answers(search.surrogate, region, search.reference, goal, x)


def _judged(search: Search, answers: Answers, goal: Goal, measure: Measure | None = None) -> Judged:
    """Return what is proven of answers, over the whole set of the search; a measure of flat networks saves time."""
    surrogate, feasible_set, c = search.surrogate, search.feasible_set, search.surrogate.constant
    x = snapped(feasible_set.project(answers.x), search.origin)
    if measure is None:
        plain, size = surrogate.value(x), surrogate.size(x, search.reference.half)
    else:
        plain, size = (torch.from_numpy(values) for values in measure(x.numpy()))
    value = plain + c
    scale = torch.minimum((answers.most - plain).clamp(min=0.0), size)
    proof = surrogate.prove(feasible_set, x, answers.dual, size, goal.rtol * scale)
    # the difference is rounded once, and so is the sum that the value is
    between = proof.above - proof.below
    gap = (between + 2.0 * EPS * (plain.abs() + value.abs())) * (1.0 + 8.0 * EPS)
    floor = least_gap(proof.size + c.abs())
    crossed = between < -floor  # by more than rounding
    proven = value.isfinite() & ~gap.isnan() & ~crossed  # an overflow proves nothing
    gap = torch.where(proven, gap.clamp(min=0.0), torch.inf)
    notes = [*answers.notes, *([proof.note] if proof.note else []), *([CROSSED] if bool(crossed.any()) else [])]
    violation = feasible_set.relative_violation(x)
    return Judged(x, value, gap, answers.iterations, scale, floor, violation, tuple(notes))
