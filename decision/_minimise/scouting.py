"""A short descent in float32 that finds the way: near the minimiser, and which units still move there."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from decision._minimise.accelerated import descend
from decision._minimise.answers import Answers, Goal
from decision._minimise.stack import Dual
from decision._minimise.stack_surrogate import StackSurrogate
from decision.sets._base import FeasibleSet

ITERATIONS = (30, 10)  # before the pre-activations are noted, and after
COUNT = sum(ITERATIONS)


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
    rough = Answers.start(
        short, answers.x.float(), *(tensor.float() for tensor in (answers.most, answers.size, answers.unit))
    )
    before: list[Tensor] = []
    for count in ITERATIONS:
        descend(short, feasible_set, rough, replace(goal, max_iterations=count))
        x = feasible_set.project(rough.x.double())
        a = stack.preactivations(x)
        before = before or a
    answers.offer_point(x, stack.value(x, a))
    dual = Dual(*(tuple(tensor.double() for tensor in group) for group in (rough.dual.lam, rough.dual.u, rough.dual.p)))
    answers.offer_bound(networks.bound(feasible_set, dual), dual)
    answers.iterations += rough.iterations
    return before
