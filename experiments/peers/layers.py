"""Layers of cvxpylayers: train them with every configuration, choose on validation contexts, decide, judge."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from decision.baselines import StructuredPCF
from decision.baselines.cvxpylayer import EndToEnd, SolverLayer, fit_end_to_end
from experiments.decision import models as decision_models
from experiments.decision.contest import afresh
from experiments.decision.deciding import Decisions, each, optimum, settle
from experiments.decision.instances import FRESH, TEST, Instance, Sizes
from experiments.decision.judging import Chosen, count, errors, gap_of
from experiments.engine.cells import kept_as
from experiments.engine.tables import Row
from experiments.peers.choosing import cheapest, judged, seconds_spent, spent_since, timed

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


@kept_as("experiments.peers.jobs.contend_layer")
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
