"""One contender of the benchmark on one instance: tuned, trained, and judged on contexts that no choice has seen."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from decision.learning import FocusedOptions, fit_focused
from decision.metrics import relative_gap
from experiments.baselines.seed.steps import seed_steps
from experiments.decision.deciding import Decisions, optimum, settle
from experiments.decision.instances import FRESH, Instance, Sizes
from experiments.decision.judging import count, errors, rate_of
from experiments.decision.models import Configuration, train
from experiments.decision.regrets import coded
from experiments.decision.versions import named
from experiments.engine.tables import Row
from socicnn.nn import load, load_metadata, save
from socicnn.nn._network import Network


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
    """
    seed = instance if seed is None else seed
    drawn = Instance.of(task, n, Sizes(**{**sizes, "instance": instance}))
    contexts = drawn.draw(FRESH, fresh)
    known = optimum(drawn.task, contexts)  # before the training: what can fail, fails first
    theta, least = drawn.tuning_contexts(), optimum(drawn.task, drawn.tuning_contexts())[1]
    started = time.process_time()

    def cost_of(surrogate: Any) -> float:
        return validation_cost(drawn, settle(drawn.task, surrogate, theta, least), theta)

    numbers, labels = list(range(len(configurations))), drawn.train.labels
    if chosen is not None:
        numbers = [chosen]
    elif finalists < len(configurations):
        tried = [fitted(model, loss, drawn, given, sizes["tuning_share"], seed) for given in configurations]
        costs = [cost_of(one) for one, _ in tried]
        labels += sum(asked for _, asked in tried) + len(tried) * len(theta)
        numbers = sorted(numbers, key=costs.__getitem__)[:finalists]
    whole, seconds = {}, {}
    for number in numbers:
        place = _place(models, drawn, model, loss, configurations[number], version, seed)
        before = time.process_time()
        whole[number], asked = _kept_or_fitted(place, model, loss, drawn, configurations[number], seed)
        seconds[number] = time.process_time() - before
        labels += asked
    best = numbers[0]
    if len(numbers) > 1:
        best = min(numbers, key=lambda number: cost_of(whole[number]))
        labels += len(numbers) * len(theta)
    spent, trained = time.process_time() - started - seconds[best], whole[best]
    shared: Row = {"configuration": best, "parameters": count(trained), "labels": labels}
    shared |= {**errors(trained, drawn.validation()), "tuning_cpu_s": spent, "train_cpu_s": seconds[best]}
    rows = [{"method": "certified", **shared, **afresh(drawn, trained, contexts, known)}]
    if loss == "seed":
        steps = seed_steps(trained, drawn.task.feasible_set, contexts, rate=rate_of(model))
        rows.append({"method": "seed-steps", **shared, **judged_afresh(drawn, steps.x, contexts, known)})
    return rows


def _place(
    models: str, drawn: Instance, model: str, loss: str, given: Configuration, version: dict[str, Any], seed: int
) -> Path:
    """Return where the model that one configuration is trained to in full is kept."""
    made_of = [given, vars(drawn.sizes), version["training"]]
    if seed != drawn.sizes.instance:
        made_of.append(seed)
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:10]
    name = f"{drawn.sizes.instance}-{drawn.task.name}-{drawn.task.in_features}-{model}-{loss}-{digest}.safetensors"
    return Path(models) / name


def _kept_or_fitted(
    place: Path, model: str, loss: str, drawn: Instance, given: Configuration, seed: int
) -> tuple[Network, int]:
    """Return the kept model, or fit it and keep it at once, so that nothing that follows can lose it."""
    if place.is_file():
        return load(place), int(load_metadata(place).get("labels", 0))
    found, labels = fitted(model, loss, drawn, given, drawn.sizes.share, seed)
    place.parent.mkdir(parents=True, exist_ok=True)
    save(found, place, {"labels": labels})
    return found, labels


def fitted(
    model: str, loss: str, drawn: Instance, given: Configuration, share: float, seed: int
) -> tuple[Network, int]:
    """Return a trained model, and the true costs that were asked for beside the training data.

    A configuration with `focus` goes on for that many steps on the true cost of its decisions, through a
    `DecisionLayer`; a gradient of the true cost counts as n + 1 labels.
    """
    found = train(model, loss, drawn.train, seed, given, share).model
    if not given.get("focus"):
        return found, 0
    steps, exact = max(1, round(share * given["focus"])), FocusedOptions(gradient="exact")
    spent = fit_focused(found, drawn.task, drawn.train, steps=steps, seed=seed, progress=False, options=exact)
    return found, spent.labels


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
