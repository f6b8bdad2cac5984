"""Decisions by our optimiser beside the exact program through Clarabel and the benchmark authors' steps, in one run.

python -m benchmarks.decisions [--features 10 20 50] [--batches 1 200] [--task simplex_socp] [--exact 20]

Every network is trained first, briefly: joint ones as their authors do, the partial one by the within-context loss.
Times are milliseconds a decision, medians of the repetitions; `exact` solves at most `--exact` contexts. All are asked
for a relative gap of 1e-6, of the scale of `decision.decide`. `worse` counts the contexts where the authors' 5 x 200
steps found a value lower than ours by more than that.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from decision import decide
from decision.baselines.seed.steps import seed_steps
from decision.minimise.methods import Auto, Problem
from decision.minimise.stack import Stack
from experiments.decision.instances import TEST, Instance, Sizes
from experiments.decision.judging import RTOL, TIGHT
from experiments.decision.models import as_seed, configurations, train
from experiments.engine.tables import Row, markdown
from socicnn.compile import frozen
from socicnn.nn.network import Network

NAMES = ("relu-joint", "soc-joint", "soc-partial")
METHODS = ("auto", "interior_point", "projected_gradient", "exact")


def trained(name: str, instance: Instance, n: int, share: float) -> Network:
    """Return a surrogate trained for a share of its epochs."""
    if name.endswith("joint"):
        return train(name, "seed", instance.train, 0, as_seed(name), share).model
    return train(name, "within_context", instance.train, 0, configurations(name, n)[0], share).model


def measure(model: Network, instance: Instance, batch: int, exact: int, repeat: int) -> Row:
    """Return times and what the decisions are worth, for one batch of contexts."""
    feasible_set = instance.task.feasible_set
    theta = instance.task.sample_contexts(batch, seed=TEST)
    row: Row = {}
    answers: dict[str, Any] = {}
    for method in METHODS:
        some = theta[:exact] if method == "exact" else theta
        row[f"{method} ms"], answers[method] = _milliseconds(
            lambda some=some, method=method: decide(model, feasible_set, some, method, rtol=RTOL),  # type: ignore[misc]  # defaults that bind now
            len(some),
            1 if method == "exact" and batch > 1 else repeat,
        )
    row["authors' steps ms"], steps = _milliseconds(lambda: seed_steps(model, feasible_set, theta), batch, 1)
    ours = answers["auto"]
    net = frozen(model, theta)
    first = Auto().order(Problem(net, Stack.of(net), feasible_set))[0].name
    return {
        "auto picks": first,
        **row,
        "exact / auto": float(row["exact ms"]) / float(row["auto ms"]),  # type: ignore[arg-type]  # numbers by construction
        "worst relative gap": float(ours.relative_gap.max()),
        "certified to 1e-4": f"{float((ours.relative_gap <= TIGHT).double().mean()):.1%}",
        "exact's": float(answers["exact"].relative_gap.max()),
        "worse": int((ours.value > steps.value + RTOL * ours.scale).sum()),
    }


def _milliseconds(call: Callable[[], Any], count: int, repeat: int) -> tuple[float, Any]:
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        answer = call()
        times.append(1e3 * (time.perf_counter() - started) / count)
    return statistics.median(times), answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, nargs="+", default=[10, 20, 50])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 200])
    parser.add_argument("--task", default="simplex_socp")
    parser.add_argument("--exact", type=int, default=20, help="contexts that the exact program is solved for at most")
    parser.add_argument("--share", type=float, default=0.1, help="share of the epochs to train for")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for n in given.features:
        instance = Instance.of(given.task, n, Sizes())
        for name in NAMES:
            model = trained(name, instance, n, given.share)
            for batch in given.batches:
                found = measure(model, instance, batch, given.exact, given.repeat)
                rows.append({"surrogate": name, "n": n, "batch": batch, **found})
                print(markdown(rows[-1:]) if len(rows) == 1 else markdown(rows[-1:]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
