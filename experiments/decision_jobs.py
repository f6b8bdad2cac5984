"""The jobs of experiment 3: try a configuration, train a model and decide with it, measure its times."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import torch
from torch import Tensor

from decision import tasks
from decision.baselines.seed_steps import RATE, STRUCTURED_RATE, seed_steps
from decision.deciding import decide
from decision.metrics import evaluate, relative_error, within_context_error
from decision.module_descent import decide_module
from decision.region import Region
from decision.tasks import Data, Task
from experiments.decision_models import BASELINES, NO_PROGRAM, Configuration, train
from experiments.tables import Row
from socicnn.errors import ModelError
from socicnn.nn import load, load_metadata, save
from socicnn.nn.network import Network

GAP = 1e-6  # relative gap to which decisions are certified
MODULE_GAP = 1e-4  # of surrogates without a conic program
TIGHT = 1e-4  # the table counts the contexts that are certified to this
MARGIN = 0.01  # decisions further than this outside the training candidates are counted; x lies in [0, 1]
TRAIN, VALIDATION, TEST, FRESH = 1, 2, 3, 4  # seeds of the data; nothing was shaped with FRESH in view
MOST_SEEDS = 10  # among which a kept model is looked for


class Answer(Protocol):
    """A batch of decisions: x, value and gap, with the seconds they took."""

    @property
    def x(self) -> Tensor:
        """Decisions."""
        ...

    @property
    def value(self) -> Tensor:
        """The surrogate's values."""
        ...

    @property
    def gap(self) -> Tensor:
        """Certified gaps."""
        ...

    @property
    def seconds(self) -> float:
        """Wall time."""
        ...


@final
@dataclass(frozen=True)
class Sizes:
    """How much data there is.

    Args:
        task_seed: seed of the task's arrays.
        contexts: training contexts, and as many for validation.
        candidates: labelled candidates of each.
        tests: test contexts.
        tuning: validation contexts that a configuration is judged on.
        tuning_share: share of the epochs that it is trained for.
        share: share of the epochs that a model is trained for.
        exact: test contexts that large networks are decided exactly for.
    """

    task_seed: int = 2026
    contexts: int = 1000
    candidates: int = 64
    tests: int = 200
    tuning: int = 100
    tuning_share: float = 0.3
    share: float = 1.0
    exact: int = 20


@final
@dataclass(frozen=True)
class Instance:
    """A task with its data."""

    task: Task
    train: Data
    sizes: Sizes

    @classmethod
    def of(cls, name: str, n: int, sizes: Sizes) -> Instance:
        """Draw the task and its training data."""
        task = tasks.make(name, features=n, seed=sizes.task_seed)
        return cls(task, task.sample(sizes.contexts, sizes.candidates, seed=TRAIN), sizes)

    def validation(self) -> Data:
        """Return the validation data."""
        return self.task.sample(self.sizes.contexts, self.sizes.candidates, seed=VALIDATION)

    def tuning_contexts(self) -> Tensor:
        """Return the contexts that configurations are judged on."""
        return self.task.sample_contexts(self.sizes.contexts, seed=VALIDATION)[: self.sizes.tuning]


def errors(model: Network, data: Data) -> Row:
    """Return the prediction errors on data."""
    with torch.no_grad():
        f = model(data.x, data.context.unsqueeze(1))
    return {
        "test_relative_error": relative_error(f, data.y),
        "within_context_error": within_context_error(f, data.y),
    }


def certified(name: str, model: Network, instance: Instance, context: Tensor) -> Answer:
    """Decide by our optimiser: `decide`, or descent on the module where there is no program."""
    if name in NO_PROGRAM:
        return decide_module(model, instance.task.feasible_set, context, gap=MODULE_GAP)
    return decide(model, instance.task.feasible_set, context, gap=GAP)


def try_configuration(
    *,
    task: str,
    n: int,
    model: str,
    loss: str,
    configuration: int,
    given: Configuration,
    sizes: dict[str, Any],
    version: int,
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
    answer = certified(model, fitted.model, instance, theta)
    cost = instance.task.cost(answer.x, theta)
    return [
        {
            "validation_cost": cost.mean(),
            **errors(fitted.model, instance.validation()),
            "labels": len(theta),
            "parameters": count(fitted.model),
            "epochs": fitted.epochs,
            "cpu_s": seconds,
        }
    ]


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
    version: int,
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
    }
    return [{"method": method, **shared, **row} for method, row in judged(model, trained, instance).items()]


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
    version: int,
) -> list[Row]:
    """Decide for contexts that neither training nor the choice of shapes has seen, and judge by the true cost."""
    instance = Instance.of(task, n, Sizes(**sizes))
    kept = model_file(models, task, n, model, loss, seed)
    if not kept.is_file():  # a table may have come without its models: the same training gives them again
        kept.parent.mkdir(parents=True, exist_ok=True)
        save(train(model, loss, instance.train, seed, given, instance.sizes.share).model, kept)
    theta = instance.task.sample_contexts(contexts, seed=FRESH)
    answer = certified(model, load(kept), instance, theta)
    row = evaluate(instance.task, answer, theta, optimum=instance.task.optimum(theta)).row()
    names = ("regret_mean", "regret_median", "regret_max", "infeasibility", "certified_gap_max")
    return [{"contexts": contexts, **{name: row[name] for name in names}}]


def judged(name: str, model: Network, instance: Instance) -> dict[str, Row]:
    """Return the metrics of each method's decisions on the test contexts."""
    task, sizes = instance.task, instance.sizes
    theta = task.sample_contexts(sizes.tests, seed=TEST)
    optimum = task.optimum(theta)
    region = Region.of(instance.train)
    answers = {
        "seed-steps": seed_steps(model, task.feasible_set, theta, rate=rate_of(name)),
        "certified": certified(name, model, instance, theta),
    }
    exact = exactly(name, model, instance, theta)
    if exact is not None:
        answers["exact"] = exact
    best = minimiser(list(answers.values()))
    return {method: metrics(answer, instance, theta, optimum, region, best) for method, answer in answers.items()}


def minimiser(answers: list[Answer]) -> Tensor:
    """Return the point of least surrogate value of each context, which stands for its exact minimiser."""
    x, value = answers[0].x.clone(), answers[0].value.clone()
    for answer in answers[1:]:
        size = len(answer.x)
        better = answer.value < value[:size]
        x[:size] = torch.where(better[:, None], answer.x, x[:size])
        value[:size] = torch.minimum(answer.value, value[:size])
    return x


def metrics(
    answer: Answer,
    instance: Instance,
    theta: Tensor,
    optimum: tuple[Tensor, Tensor],
    region: Region,
    best: Tensor,
) -> Row:
    """Return one row of metrics; the regret is split at the surrogate's minimiser `best`."""
    size = len(answer.x)
    found = evaluate(
        instance.task, answer, theta[:size], optimum=(optimum[0][:size], optimum[1][:size]), exact=best[:size]
    )
    return {
        "contexts": size,
        **found.row(),
        "certified_share": float((found.gap <= TIGHT).double().mean()),
        "outside": int(region.outside(answer.x, MARGIN).sum()),
    }


@dataclass(frozen=True)
class Solved:
    """Decisions of a solver."""

    x: Tensor
    value: Tensor
    gap: Tensor
    seconds: float


def exactly(name: str, model: Network, instance: Instance, theta: Tensor) -> Answer | None:
    """Decide through a solver: the conic program; large networks for the first contexts only, softplus not at all."""
    feasible_set = instance.task.feasible_set
    if name == "structured-dcp":
        started = time.perf_counter()
        x = model.minimize(feasible_set, theta)  # type: ignore[operator]  # of the structured models alone
        seconds = time.perf_counter() - started
        with torch.no_grad():
            value = model(x, theta)
        return Solved(x, value, certified(name, model, instance, theta).gap, seconds)
    if name in NO_PROGRAM:
        return None
    size = instance.sizes.exact if name.endswith("joint") else len(theta)
    return decide(model, feasible_set, theta[:size], method="exact")


def rate_of(name: str) -> float:
    """Return the step size of the authors' decisions."""
    return STRUCTURED_RATE if name in BASELINES else RATE


def count(model: Network) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def model_file(models: str, task: str, n: int, model: str, loss: str, seed: int) -> Path:
    """Return where a trained model is kept."""
    return Path(models) / f"{task}-{n}-{model}-{loss}-{seed}.safetensors"


def finalist_file(
    models: str, task: str, n: int, model: str, loss: str, given: Configuration, sizes: dict[str, Any]
) -> Path:
    """Return where a model of seed 0 is kept that one configuration was trained to in full."""
    digest = hashlib.sha256(json.dumps([given, sizes], sort_keys=True).encode()).hexdigest()[:10]
    return Path(models) / "finalists" / f"{task}-{n}-{model}-{loss}-{digest}.safetensors"


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
    version: int,
) -> list[Row]:
    """Measure times with nothing beside: training, from a few epochs, and decisions at batch 1 and of all contexts."""
    instance = Instance.of(task, n, Sizes(**sizes))
    train_s = _training_seconds(model, loss, instance, given, epochs)
    # any seed's model will do; and a table may have come without its models: the same training gives them again
    files = [model_file(models, task, n, model, loss, seed) for seed in range(MOST_SEEDS)]
    kept = next((file for file in files if file.is_file()), None)
    trained = train(model, loss, instance.train, 0, given, instance.sizes.share).model if kept is None else load(kept)
    theta = instance.task.sample_contexts(instance.sizes.tests, seed=TEST)
    feasible_set = instance.task.feasible_set
    ways: dict[str, Callable[[Tensor], Answer | None]] = {
        "seed-steps": lambda theta: seed_steps(trained, feasible_set, theta, rate=rate_of(model)),
        "certified": lambda theta: certified(model, trained, instance, theta),
        "exact": lambda theta: exactly(model, trained, instance, theta),
    }
    rows: list[Row] = []
    for method, way in ways.items():
        one, many = _milliseconds(way, theta[:1], repeat), _milliseconds(way, theta, 1)
        if one is not None:
            rows.append({"method": method, "train_s": train_s, "decide_ms_1": one, "decide_ms_200": many})
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


def _milliseconds(way: Callable[[Tensor], Answer | None], theta: Tensor, repeat: int) -> float | None:
    """Return the least milliseconds a context of some runs; None where the way does not exist."""
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        answer = way(theta)
        if answer is None:
            return None
        times.append(1e3 * (time.perf_counter() - started) / len(answer.x))
    return min(times)
