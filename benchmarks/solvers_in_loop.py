"""Our decisions beside a solver in the loop: raw Clarabel, exact Clarabel, lpcf's export, cvxpylayers; equal tolerance.

python -m benchmarks.solvers_in_loop [--task simplex_socp] [--features 10 20 50] [--batches 1 64 200] [--repeat 5]

Times are CPU milliseconds of a whole batch of contexts, one thread, medians after a first call, so that what runs
beside does not count. `forward` is what one step of training evaluates: f(x, theta) at one candidate a context, or,
for a layer, its decision. `+ backward` adds the gradient in all weights. `decision` is argmin_x f(x, theta). `raw
Clarabel` is the solver alone, prepared, its vectors made before the clock starts and its answers without proof; so are
`raw QOCO` and `raw ECOS`, where they are installed (`benchmarks.raw_peers`). `gap` is the worst relative distance of
the decisions at the largest batch from a certified bound of their own surrogate. lpcf needs an environment of its own;
`--without-lpcf` leaves it out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import decision
from benchmarks import raw_clarabel, raw_peers
from decision import surrogates, tasks
from decision._options import DecideOptions
from decision.baselines import StructuredPCF
from decision.baselines.cvxpylayer import SolverLayer
from decision.sets._base import FeasibleSet
from decision.tasks import Data, Task
from experiments.baselines.lpcf.fitting import fit_lpcf
from experiments.baselines.lpcf.function import LPCFSettings
from socicnn._compile import compile_net, frozen

HEADER = ("n", "way", "parameters")
COLUMNS = ("forward", "+ backward", "decision")
TIGHT = 1e-8  # relative accuracy of the bounds that decisions are measured against
Row = dict[str, str]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.solvers_in_loop", description=__doc__)
    parser.add_argument("--task", choices=tasks.names(), default="simplex_socp")
    parser.add_argument("--features", type=int, nargs="+", default=[10, 20, 50])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64, 200])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--without-lpcf", action="store_true", help="leave lpcf out, which needs an environment")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="relative gap, and every tolerance of Clarabel")
    parser.add_argument("--contexts", type=int, default=200, help="training contexts of the surrogates")
    parser.add_argument("--epochs", type=int, default=10, help="of their training: times hardly depend on it")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    header = False
    for n in given.features:
        for row in compared(n, given):
            if not header:
                print(f"| {' | '.join(row)} |\n|{'---|' * len(row)}")
                header = True
            print(f"| {' | '.join(row.values())} |", flush=True)


def compared(n: int, given: argparse.Namespace) -> list[Row]:
    """Return one row a way at n inputs."""
    task = tasks.make(given.task, features=n, seed=2026)
    data = task.sample(given.contexts, 16, seed=1)
    theta = task.sample_contexts(max(given.batches), seed=3)
    x = task.feasible_set.sample(len(theta), torch.Generator().manual_seed(0))
    tight = {"tol_gap_abs": given.tolerance, "tol_gap_rel": given.tolerance, "tol_feas": given.tolerance}
    networks, layer = trained(task, data, given.epochs)
    ours = surrogate_ways(networks, x, theta, task, given.tolerance, tight)
    by_layer = layer_ways(layer, theta, task, tight)
    seconds = {name: [[0.0] * 3 for _ in given.batches] for name in (*ours, "cvxpylayers")}
    for b, size in enumerate(given.batches):
        ways = {(name, i): way for name, group in {**ours, "cvxpylayers": by_layer}.items() for i, way in group.items()}
        for (name, i), value in medians(ways, size, given.repeat).items():
            seconds[name][b][i] = value
    gaps = {name: distance(networks, decided_by(group[2](len(theta))), task, theta) for name, group in ours.items()}
    gaps["cvxpylayers"] = distance(layer.model, by_layer[2](len(theta)), task, theta)
    counts = {name: networks for name in ours} | {"cvxpylayers": layer.model}
    if not given.without_lpcf:
        peer = fit_lpcf(data, LPCFSettings(adam_epochs=5 * given.epochs, lbfgs_epochs=5 * given.epochs))
        found = peer.export(
            "measure",
            feasible_set=task.feasible_set,
            solver=tight,
            settings={"batches": given.batches, "repeat": given.repeat},
            x=x,
            theta=theta,
        )
        decided, _ = peer.decide_exported(task.feasible_set, theta, solver=tight)
        seconds["lpcf's export"], counts["lpcf's export"] = found["seconds"].tolist(), peer
        gaps["lpcf's export"] = distance(peer, decided, task, theta)
    return [row_of(n, name, counts[name], seconds[name], gaps[name], given.batches) for name in seconds]


def trained(task: Task, data: Data, epochs: int) -> tuple[Any, SolverLayer]:
    """Return our surrogate and the layer of a structured PCF, both trained briefly on values."""
    draw = torch.Generator().manual_seed(0)
    networks = [surrogates.make("soc-partial", task.in_features, generator=draw)]
    networks.append(StructuredPCF(task.in_features, task.context_features, generator=draw))
    for network in networks:
        decision.fit(network, data, epochs=epochs, batch_size=16, seed=0, progress=False)
    ours, structured = (network.finalise((data.x[:, 0], data.context)).double() for network in networks)
    return ours, SolverLayer(structured, task.feasible_set)


Ways = dict[int, Callable[[int], Any]]


def surrogate_ways(
    network: Any, x: Tensor, theta: Tensor, task: Task, tolerance: float, tight: dict[str, float]
) -> dict[str, Ways]:
    """Return forward, forward and backward, and decision of a batch size, by our optimiser and by Clarabel."""

    def forward(size: int) -> Tensor:
        with torch.no_grad():
            return network(x[:size], theta[:size])

    def backward(size: int) -> None:
        network.zero_grad()
        network(x[:size], theta[:size]).sum().backward()

    region = task.feasible_set
    by_us = lambda size: decision.decide(network, region, theta[:size], rtol=tolerance)  # noqa: E731 (local shorthand)
    exact = lambda size: decision.decide(network, region, theta[:size], "exact", options=DecideOptions(settings=tight))  # noqa: E731 (local shorthand)
    raw = raw_clarabel.decisions(frozen(network, theta), region, tolerance)
    decisions: dict[str, Callable[[int], Any]] = {"decide": by_us, "exact Clarabel": exact, "raw Clarabel": raw}
    decisions |= raw_ways(network, region, theta)
    return {name: {0: forward, 1: backward, 2: decide} for name, decide in decisions.items()}


def raw_ways(network: Any, region: FeasibleSet, theta: Tensor) -> dict[str, Callable[[int], Any]]:
    """Return the other solvers that are installed, prepared (`benchmarks.raw_peers`), as functions of a batch size."""
    program = compile_net(frozen(network, theta)).program
    free = [program.take(i).free(region.rows()) for i in range(len(theta))]
    vectors = [(one.b, one.c) for one in free]
    solvers = {name: solve for name, solve in raw_peers.solvers(free[0]).items() if name != "Clarabel"}
    n = network.in_features
    return {
        f"raw {name}": (lambda size, solve=solve: raw_peers.loop(solve, vectors[:size], n)())
        for name, solve in solvers.items()
    }


def decided_by(answer: Any) -> Tensor:
    """Return x of a decision, or of the raw solver's array."""
    return answer.x if isinstance(answer, decision.Decision) else torch.as_tensor(answer)


def layer_ways(layer: SolverLayer, theta: Tensor, task: Task, tight: dict[str, float]) -> Ways:
    """Return the same of a layer: forward is a decision that can be differentiated."""
    layer.settings.update(tight)

    def backward(size: int) -> None:
        layer.zero_grad()
        task.cost(layer(theta[:size]), theta[:size]).sum().backward()

    def decided(size: int) -> Tensor:
        with torch.no_grad():
            return layer(theta[:size])

    return {0: lambda size: layer(theta[:size]), 1: backward, 2: decided}


def medians(ways: dict[Any, Callable[[int], Any]], size: int, repeat: int) -> dict[Any, float]:
    """Return median CPU seconds of each way, taken in turns after a first call."""
    times: dict[Any, list[float]] = {key: [] for key in ways}
    for turn in range(repeat + 1):
        for key, way in ways.items():
            started = time.process_time()
            way(size)
            if turn:
                times[key].append(time.process_time() - started)
    return {key: statistics.median(found) for key, found in times.items()}


def distance(model: Any, x: Tensor, task: Task, theta: Tensor) -> float:
    """Return the worst relative distance of decisions, projected, from the certified bound of their surrogate."""
    region = task.feasible_set
    bound = decision.decide(model, region, theta, rtol=TIGHT)
    with torch.no_grad():
        value = model(region.project(x), theta)
    return float(((value - bound.value + bound.gap) / bound.scale).max())


def row_of(n: int, name: str, model: nn.Module, seconds: list[list[float]], gap: float, batches: Sequence[int]) -> Row:
    """Return a row of the table, in milliseconds of a whole batch."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    row = dict(zip(HEADER, (str(n), name, str(parameters)), strict=True))
    for i, column in enumerate(COLUMNS):
        for b, size in enumerate(batches):
            row[f"{column}, {size}"] = f"{1e3 * seconds[b][i]:.3g}"
    return {**row, "gap": f"{gap:.0e}"}


if __name__ == "__main__":
    main()
