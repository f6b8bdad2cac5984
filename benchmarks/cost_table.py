"""What each way to decide costs, by network, accuracy and number of contexts: the table behind `method="auto"`.

python -m benchmarks.cost_table [--write] [--only relu-joint] [--repeat 3]

Prints CPU milliseconds of a whole call, one thread, medians, of each way that certifies all contexts, and what `auto`
would take. `--write` puts the rows into `benchmarks/costs.csv`, which a test holds `auto` to: at a loose accuracy it
never takes a way that costs more than twice the cheapest. The rule itself (`decision._minimise.costs`) has committed
numbers and looks at no clock. Weights are untrained; a call that takes over two seconds is timed once.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from decision import Box, Simplex, decide, surrogates
from decision._minimise.costs import BatchSize
from decision._minimise.methods import LOOSE, Auto, Problem
from decision._minimise.stack_surrogate import StackSurrogate
from decision._options import MethodName
from decision.sets._base import FeasibleSet
from experiments.engine.tables import markdown
from socicnn._compile import frozen
from socicnn.nn import Conv, ConvSOCICNN, Network

TABLE = Path(__file__).with_name("costs.csv")
WAYS: tuple[MethodName, ...] = ("interior_point", "projected_gradient", "exact")
ACCURACIES = (1e-3, 1e-6)
LONG = 2.0  # seconds: a call that takes as long is timed once
Row = dict[str, Any]


def image(side: int) -> Network:
    """Return a convolutional network over images of that many pixels a side, with a norm per position."""
    draw = torch.Generator().manual_seed(0)
    return ConvSOCICNN((1, side, side), (10, 10, 10), norm=(Conv(4, 3, group=2),), generator=draw).double()


def dense(name: str, n: int) -> Network:
    """Return a surrogate at its random start."""
    return surrogates.make(name, n, generator=torch.Generator().manual_seed(0)).double()


# name -> network, numbers of contexts
CASES: dict[str, tuple[Callable[[], Network], tuple[int, ...]]] = {
    "soc-partial, n = 10": (lambda: dense("soc-partial", 10), (1, 16, 64)),
    "soc-partial, n = 50": (lambda: dense("soc-partial", 50), (1, 16)),
    "relu-partial, n = 20": (lambda: dense("relu-partial", 20), (1, 16)),
    "relu-joint, n = 10": (lambda: dense("relu-joint", 10), (1, 4, 16)),
    "relu-joint, n = 50": (lambda: dense("relu-joint", 50), (1, 4)),
    "soc-joint, n = 10": (lambda: dense("soc-joint", 10), (1, 4, 16)),
    "soc-joint, n = 50": (lambda: dense("soc-joint", 50), (1, 4)),
    "conv, 8 x 8": (lambda: image(8), (1,)),
    "conv, 16 x 16": (lambda: image(16), (1,)),
}


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Print the rows, and return them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[""], help="cases whose names contain one of these")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"write the rows to {TABLE.name}")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name, (make, counts) in CASES.items():
        if any(part in name for part in given.only):
            for row in measured(name, make(), counts, given.repeat):
                rows.append(row)
                text = markdown([row])
                print(text if len(rows) == 1 else text.splitlines()[-1], flush=True)
    if given.write:
        write(rows)
    return rows


def write(rows: list[Row]) -> None:
    """Put rows into the table, in place of those of the same cases."""
    measured_now = {row["case"] for row in rows}
    kept: list[Row] = []
    if TABLE.exists():
        with TABLE.open(newline="") as stream:
            kept = [row for row in csv.DictReader(stream) if row["case"] in CASES and row["case"] not in measured_now]
    kept += rows
    with TABLE.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(kept, key=lambda row: list(CASES).index(row["case"])))


def measured(name: str, network: Network, counts: Sequence[int], repeat: int) -> list[Row]:
    """Return the rows of one network."""
    theta: torch.Tensor | None = None
    if network.context_shape is not None:
        shape = (max(counts), *network.context_shape)
        theta = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    n = torch.Size(network.input_shape).numel()
    region: FeasibleSet = Box(n, 0.0, 1.0) if name.startswith("conv") else Simplex(n)
    rows = []
    for count in counts:
        some = None if theta is None else theta[:count]
        problem = Problem(StackSurrogate.of(frozen(network, some)), region)
        warm, size = Auto().exact.takes_simplex(problem), BatchSize.of(problem.networks())
        for rtol in ACCURACIES:
            cost = {way: spent(network, region, some, way, rtol, repeat) for way in WAYS}
            first = Auto().order(problem, loose=rtol >= LOOSE)[0].name
            rows.append({"case": name, **size._asdict(), "rtol": rtol, "warm": int(warm), **cost, "auto": first})
    return rows


def spent(
    network: Network, region: FeasibleSet, theta: torch.Tensor | None, way: MethodName, rtol: float, repeat: int
) -> float | str:
    """Return median CPU milliseconds of a call; "-" if it leaves a context uncertified."""
    times = list[float]()
    while len(times) < repeat and (not times or times[-1] < LONG):
        started = time.process_time()
        answer = decide(network, region, theta, way, rtol=rtol)
        times.append(time.process_time() - started)
        if not bool(answer.certified.all()):
            return "-"
    return round(1e3 * statistics.median(times), 1)


if __name__ == "__main__":
    main()
