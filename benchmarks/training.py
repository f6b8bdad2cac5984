"""Training three seeds of one surrogate: stacked, one by one, and in two processes, side by side in one run.

python -m benchmarks.training [--rounds 3] [--epochs 4] [--features 10 20 50] [--only soc-partial]

Every way trains the same seeds for the same few epochs of the benchmark's data (900 training contexts of 64
candidates); ratios are medians of rounds in which the ways take turns. Stacked against one by one compares processor
time (both have one thread), two processes against one by one the time on the clock, without starting them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from decision import tasks
from experiments.decision.models import Configuration, as_seed, configurations, make, shaped
from socicnn.training import Data, fit, fit_stacked
from socicnn.training._options import gathered

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


@dataclass(frozen=True)
class Times:
    """Seconds: on the clock, and of the processor."""

    clock: float
    processor: float

    @classmethod
    def now(cls) -> Times:
        """Return the present times."""
        return cls(time.perf_counter(), time.process_time())

    def passed(self) -> Times:
        """Return what has passed since."""
        now = Times.now()
        return Times(now.clock - self.clock, now.processor - self.processor)


def samples(n: int) -> Data:
    """Return the benchmark's training data in float32."""
    data = tasks.make(TASK, features=n, seed=2026).sample(1000, 64, seed=1)
    return Data(data.x.float(), data.context.float(), data.y.float())


def plan(name: str, loss: str, number: int | None, n: int, data: Data, epochs: int) -> tuple[Configuration, Any]:
    """Return the configuration of a row and the arguments of `fit`, on the data as that loss takes them."""
    given = as_seed(name) if number is None else configurations(name, n)[number]
    # a finish by L-BFGS is not stacked, and would outlast the few epochs that are compared
    others = ("held_out", "loss", "patience", "polish")
    training = {key: value for key, value in given["training"].items() if key not in others}
    if loss != "seed":
        return given, (data, {**training, "loss": loss, "epochs": epochs})
    x, theta, y = data.x.flatten(0, 1), data.context, data.y.flatten()
    assert theta is not None
    flat = Data(x, theta.repeat_interleave(data.x.shape[1], dim=0), y)
    return given, (flat, {**training, "loss": given["training"]["loss"], "schedule": "constant", "epochs": epochs})


def models(name: str, n: int, given: Configuration) -> list[nn.Module]:
    """Return fresh models, one per seed."""
    return [make(name, n, 8, seed, shaped(given["shape"])) for seed in SEEDS]


def one_by_one(made: list[nn.Module], data: Data, options: dict[str, Any], seeds: tuple[int, ...] = SEEDS) -> Times:
    """Train one after the other."""
    started = Times.now()
    for model, seed in zip(made, seeds, strict=True):
        fit(model, data, seed=seed, progress=False, **gathered(options))
    return started.passed()


def stacked(made: list[nn.Module], data: Data, options: dict[str, Any]) -> Times:
    """Train them stacked."""
    started = Times.now()
    fit_stacked(made, data, seeds=SEEDS, progress=False, **gathered(options))
    return started.passed()


_given: dict[str, Any] = {}


def _share(job: tuple[str, str, int | None, int, int, int]) -> None:
    """Train one seed in a process of the pool; data are made once a process, outside the time."""
    name, loss, number, n, epochs, seed = job
    if n not in _given:
        torch.set_num_threads(1)
        _given[n] = samples(n)
    if seed < 0:
        return
    given, (data, options) = plan(name, loss, number, n, _given[n], epochs)
    one_by_one([models(name, n, given)[seed]], data, options, (seed,))


def two_processes(pool: ProcessPoolExecutor, row: tuple[str, str, int | None], n: int, epochs: int) -> Times:
    """Train in the pool, its processes and their data being there."""
    list(pool.map(_share, [(*row, n, epochs, -1)] * 4))
    started = Times.now()
    list(pool.map(_share, [(*row, n, epochs, seed) for seed in SEEDS]))
    return started.passed()


def measure(row: tuple[str, str, int | None], n: int, data: Data, rounds: int, epochs: int, pool: Any) -> str:
    """Return one line of the table: seconds of an epoch of the three seeds, and ratios to one by one."""
    name, loss, number = row
    given, (shaped_data, options) = plan(name, loss, number, n, data, epochs)
    size = sum(parameter.numel() for parameter in models(name, n, given)[0].parameters())
    apart, together, two = [], [], []
    for _ in range(rounds):
        apart.append(one_by_one(models(name, n, given), shaped_data, options))
        together.append(stacked(models(name, n, given), shaped_data, options))
        two.append(two_processes(pool, row, n, epochs))
    seconds = statistics.median(one.processor for one in apart) / epochs

    def ratio(way: list[Times], of: Callable[[Times], float]) -> float:
        return statistics.median(of(a) / of(b) for a, b in zip(apart, way, strict=True))

    stacked_ratio, two_ratio = ratio(together, lambda t: t.processor), ratio(two, lambda t: t.clock)
    label = name if number is None else f"{name}, configuration {number}"
    return f"| {label} | {n} | {size:,} | {seconds:.2f} | {stacked_ratio:.2f} | {two_ratio:.2f} |"


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
    print(
        "| model | n | parameters | one by one, s per epoch of 3 seeds | stacked, x as fast | "
        "two processes, x as fast |"
    )
    print("|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
