"""One contender of the benchmark on one instance: tuned, trained, and judged on contexts that no choice has seen.

What is trained, and what it costs on validation contexts, is kept at once (`courses`). So the cells of instances that
are named in `beside` share the work: the first of them trains for all, side by side, and the others read. A
configuration that diverges, or that no solver can decide with, is out of the choice, and counted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from decision.metrics import relative_gap
from experiments.baselines.seed.steps import seed_steps
from experiments.decision.courses import Course, InstanceFiles, held, train_courses
from experiments.decision.deciding import Decisions, settle
from experiments.decision.instances import FRESH, Instance, Sizes
from experiments.decision.judging import count, errors, rate_of
from experiments.decision.models import Configuration
from experiments.decision.regrets import coded
from experiments.decision.versions import named
from experiments.engine.tables import Row
from socicnn.errors import ModelError, SolverError


def contend(
    *,
    instance: int,
    task: str,
    n: int,
    model: str,
    loss: str,
    configurations: list[Configuration],
    finalists: int,
    sizes: dict[str, Any],
    fresh: int,
    models: str,
    version: dict[str, Any],
    seed: int | None = None,
    chosen: int | None = None,
    beside: Sequence[tuple[str, int]] = (),
) -> list[Row]:
    """Try every configuration briefly and the best of them in full, and judge the one of least cost on fresh contexts.

    Args:
        instance: number of the instance.
        task: name of the task.
        n: number of inputs.
        model: name of the model.
        loss: `within_context`, or `seed` for the authors' training, which has one configuration and is not tuned.
        configurations: what is tried.
        finalists: how many of them are trained in full.
        sizes: of the data.
        fresh: contexts to judge on.
        models: folder that trained models are kept in.
        version: of what makes the row; see `versions`.
        seed: of the network, the split and the batches; that of the instance if omitted.
        chosen: number of the configuration if another seed has chosen it; then nothing is tuned.
        beside: (task, instance) of others whose models are tuned and trained side by side with this one's, for their
            own cells; which they are changes a row by rounding in training.

    Raises:
        ModelError: every configuration failed.
    """
    every = [
        InstanceFiles(
            name,
            n,
            Sizes(**{**sizes, "instance": number}),
            number if seed is None else seed,
            Path(models),
            version,
        )
        for name, number in dict.fromkeys([(task, instance), *((name, number) for name, number in beside)])
    ]
    files = every[0]
    drawn, contexts = files.drawn, files.drawn.draw(FRESH, fresh)
    known = files.optimum(contexts)  # before the training: what can fail, fails first

    def courses(of: InstanceFiles, numbers: Sequence[int], share: float) -> dict[int, Course]:
        return {number: Course(of, model, loss, configurations[number], share) for number in numbers}

    numbers = list(range(len(configurations))) if chosen is None else [chosen]
    trials = {of: courses(of, numbers if len(numbers) > finalists else (), of.sizes.tuning_share) for of in every}
    train_courses([course for tried in trials.values() for course in tried.values()])
    best_of = {of: shortlist(tried, finalists) if tried else numbers for of, tried in trials.items()}
    whole = {of: courses(of, best_of[of], of.sizes.share) for of in every}
    train_courses([course for trained in whole.values() for course in trained.values()])
    tried, trained = trials[files], whole[files]
    best = next(iter(shortlist(trained, 1) if len(trained) > 1 else sound(trained)), None)
    records = [course.record for course in (*tried.values(), *trained.values())]
    failures = [record["failed"] for record in records if record["failed"]]
    if best is None:
        raise ModelError(f"every configuration of {model} failed, the last because: {failures[-1]}")
    last, judged = trained[best].record["cpu_s"], sum("cost" in record for record in records)
    labels = drawn.train.labels + sum(record["labels"] for record in records) + judged * files.sizes.tuning
    spent = sum(record["cpu_s"] + record["judging_cpu_s"] for record in records)
    result = trained[best].result()
    shared: Row = {"configuration": best, "parameters": count(result), "labels": labels, "diverged": len(failures)}
    shared |= {**errors(result, files.validation), "tuning_cpu_s": spent - last, "train_cpu_s": last}
    rows = [{"method": "certified", **shared, **afresh(drawn, result, contexts, known)}]
    if loss == "seed":
        steps = seed_steps(result, drawn.task.feasible_set, contexts, rate=rate_of(model))
        rows.append({"method": "seed-steps", **shared, **judged_afresh(drawn, steps.x, contexts, known)})
    return rows


def shortlist(courses: dict[int, Course], count: int) -> list[int]:
    """Return which of the configurations cost least on the validation contexts, the best of them first."""
    costs = {number: cost(course) for number, course in courses.items()}
    return sorted(sound(courses), key=costs.__getitem__)[:count]


def sound(courses: dict[int, Course]) -> list[int]:
    """Return the configurations that have not failed."""
    return [number for number, course in courses.items() if not course.record["failed"]]


def cost(course: Course) -> float:
    """Return the mean true cost of a trained model's decisions for the validation contexts, kept with the model.

    It is infinite for a model that diverged, or that no solver can decide with.
    """
    with held(course.place):
        record = course.record
        if "cost" not in record and not record["failed"]:
            model, drawn, (theta, least) = course.result(), course.files.drawn, course.files.tuning
            started = time.process_time()
            try:
                record["cost"] = validation_cost(drawn, settle(drawn.task, model, theta, least), theta)
            except SolverError as error:
                record["failed"] = str(error)
            record["judging_cpu_s"] = time.process_time() - started
            course.keep(model, record)
    return float(record.get("cost", math.inf))


def validation_cost(drawn: Instance, decisions: Decisions, theta: Tensor) -> float:
    """Return the mean true cost of decisions; a context without one costs what the set's centre costs."""
    decided = decisions.x.isfinite().all(dim=1, keepdim=True)
    x = torch.where(decided, decisions.x, drawn.task.feasible_set.centre())
    return float(drawn.task.cost(x, theta).mean())


def afresh(drawn: Instance, model: Any, contexts: Tensor, known: tuple[Tensor, Tensor]) -> Row:
    """Return the row of a surrogate's decisions for contexts whose optimum is known."""
    started = time.process_time()
    found = settle(drawn.task, model, contexts, known[1])
    seconds = time.process_time() - started
    row = judged_afresh(drawn, found.x, contexts, known)
    relative = relative_gap(found.gap, found.scale)
    decided = found.x.isfinite().all(dim=1)
    return row | {
        "relative_gap_max": float(relative[decided].amax()),
        "certified_share": float((relative[decided] <= found.rtol[decided]).double().mean()),
        "decide_cpu_s": seconds,
    }


def judged_afresh(drawn: Instance, x: Tensor, contexts: Tensor, known: tuple[Tensor, Tensor]) -> Row:
    """Return what the true cost says of decisions; figures are over the contexts that have one."""
    regret = drawn.task.cost(x, contexts) - known[1]
    decided = regret[regret.isfinite()]
    return {
        "contexts": len(contexts),
        "failed": len(contexts) - len(decided),
        "regret_mean": float(decided.mean()),
        "regret_median": float(decided.quantile(0.5)),
        "regret_q95": float(decided.quantile(0.95)),
        "regret_max": float(decided.amax()),
        "infeasibility": float(drawn.task.feasible_set.violation(x[x.isfinite().all(dim=1)]).amax()),
        **named(),
        "regrets": coded(regret),
    }
