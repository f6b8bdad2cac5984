"""lpcf: fit it with every configuration, choose on validation contexts, decide, judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from decision.tasks import Data
from experiments.baselines.lpcf.fitting import Fit, fit_each
from experiments.baselines.lpcf.function import LPCF, LPCFSettings
from experiments.decision.contest import afresh
from experiments.decision.deciding import each, optimum, settle
from experiments.decision.instances import APART, FRESH, TEST, TRAIN, Instance, Sizes
from experiments.decision.judging import Chosen, count, errors, gap_of
from experiments.engine.cells import kept_as
from experiments.engine.tables import Row
from experiments.peers.choosing import cheapest, judged, seconds_spent, spent_since, timed

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


@kept_as("experiments.peers.jobs.contend_lpcf")
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
