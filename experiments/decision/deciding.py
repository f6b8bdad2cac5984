"""Decisions for the benchmark: one accuracy for every model, and a context that fails costs only itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from decision._deciding import decide
from decision.sets import FeasibleSet
from decision.tasks import Task
from experiments.decision.versions import FINE, RTOL

CLEAR = 100.0  # a regret of that many times the accuracy is not changed by a finer one
OTHERS = ("exact", "projected_gradient")  # methods for a context at which `auto` fails


@final
@dataclass(frozen=True)
class Decisions:
    """Decisions for a batch of contexts; a context without one has NaN in its row.

    Args:
        x: shape `(contexts, n)`.
        value: the surrogate's values, shape `(contexts,)`.
        gap: proven gaps, shape `(contexts,)`.
        scale: what gaps are relative to, shape `(contexts,)`.
        rtol: relative accuracy that was asked for, shape `(contexts,)`.
    """

    x: Tensor
    value: Tensor
    gap: Tensor
    scale: Tensor
    rtol: Tensor

    @property
    def failed(self) -> int:
        """How many contexts have no decision."""
        return int((~self.x.isfinite().all(dim=1)).sum())


def each(way: Callable[[Tensor], tuple[Tensor, ...]], theta: Tensor, *others: Callable[[Tensor], Any]) -> Any:
    """Return what a way gives for all contexts; where it raises, context by context, with the other ways in turn.

    Args:
        way: called with contexts of shape `(some, p)`; returns tensors with a row per context.
        theta: the contexts, shape `(contexts, p)`.
        others: further ways for a context at which the first fails.

    Returns:
        The tensors; NaN in the rows of contexts at which every way fails.

    Raises:
        Exception: that of the first way, if every way fails at every context: then it is not the contexts' fault.
    """
    try:
        return way(theta)
    except Exception as error:  # whatever a solver raises for one context must not cost the others
        found = [_first((way, *others), theta[i : i + 1]) for i in range(len(theta))]
        shapes = next((parts for parts in found if parts is not None), None)
        if shapes is None:
            raise
        del error
        empty = tuple(torch.full_like(part, torch.nan) for part in shapes)
        rows = [empty if parts is None else parts for parts in found]
        return tuple(torch.cat(parts) for parts in zip(*rows, strict=True))


def _first(ways: tuple[Callable[[Tensor], Any], ...], theta: Tensor) -> Any:
    for way in ways:
        try:
            return way(theta)
        except Exception:  # the next way may succeed
            continue
    return None


def decide_all(model: Any, feasible_set: FeasibleSet, theta: Tensor, *, rtol: float = RTOL) -> Decisions:
    """Decide for all contexts to one accuracy; a context that fails is tried by other methods."""

    def by(method: Any) -> Callable[[Tensor], tuple[Tensor, ...]]:
        def way(some: Tensor) -> tuple[Tensor, ...]:
            answer = decide(model, feasible_set, some, method, rtol=rtol)
            return answer.x, answer.value, answer.gap, answer.scale

        return way

    x, value, gap, scale = each(by("auto"), theta, *map(by, OTHERS))
    return Decisions(x, value, gap, scale, torch.full_like(gap, rtol))


def settle(task: Task, model: Any, theta: Tensor, F_star: Tensor) -> Decisions:
    """Decide to `RTOL` of the scale, and to `FINE` for each context whose regret that accuracy could change.

    Args:
        task: the task, whose true cost gives the regrets.
        model: the surrogate.
        theta: contexts, shape `(contexts, p)`.
        F_star: least true costs, shape `(contexts,)`.
    """
    coarse = decide_all(model, task.feasible_set, theta)
    near = (task.cost(coarse.x, theta) - F_star < CLEAR * RTOL * coarse.scale).nonzero()[:, 0]
    if not len(near):
        return coarse
    fine = decide_all(model, task.feasible_set, theta[near], rtol=FINE)
    near, fine = near[whole := fine.x.isfinite().all(dim=1)], _rows(fine, whole)
    parts = {name: getattr(coarse, name).clone() for name in ("x", "value", "gap", "scale", "rtol")}
    for name, part in parts.items():
        part[near] = getattr(fine, name)
    return Decisions(**parts)


def _rows(given: Decisions, rows: Tensor) -> Decisions:
    return Decisions(given.x[rows], given.value[rows], given.gap[rows], given.scale[rows], given.rtol[rows])


def optimum(task: Task, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Return `task.optimum`; a context at which every solver fails, or two disagree, has NaN."""
    found: tuple[Tensor, Tensor] = each(task.optimum, theta)
    return found
