"""Training three seeds of one surrogate: stacked, one by one, and in two processes, side by side in one run.

python -m benchmarks.training [--rounds 3] [--epochs 4] [--features 10 20 50] [--only soc-partial]

Every way trains the same seeds for the same few epochs of the benchmark's data (900 training contexts of 64
candidates); times are medians of rounds in which the ways take turns, starting the two processes left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from decision import tasks
from experiments.decision_models import Configuration, as_seed, configurations, make, shaped
from socicnn.training import Samples, fit, fit_stacked

SEEDS = (0, 1, 2)
TASK = "budget_huber"
# name, loss, number of the configuration
ROWS = (
    ("soc-partial", "within_context", 0),
    ("soc-partial", "within_context", 2),
    ("relu-partial", "within_context", 0),
    ("structured-pcf", "within_context", 0),
    ("relu-joint", "seed", None),
    ("soc-joint", "seed", None),
)


def samples(n: int) -> Samples:
    """Return the benchmark's training data in float32."""
    data = tasks.make(TASK, features=n, seed=2026).sample(1000, 64, seed=1)
    return Samples(data.x.float(), data.y.float(), data.context.float())


def plan(name: str, loss: str, number: int | None, n: int, data: Samples, epochs: int) -> tuple[Configuration, Any]:
    """Return the configuration of a row and the arguments of `fit`, on the data as that loss takes them."""
    given = as_seed(name) if number is None else configurations(name, n)[number]
    training = {key: value for key, value in given["training"].items() if key not in ("held_out", "loss", "patience")}
    if loss != "seed":
        return given, (data, {**training, "loss": loss, "epochs": epochs})
    x, theta, y = data.x.flatten(0, 1), data.context, data.y.flatten()
    assert theta is not None
    flat = Samples(x, y, theta.repeat_interleave(data.x.shape[1], dim=0))
    return given, (flat, {**training, "loss": given["training"]["loss"], "schedule": "constant", "epochs": epochs})


def models(name: str, n: int, given: Configuration) -> list[nn.Module]:
    """Return fresh models, one a seed."""
    return [make(name, n, 8, seed, shaped(given["shape"])) for seed in SEEDS]


def one_by_one(made: list[nn.Module], data: Samples, options: dict[str, Any], seeds: tuple[int, ...] = SEEDS) -> float:
    """Return the seconds that training one after the other takes."""
    started = time.perf_counter()
    for model, seed in zip(made, seeds, strict=True):
        fit(model, data, seed=seed, progress=False, **options)
    return time.perf_counter() - started


def stacked(made: list[nn.Module], data: Samples, options: dict[str, Any]) -> float:
    """Return the seconds of stacked training."""
    started = time.perf_counter()
    fit_stacked(made, data, seeds=SEEDS, progress=False, **options)
    return time.perf_counter() - started


_given: dict[str, Any] = {}


def _share(job: tuple[str, str, int | None, int, int, int]) -> float:
    """Train one seed in a process of the pool; data are made once a process, outside the time."""
    name, loss, number, n, epochs, seed = job
    if n not in _given:
        torch.set_num_threads(1)
        _given[n] = samples(n)
    if seed < 0:
        return 0.0
    given, (data, options) = plan(name, loss, number, n, _given[n], epochs)
    return one_by_one([models(name, n, given)[seed]], data, options, (seed,))


def two_processes(pool: ProcessPoolExecutor, row: tuple[str, str, int | None], n: int, epochs: int) -> float:
    """Return the seconds that the pool takes, its processes and their data being there."""
    list(pool.map(_share, [(*row, n, epochs, -1)] * 4))
    started = time.perf_counter()
    list(pool.map(_share, [(*row, n, epochs, seed) for seed in SEEDS]))
    return time.perf_counter() - started


def measure(row: tuple[str, str, int | None], n: int, data: Samples, rounds: int, epochs: int, pool: Any) -> str:
    """Return one line of the table: seconds of an epoch of the three seeds, and ratios to one by one."""
    name, loss, number = row
    given, (shaped_data, options) = plan(name, loss, number, n, data, epochs)
    size = sum(parameter.numel() for parameter in models(name, n, given)[0].parameters())
    times: dict[str, list[float]] = {"apart": [], "stacked": [], "two": []}
    for _ in range(rounds):
        times["apart"].append(one_by_one(models(name, n, given), shaped_data, options))
        times["stacked"].append(stacked(models(name, n, given), shaped_data, options))
        times["two"].append(two_processes(pool, row, n, epochs))
    apart = statistics.median(times["apart"])

    def ratio(way: str) -> float:
        return statistics.median(a / b for a, b in zip(times["apart"], times[way], strict=True))

    label = name if number is None else f"{name}, configuration {number}"
    return f"| {label} | {n} | {size:,} | {apart / epochs:.2f} | {ratio('stacked'):.2f} | {ratio('two'):.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.splitlines()[0])  # type: ignore[union-attr]  # there is one
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of each (default: %(default)s)")
    parser.add_argument("--features", type=int, nargs="+", default=[10, 20, 50], help="numbers n of inputs")
    parser.add_argument("--only", nargs="+", help="models to measure")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for row in ROWS if given.only is None or row[0] in given.only]
    lines = []
    with ProcessPoolExecutor(2) as pool, tqdm(total=len(rows) * len(given.features), unit="row") as bar:
        for n in given.features:
            data = samples(n)
            for row in rows:
                lines.append(measure(row, n, data, given.rounds, given.epochs, pool))
                bar.update()
    print("| model | n | parameters | one by one, s an epoch of 3 seeds | stacked, times as fast | two processes |")
    print("|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
