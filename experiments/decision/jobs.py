"""The jobs of experiment 3: try a configuration, train a model and decide with it, measure its times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from decision._deciding import decide
from experiments.baselines.seed.steps import seed_steps
from experiments.decision.contest import afresh, validation_cost
from experiments.decision.deciding import optimum, settle
from experiments.decision.instances import FRESH, TEST, Instance, Sizes, finalist_file, model_file
from experiments.decision.judging import Found, count, errors, exactly, judged, rate_of
from experiments.decision.models import Configuration, train
from experiments.decision.versions import RTOL, named
from experiments.engine.cells import kept_as
from experiments.engine.tables import Row
from socicnn.errors import ModelError
from socicnn.nn import load, load_metadata, save

MOST_SEEDS = 10  # among which a kept model is looked for


@kept_as("experiments.decision_jobs.try_configuration")
def try_configuration(
    *,
    task: str,
    n: int,
    model: str,
    loss: str,
    configuration: int,
    given: Configuration,
    sizes: dict[str, Any],
    version: dict[str, Any],
    models: str | None = None,
) -> list[Row]:
    """Train with one configuration and judge it by the true cost of its decisions on validation contexts.

    Without `models` the training is short, for `tuning_share` of the epochs; with it the model is trained in full and
    kept there, so that `fit_and_decide` need not train it again.
    """
    instance = Instance.of(task, n, Sizes(**sizes))
    share = instance.sizes.tuning_share if models is None else instance.sizes.share
    started = time.process_time()
    fitted = train(model, loss, instance.train, 0, given, share)
    seconds = time.process_time() - started
    if models is not None:
        place = finalist_file(models, task, n, model, loss, given, sizes)
        place.parent.mkdir(parents=True, exist_ok=True)
        save(fitted.model, place, {"epochs": fitted.epochs})
    theta = instance.tuning_contexts()
    answer = settle(instance.task, fitted.model, theta, optimum(instance.task, theta)[1])
    return [
        {
            "validation_cost": validation_cost(instance, answer, theta),
            **errors(fitted.model, instance.validation()),
            "labels": len(theta),
            "parameters": count(fitted.model),
            "epochs": fitted.epochs,
            "cpu_s": seconds,
            **named(),
        }
    ]


@kept_as("experiments.decision_jobs.fit_and_decide")
def fit_and_decide(
    *,
    task: str,
    n: int,
    model: str,
    loss: str,
    seed: int,
    given: Configuration | None,
    sizes: dict[str, Any],
    models: str,
    version: dict[str, Any],
) -> list[Row]:
    """Train a model and decide for the test contexts by every method; one row a method."""
    if given is None:
        raise ModelError(f"{model} has not been tuned for {task} at n = {n}; run `--stage tune` first")
    instance = Instance.of(task, n, Sizes(**sizes))
    place = model_file(models, task, n, model, loss, seed)
    finalist = finalist_file(models, task, n, model, loss, given, sizes)
    if seed == 0 and finalist.is_file():
        trained, epochs = load(finalist), load_metadata(finalist)["epochs"]
    else:
        fitted = train(model, loss, instance.train, seed, given, instance.sizes.share)
        trained, epochs = fitted.model, fitted.epochs
    place.parent.mkdir(parents=True, exist_ok=True)
    save(trained, place)
    shared: Row = {
        "parameters": count(trained),
        "labels": instance.train.labels,
        "epochs": epochs,
        **errors(trained, instance.validation()),
        **named(),
    }
    return [{"method": method, **shared, **row} for method, row in judged(model, trained, instance).items()]


@kept_as("experiments.decision_jobs.judge_afresh")
def judge_afresh(
    *,
    task: str,
    n: int,
    model: str,
    loss: str,
    seed: int,
    given: Configuration,
    sizes: dict[str, Any],
    models: str,
    contexts: int,
    version: dict[str, Any],
) -> list[Row]:
    """Decide for contexts that neither training nor the choice of shapes has seen, and judge by the true cost."""
    instance = Instance.of(task, n, Sizes(**sizes))
    kept = model_file(models, task, n, model, loss, seed)
    if not kept.is_file():  # a table may have come without its models: the same training gives them again
        kept.parent.mkdir(parents=True, exist_ok=True)
        save(train(model, loss, instance.train, seed, given, instance.sizes.share).model, kept)
    theta = instance.draw(FRESH, contexts)
    return [afresh(instance, load(kept), theta, optimum(instance.task, theta))]


@kept_as("experiments.decision_jobs.measure")
def measure(
    *,
    task: str,
    n: int,
    model: str,
    loss: str,
    epochs: int,
    given: Configuration,
    sizes: dict[str, Any],
    models: str,
    repeat: int,
    version: dict[str, Any],
) -> list[Row]:
    """Measure times with nothing beside: training, from a few epochs, and decisions at batch 1 and of all contexts."""
    instance = Instance.of(task, n, Sizes(**sizes))
    train_s = _training_seconds(model, loss, instance, given, epochs)
    # any seed's model will do; and a table may have come without its models: the same training gives them again
    files = [model_file(models, task, n, model, loss, seed) for seed in range(MOST_SEEDS)]
    kept = next((file for file in files if file.is_file()), None)
    trained = train(model, loss, instance.train, 0, given, instance.sizes.share).model if kept is None else load(kept)
    theta = instance.draw(TEST, instance.sizes.tests)
    feasible_set = instance.task.feasible_set
    ways: dict[str, Callable[[Tensor], Found | None]] = {
        "seed-steps": lambda theta: seed_steps(trained, feasible_set, theta, rate=rate_of(model)),
        "certified": lambda theta: decide(trained, feasible_set, theta, rtol=RTOL),
        "exact": lambda theta: exactly(model, trained, instance, theta),
    }
    rows: list[Row] = []
    for method, way in ways.items():
        one, many = _milliseconds(way, theta[:1], repeat), _milliseconds(way, theta, 1)
        if one is not None:
            rows.append({"method": method, "train_s": train_s, "decide_ms_1": one, "decide_ms_200": many, **named()})
    return rows


def _training_seconds(model: str, loss: str, instance: Instance, given: Configuration, epochs: int) -> float:
    """Return the seconds of a training, from two epochs and ten iterations of a finish beside one epoch alone."""

    def seconds(some: int, polish: int = 0) -> float:
        changed = {"epochs": some, **({"polish": polish} if polish else {})}
        training = {name: value for name, value in given["training"].items() if name != "polish"}
        started = time.perf_counter()
        train(model, loss, instance.train, 0, {**given, "training": {**training, **changed}})
        return time.perf_counter() - started

    seconds(1)  # what only the first call costs is not training
    one = seconds(1)
    total = one + (epochs - 1) * (seconds(3) - one) / 2
    iterations = given["training"].get("polish", 0)
    return total + (iterations * (seconds(1, polish=10) - one) / 10 if iterations else 0.0)


def _milliseconds(way: Callable[[Tensor], Found | None], theta: Tensor, repeat: int) -> float | None:
    """Return the least milliseconds per context of some runs; None if that way does not exist."""
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        answer = way(theta)
        if answer is None:
            return None
        times.append(1e3 * (time.perf_counter() - started) / len(answer.x))
    return min(times)
