"""A short descent in float32 that finds the way: near the minimiser, and which units still move there."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from decision._minimise.accelerated import Pace, descend
from decision._minimise.answers import Answers, Goal
from decision._minimise.stack import Dual
from decision._minimise.stack_surrogate import StackSurrogate
from decision.sets._base import FeasibleSet

ITERATIONS = (30, 10)  # before the pre-activations are noted, and after
COUNT = sum(ITERATIONS)
SHORT, FINEST = 1000, 1e-4  # iterations in float32 at most, and the relative accuracy that they aim at
PATIENCE = 100  # of these without progress: rounding is all that moves


def worth(goal: Goal) -> bool:
    """Return whether iterations would be left after scouting."""
    return goal.max_iterations is None or goal.max_iterations > COUNT


def scout(networks: StackSurrogate, feasible_set: FeasibleSet, answers: Answers, goal: Goal) -> list[Tensor]:
    """Improve `answers` a little by projected gradient; half the digits are enough for that.

    What was found is judged in float64.

    Args:
        networks: the networks.
        feasible_set: the set X.
        answers: changed in place.
        goal: when to stop.

    Returns:
        The pre-activations some iterations before the end, shape `(contexts, h_k)` of each layer.
    """
    short, stack = networks.short(), networks.stack
    rough = _rough(short, answers)
    before: list[Tensor] = []
    for count in ITERATIONS:
        descend(short, feasible_set, rough, replace(goal, max_iterations=count))
        x = feasible_set.project(rough.x.double())
        a = stack.preactivations(x)
        before = before or a
    answers.offer_point(x, stack.value(x, a))
    _offer_bound(networks, feasible_set, answers, rough)
    return before


def descend_short(networks: StackSurrogate, feasible_set: FeasibleSet, answers: Answers, goal: Goal) -> Pace | None:
    """Improve `answers` by projected gradient in float32, to the gap asked for or as far as half the digits go.

    Large networks are bound by the memory that a product reads. What was found is judged in float64.

    Args:
        networks: the networks.
        feasible_set: the set X.
        answers: changed in place.
        goal: when to stop.

    Returns:
        The pace at which float64 may go on.
    """
    short = networks.short()
    rough = _rough(short, answers)
    limit = SHORT if goal.max_iterations is None else min(SHORT, goal.max_iterations)
    rougher = replace(goal, rtol=max(goal.rtol, FINEST), max_iterations=limit)
    pace = descend(short, feasible_set, rough, rougher, PATIENCE)
    x = feasible_set.project(rough.x.double())
    answers.offer_point(x, networks.value(x))
    _offer_bound(networks, feasible_set, answers, rough)
    return None if pace is None else Pace(pace.delta.double(), pace.step.double())


def _rough(short: StackSurrogate, answers: Answers) -> Answers:
    """Return answers to begin with in float32."""
    return Answers.start(
        short, answers.x.float(), *(tensor.float() for tensor in (answers.most, answers.size, answers.unit))
    )


def _offer_bound(networks: StackSurrogate, feasible_set: FeasibleSet, answers: Answers, rough: Answers) -> None:
    """Offer the bound that multipliers in float32 give in float64, and count their iterations."""
    dual = Dual(*(tuple(tensor.double() for tensor in group) for group in (rough.dual.lam, rough.dual.u, rough.dual.p)))
    answers.offer_bound(networks.bound(feasible_set, dual), dual)
    answers.iterations += rough.iterations
