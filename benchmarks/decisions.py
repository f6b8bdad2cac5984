"""Decisions by our optimiser beside prepared solvers and the benchmark authors' steps, in one run.

python -m benchmarks.decisions [--features 10 20 50] [--batches 1 64 200] [--task simplex_socp] [--exact 200]

Every network is trained first, briefly: joint ones as their authors do, the partial one by the within-context loss.
Times are CPU milliseconds per decision, one thread, medians of rounds in which each way takes its turn; ratios are
medians of the rounds' ratios. `raw Clarabel` is the solver alone, prepared, at tolerances of 1e-6, its vectors made
before the clock starts and its answers without proof. `fastest peer` is the fastest of the solvers that are installed
(`benchmarks.raw_peers`) whose values are within 1e-5 of the scale from ours. The others do everything on the clock and
prove a relative gap of 1e-6, of the scale of `decision.decide`. `exact` solves at most `--exact` contexts, peers at
most `--peers`. `worse` counts the contexts where the authors' 5 x 200 steps found a value lower than ours by more than
that.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks import raw_peers
from benchmarks.decision_table import near
from decision import decide
from decision._minimise.methods import Auto, Problem
from decision._minimise.stack_surrogate import StackSurrogate
from decision._options import MethodName
from experiments.baselines.seed.steps import seed_steps
from experiments.decision.instances import TEST, Instance, Sizes
from experiments.decision.judging import RTOL, TIGHT
from experiments.decision.models import as_seed, configurations, train
from experiments.engine.tables import Row, markdown
from socicnn._compile import compile_net, frozen
from socicnn.nn._network import Network

NAMES = ("relu-joint", "soc-joint", "soc-partial")
METHODS: tuple[MethodName, ...] = ("auto", "interior_point", "projected_gradient", "exact")


def trained(name: str, instance: Instance, n: int, share: float) -> Network:
    """Return a surrogate trained for a share of its epochs."""
    if name.endswith("joint"):
        return train(name, "seed", instance.train, 0, as_seed(name), share).model
    return train(name, "within_context", instance.train, 0, configurations(name, n)[0], share).model


def measure(model: Network, instance: Instance, batch: int, given: argparse.Namespace) -> Row:
    """Return times and what the decisions are worth, for one batch of contexts."""
    feasible_set = instance.task.feasible_set
    theta = instance.task.sample_contexts(batch, seed=TEST)
    net = frozen(model, theta)
    few = min(given.exact, batch)
    program = compile_net(net).program
    free = [program.take(i).free(feasible_set.rows()) for i in range(min(given.peers, batch))]
    peers = raw_peers.loops(free[0], [(one.b, one.c) for one in free], net.in_features)
    ways: dict[str, tuple[Callable[[], Any], int]] = {name: (loop, len(free)) for name, loop in peers.items()}
    for method in METHODS:
        some = theta[:few] if method == "exact" else theta
        ways[method] = partial(decide, model, feasible_set, some, method, rtol=RTOL), len(some)
    times, answers = _rounds(ways, given.repeat)
    right = [name for name in peers if near(answers[name], model, feasible_set, theta)]
    fastest = raw_peers.fastest(times, right or list(peers))
    row: Row = {"raw Clarabel ms": statistics.median(times["Clarabel"]), "fastest peer": fastest}
    row["fastest peer ms"] = statistics.median(times[fastest])
    row |= {f"{name} ms": statistics.median(times[name]) for name in METHODS}
    steps_times, found = _rounds({"steps": (lambda: seed_steps(model, feasible_set, theta), batch)}, 1)
    row["authors' steps ms"], steps = steps_times["steps"][0], found["steps"]
    ours = answers["auto"]
    first = Auto().order(Problem(StackSurrogate.of(net), feasible_set))[0].name
    return {
        "auto picks": first,
        **row,
        "raw Clarabel / auto": _ratio(times, "Clarabel", "auto"),
        "fastest peer / auto": _ratio(times, fastest, "auto"),
        "exact / raw Clarabel": _ratio(times, "exact", "Clarabel"),
        "exact / auto": _ratio(times, "exact", "auto"),
        "worst relative gap": float(ours.relative_gap.max()),
        "certified to 1e-4": f"{float((ours.relative_gap <= TIGHT).double().mean()):.1%}",
        "exact's": float(answers["exact"].relative_gap.max()),
        "worse": int((ours.value > steps.value + RTOL * ours.scale).sum()),
    }


def _rounds(
    ways: dict[str, tuple[Callable[[], Any], int]], repeat: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Return CPU milliseconds per decision of each way, in rounds of taking turns, and the last answers."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, Any] = {}
    for _ in range(repeat):
        for name, (call, count) in ways.items():
            started = time.process_time()
            answers[name] = call()
            times[name].append(1e3 * (time.process_time() - started) / count)
    return times, answers


def _ratio(times: dict[str, list[float]], above: str, below: str) -> float:
    """Return the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(times[above], times[below], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, nargs="+", default=[10, 20, 50])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64, 200])
    parser.add_argument("--task", default="simplex_socp")
    parser.add_argument("--exact", type=int, default=200, help="contexts that the exact program is solved for at most")
    parser.add_argument("--peers", type=int, default=12, help="problems that the solvers are timed on at most")
    parser.add_argument("--names", nargs="+", choices=NAMES, default=NAMES, help="surrogates")
    parser.add_argument("--share", type=float, default=0.1, help="share of the epochs to train for")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for n in given.features:
        instance = Instance.of(given.task, n, Sizes())
        for name in given.names:
            model = trained(name, instance, n, given.share)
            for batch in given.batches:
                found = measure(model, instance, batch, given)
                rows.append({"surrogate": name, "n": n, "batch": batch, **found})
                print(markdown(rows[-1:]) if len(rows) == 1 else markdown(rows[-1:]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
