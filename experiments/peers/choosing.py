"""What every peer shares: the choice on validation contexts, the rows of its answers, and the seconds they took."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from decision._region import Region
from experiments.decision.contest import validation_cost
from experiments.decision.deciding import optimum, settle
from experiments.decision.instances import Instance
from experiments.decision.judging import Found, metrics, minimiser
from experiments.decision.versions import named
from experiments.engine.tables import Row


def seconds_spent() -> float:
    """Return the CPU seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def spent_since(started: float, shared: Row) -> Row:
    """Return the CPU seconds of a choice and of the training that counts, as `contest.contend` has them."""
    last = float(shared["train_s"])  # type: ignore[arg-type]  # seconds
    return {"tuning_cpu_s": max(0.0, seconds_spent() - started - last), "train_cpu_s": last}


def cheapest(instance: Instance, models: Sequence[Any]) -> int:
    """Return which of the models decides for the validation contexts at the least true cost."""
    theta = instance.tuning_contexts()
    least = optimum(instance.task, theta)[1]
    costs = [validation_cost(instance, settle(instance.task, model, theta, least), theta) for model in models]
    return min(range(len(costs)), key=costs.__getitem__)


def judged(
    instance: Instance,
    test: Tensor,
    known: tuple[Tensor, Tensor],
    ways: dict[str, tuple[Found, float, float]],
    shared: Row,
    scale: Tensor,
) -> list[Row]:
    """Return one row per method: its answer, and CPU seconds for all contexts one by one and at once."""
    region = Region.of(instance.train)
    best = minimiser([answer for answer, _, _ in ways.values()])
    return [
        {
            "method": method,
            **shared,
            **metrics(answer, instance, test, known, region, best, scale),
            "decide_ms_1": 1e3 * one / len(test),
            "decide_ms_200": 1e3 * many / len(test),
            **named(),
        }
        for method, (answer, one, many) in ways.items()
    ]


def timed(way: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and its CPU seconds: others may run beside it."""
    started = time.process_time()
    found = way()
    return found, time.process_time() - started
