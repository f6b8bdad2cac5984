"""The jobs of the peers: fit lpcf, or train a layer of cvxpylayers, choose on validation contexts, decide, judge."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from decision._region import Region
from decision.baselines import StructuredPCF
from decision.baselines.cvxpylayer import EndToEnd, SolverLayer, fit_end_to_end
from decision.tasks import Data
from experiments.baselines.lpcf.fitting import Fit, fit_each
from experiments.baselines.lpcf.function import LPCF, LPCFSettings
from experiments.decision import models as decision_models
from experiments.decision.contest import afresh, validation_cost
from experiments.decision.deciding import Decisions, each, optimum, settle
from experiments.decision.instances import APART, FRESH, TEST, TRAIN, Instance, Sizes
from experiments.decision.judging import Chosen, Found, count, errors, gap_of, metrics, minimiser
from experiments.decision.versions import named
from experiments.engine.cells import kept_as
from experiments.engine.tables import Row

# lpcf: the shape of its networks, its condition on the minimiser, the share of candidates near the boundary, and
# further seeds of its random weights
LPCF_CONFIGURATIONS: list[dict[str, Any]] = [
    {"widths": [8], "widths_psi": [], "quadratic": 1},
    {"widths": [8], "widths_psi": [8], "quadratic": 1},
    {"widths": [6, 6], "widths_psi": [], "quadratic": None},
    {"widths": [8], "widths_psi": [], "quadratic": 1, "activation": "logistic"},
    {"widths": [8], "widths_psi": [], "quadratic": 1, "argmin_penalty": 1e-2},
    {"widths": [8], "widths_psi": [], "quadratic": 1, "boundary": 0.5},
    {"widths": [8], "widths_psi": [], "quadratic": 1, "seed": 1},
    {"widths": [8], "widths_psi": [], "quadratic": 1, "seed": 2},
]
# cvxpylayers: where the layer starts, at random or trained on values with the within-context loss, and the step size
LAYER_CONFIGURATIONS: list[dict[str, Any]] = [
    {"start": start, "learning_rate": rate}
    for start, rates in (("values", (1e-3, 3e-3, 1e-2)), ("random", (5e-3, 2e-2, 5e-2)))
    for rate in rates
]
# and as its authors do: nothing but end to end
END_TO_END_CONFIGURATIONS: list[dict[str, Any]] = [
    {"start": "random", "learning_rate": rate} for rate in (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)
]


@kept_as("experiments.peers_jobs.peer_lpcf")
def peer_lpcf(
    *,
    task: str,
    n: int,
    model: str,
    loss: str,
    seed: int,
    configurations: list[dict[str, Any]],
    sizes: dict[str, Any],
    final: dict[str, int],
    tuning: dict[str, int],
    version: dict[str, Any],
) -> list[Row]:
    """Fit lpcf with every configuration on few contexts, with the best of them on more, and decide for the tests.

    Args:
        task: name of the task.
        n: number of inputs.
        model: name of the model, for the table.
        loss: `lpcf`, its own, or `within_context`.
        seed: of the initial weights.
        configurations: what is tried.
        sizes: of the benchmark's data.
        final: {"contexts", "candidates", "adam_epochs", "lbfgs_epochs"} of the fit that counts.
        tuning: the same of the fits that are compared; they take a part of the same labelled points.
        version: of this function.
    """
    instance = Instance.of(task, n, Sizes(**sizes))
    fitted, shared = fitted_lpcf(instance, loss, seed, configurations, final, tuning)
    feasible_set, test = instance.task.feasible_set, instance.draw(TEST, instance.sizes.tests)
    known = optimum(instance.task, test)
    ours, cpu = timed(lambda: settle(instance.task, fitted, test, known[1]))
    spent: list[float] = []  # in lpcf's own process, which `timed` does not see

    def exported(some: Tensor) -> tuple[Tensor, ...]:
        x, seconds = fitted.decide_exported(feasible_set, some)
        spent.append(seconds)
        return (x,)

    (x,) = each(exported, test)
    export_cpu = sum(spent)
    with torch.no_grad():
        value = fitted(x, test)
    exact = Chosen(x, value, gap_of(value, ours))
    ways = {"certified": (ours, cpu, cpu), "exact": (exact, export_cpu, export_cpu)}
    return judged(instance, test, known, ways, shared, ours.scale)


def contend_lpcf(
    *,
    instance: int,
    task: str,
    n: int,
    model: str,
    loss: str,
    configurations: list[dict[str, Any]],
    sizes: dict[str, Any],
    final: dict[str, int],
    tuning: dict[str, int],
    fresh: int,
    version: dict[str, Any],
) -> list[Row]:
    """Fit lpcf as `peer_lpcf` does, on an instance of its own, and judge it as `contest.contend` does."""
    drawn = Instance.of(task, n, Sizes(**{**sizes, "instance": instance}))
    contexts = drawn.draw(FRESH, fresh)
    known = optimum(drawn.task, contexts)
    started = seconds_spent()
    fitted, shared = fitted_lpcf(drawn, loss, instance, configurations, final, tuning)
    shared |= spent_since(started, shared)
    return [{"method": "certified", **shared, **afresh(drawn, fitted, contexts, known)}]


def seconds_spent() -> float:
    """Return the CPU seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def spent_since(started: float, shared: Row) -> Row:
    """Return the CPU seconds of a choice and of the training that counts, as `contest.contend` has them."""
    last = float(shared["train_s"])  # type: ignore[arg-type]  # seconds
    return {"tuning_cpu_s": max(0.0, seconds_spent() - started - last), "train_cpu_s": last}


def fitted_lpcf(
    instance: Instance,
    loss: str,
    seed: int,
    configurations: list[dict[str, Any]],
    final: dict[str, int],
    tuning: dict[str, int],
) -> tuple[LPCF, Row]:
    """Return the best of some configurations, fitted under the final caps, and the columns that describe it."""
    sources = {share: source(instance, share) for share in {given.get("boundary", 0.0) for given in configurations}}

    def fits(chosen: Sequence[int], caps: dict[str, int]) -> list[LPCF]:
        return fit_each([fit_of(configurations[number], sources, loss, seed, caps) for number in chosen])

    tried = fits(range(len(configurations)), tuning)
    number = cheapest(instance, tried)
    (fitted,) = fits([number], final)
    seen = {share: tuning["contexts"] * tuning["candidates"] for share in sources}
    seen[configurations[number].get("boundary", 0.0)] = final["contexts"] * final["candidates"]
    shared: Row = {
        "configuration": number,
        "parameters": count(fitted),  # type: ignore[arg-type]  # it has parameters, as a network has
        "labels": sum(seen.values()) + len(configurations) * instance.sizes.tuning,
        "epochs": final["adam_epochs"] + final["lbfgs_epochs"],
        **errors(fitted, instance.validation()),  # type: ignore[arg-type]  # it is called as a network is
        "train_s": fitted.seconds,
    }
    return fitted, shared


def source(instance: Instance, boundary: float) -> Data:
    """Return the training data, or data of the same contexts with a share of the candidates near the boundary."""
    if not boundary:
        return instance.train
    sizes = instance.sizes
    return instance.task.sample(
        sizes.contexts, sizes.candidates, seed=TRAIN + APART * sizes.instance, boundary=boundary
    )


def fit_of(given: dict[str, Any], sources: dict[float, Data], loss: str, seed: int, caps: dict[str, int]) -> Fit:
    """Return the fit of a configuration under caps."""
    options = dict(given)
    data, further = sources[options.pop("boundary", 0.0)], options.pop("seed", 0)
    contexts, candidates = caps["contexts"], caps["candidates"]
    part = Data(data.x[:contexts, :candidates], data.context[:contexts], data.y[:contexts, :candidates])
    options |= {name: tuple(options[name]) for name in ("widths", "widths_psi")}
    epochs = {name: caps[name] for name in ("adam_epochs", "lbfgs_epochs")}
    return Fit(part, LPCFSettings(loss=loss, **epochs, **options), seed + 1000 * further)


@kept_as("experiments.peers_jobs.peer_layer")
def peer_layer(
    *,
    task: str,
    n: int,
    model: str,
    loss: str,
    seed: int,
    configurations: list[dict[str, Any]],
    sizes: dict[str, Any],
    final: dict[str, int],
    tuning: dict[str, int],
    values: dict[str, Any],
    version: dict[str, Any],
) -> list[Row]:
    """Train a layer end to end with every configuration briefly, with the best of them longer, and decide.

    Args:
        task: name of the task.
        n: number of inputs.
        model: name of the model, for the table.
        loss: name of the loss, for the table.
        seed: of the initial weights.
        configurations: what is tried.
        sizes: of the benchmark's data.
        final: {"contexts", "epochs"} of the training that counts.
        tuning: the same of those that are compared.
        values: {"configuration", "share"} of the training on values that some start from, left out where none does.
        version: of this function.
    """
    instance = Instance.of(task, n, Sizes(**sizes))
    layer, shared = trained_layer(instance, seed, configurations, final, tuning, values)
    feasible_set, test = instance.task.feasible_set, instance.draw(TEST, instance.sizes.tests)
    known = optimum(instance.task, test)

    def ours_of(some: Tensor) -> Decisions:
        return settle(instance.task, layer.model, some, known[1][: len(some)])

    def raw_of(some: Tensor) -> Tensor:
        with torch.no_grad():
            return each(lambda part: (layer(part),), some, lambda part: (by_others(layer, part),))[0]  # type: ignore[no-any-return]  # a tensor

    ours, cpu = timed(lambda: ours_of(test))
    _, one_cpu = timed(lambda: ours_of(test[:1]))
    raw, layer_cpu = timed(lambda: raw_of(test))
    _, layer_one = timed(lambda: raw_of(test[:1]))
    with torch.no_grad():
        x = feasible_set.project(raw)
        value = layer.model(x, test)
    exact = Chosen(x, value, gap_of(value, ours))
    violation = feasible_set.violation(raw)
    shared["layer_infeasibility"] = float(violation[violation.isfinite()].max())
    size = len(test)
    ways = {"certified": (ours, one_cpu * size, cpu), "exact": (exact, layer_one * size, layer_cpu)}
    return judged(instance, test, known, ways, shared, ours.scale)


def by_others(layer: SolverLayer, theta: Tensor) -> Tensor:
    """Return the decisions of a layer's model through CVXPY and whichever solver has them, for a layer that failed."""
    return layer.model.minimise(layer.feasible_set, theta)


def contend_layer(
    *,
    instance: int,
    task: str,
    n: int,
    model: str,
    loss: str,
    configurations: list[dict[str, Any]],
    sizes: dict[str, Any],
    final: dict[str, int],
    tuning: dict[str, int],
    values: dict[str, Any],
    fresh: int,
    version: dict[str, Any],
    seed: int | None = None,
    chosen: int | None = None,
) -> list[Row]:
    """Train a layer as `peer_layer` does, with the seed and choice of `contest.contend`, and judge it as that does."""
    drawn = Instance.of(task, n, Sizes(**{**sizes, "instance": instance}))
    contexts = drawn.draw(FRESH, fresh)
    known = optimum(drawn.task, contexts)
    seed = instance if seed is None else seed
    started = seconds_spent()
    layer, shared = trained_layer(drawn, seed, configurations, final, tuning, values, chosen)
    shared |= spent_since(started, shared)
    return [{"method": "certified", **shared, **afresh(drawn, layer.model, contexts, known)}]


def trained_layer(
    instance: Instance,
    seed: int,
    configurations: list[dict[str, Any]],
    final: dict[str, int],
    tuning: dict[str, int],
    values: dict[str, Any],
    chosen: int | None = None,
) -> tuple[SolverLayer, Row]:
    """Return the best of some configurations, or the chosen one, trained under the final caps, and its columns."""
    n = instance.task.in_features
    by_values, values_s = None, 0.0
    if any(given["start"] == "values" for given in configurations):
        before = decision_models.configurations("structured-pcf", n)[values["configuration"]]
        by_values, values_s = timed(
            lambda: decision_models.train(
                "structured-pcf", "within_context", instance.train, seed, before, values["share"]
            )
        )

    def trained(given: dict[str, Any], caps: dict[str, int]) -> tuple[SolverLayer, int, float]:
        start = StructuredPCF(
            instance.task.in_features, instance.task.context_features, generator=torch.Generator().manual_seed(seed)
        )
        start = start.double()
        if given["start"] == "values" and by_values is not None:
            start.load_state_dict(by_values.model.state_dict())
        layer = SolverLayer(start, instance.task.feasible_set)
        settings = EndToEnd(epochs=caps["epochs"], learning_rate=given["learning_rate"])
        history = fit_end_to_end(
            layer, instance.task.cost, instance.train.context[: caps["contexts"]], settings, seed=seed
        )
        return layer, history.labels, history.seconds

    tried = [] if chosen is not None else [trained(given, tuning) for given in configurations]
    number = cheapest(instance, [layer.model for layer, _, _ in tried]) if chosen is None else chosen
    layer, labels, seconds = trained(configurations[number], final)
    from_values = configurations[number]["start"] == "values"
    shared: Row = {
        "configuration": number,
        "parameters": count(layer.model),
        "labels": instance.train.labels
        + labels
        + sum(seen for _, seen, _ in tried)
        + len(tried) * instance.sizes.tuning,
        "epochs": final["epochs"],
        **errors(layer.model, instance.validation()),
        "train_s": seconds + (values_s if from_values else 0.0),
    }
    return layer, shared


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
