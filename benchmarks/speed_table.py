"""Everything that has a speed to reach, in one command: decisions, certificates and training steps.

python -m benchmarks.speed_table [--preset paper|asked|short|tiny] [--repeat 3]

First the table of `benchmarks.decision_table`, then one line for each other ratio: CPU times of one thread, medians of
rounds in which each way takes its turn.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import verify
from benchmarks import decision_table, raw_clarabel
from benchmarks.verify import LARGE, SMALL, network, rounds
from experiments.engine.tables import markdown
from socicnn import SOCICNN
from socicnn._compile import value_program
from socicnn.training import Data, fit

Row = dict[str, Any]
STEPS = 64  # training steps in a round
BATCH = 256
POINTS = {"tiny": (200, 50), "short": (10_000, 1_000), "asked": (10_000, 1_000), "paper": (10_000, 1_000)}


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Print the tables of a preset, and return the rows of the second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(POINTS), default="short")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=("decisions", "others"), help="one of the two tables")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    if given.only != "others":
        decision_table.main(["--preset", given.preset, "--repeat", str(given.repeat)])
        print()
    return [] if given.only == "decisions" else others(given.preset, given.repeat)


def others(preset: str, repeat: int) -> list[Row]:
    """Print and return the lines of certificates and of training."""
    few, many = POINTS[preset][1], POINTS[preset][0]
    widths = (8,) if preset == "tiny" else (64, 128)
    rows = [
        certificates(SMALL, many, repeat),
        certificates(LARGE, few, repeat),
        smooth_certificates(SMALL, many, repeat, most=6.0),
        smooth_certificates(LARGE, few, repeat, most=3.0),
        one_point(SMALL, 5 * repeat),
        *(training_step(width, repeat) for width in widths),
    ]
    print(markdown(rows), flush=True)
    return rows


def row_of(work: str, ratio: str, value: float, *, least: float | None = None, most: float | None = None) -> Row:
    """Return a line of the table; `least` or `most` is what the ratio has to keep."""
    met = value >= least if least is not None else most is not None and value <= most
    asked = f"at least {least:g}" if least is not None else f"at most {most:g}"
    return {"work": work, "ratio": ratio, "value": value, "asked": asked, "met": "yes" if met else "no"}


def certificates(settings: dict[str, Any], points: int, repeat: int) -> Row:
    """Compare a prepared certifier with the torch forward pass of the same points."""
    model = network(settings)
    x = np.random.default_rng(1).normal(size=(points, settings["in_features"]))
    tensor, certifier = torch.tensor(x), verify.Certifier(model.freeze())

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return model(tensor)

    ways: dict[str, Callable[[], Any]] = {"forward": forward, "certificate": lambda: certifier(x)}
    rounds(ways, 1)
    value = ratio_of(rounds(ways, repeat), "certificate", "forward")
    work = f"certificates of {points} points, n = {settings['in_features']}"
    return row_of(work, "Certifier / torch forward", value, most=5.0)


def smooth_certificates(settings: dict[str, Any], points: int, repeat: int, most: float) -> Row:
    """Compare certificates of a network of softplus units with those of ReLU units of the same size."""
    x = np.random.default_rng(1).normal(size=(points, settings["in_features"]))
    made = {name: verify.Certifier(network({**settings, "activation": name}).freeze()) for name in ("softplus", "relu")}
    ways: dict[str, Callable[[], Any]] = {name: (lambda one=one: one(x)) for name, one in made.items()}
    rounds(ways, 1)
    work = f"certificates of {points} points, n = {settings['in_features']}"
    return row_of(work, "softplus units / ReLU units", ratio_of(rounds(ways, repeat), "softplus", "relu"), most=most)


def one_point(settings: dict[str, Any], repeat: int) -> Row:
    """Compare the certificate of one point with the solver."""
    net = network(settings).freeze()
    x = np.random.default_rng(0).normal(size=(1, net.in_features))
    certifier, solve = verify.Certifier(net), raw_clarabel.values(value_program(net), x)
    ways: dict[str, Callable[[], Any]] = {
        "certificate": lambda: [certifier(x) for _ in range(10)],
        "Clarabel": lambda: [solve() for _ in range(10)],
    }
    rounds(ways, 1)
    times = rounds(ways, repeat)
    work = f"certificate of one point, n = {net.in_features}: {100 * np.median(times['certificate']):.3g} ms"
    return row_of(work, "Clarabel / Certifier", ratio_of(times, "Clarabel", "certificate"), least=1.0)


def training_step(width: int, repeat: int) -> Row:
    """Compare training steps of the lift with those of softplus weights."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(STEPS * BATCH, 10, generator=draw)
    data = Data(x, None, x.square().sum(dim=1))

    def trained(positivity: str) -> None:
        model = SOCICNN(10, (width, width), positivity=positivity, generator=torch.Generator().manual_seed(0))
        fit(model, data, epochs=1, batch_size=BATCH, seed=0, progress=False)

    ways: dict[str, Callable[[], Any]] = {name: (lambda name=name: trained(name)) for name in ("softplus", "lift")}
    rounds(ways, 1)
    work = f"training step, two layers of {width}, batch {BATCH}"
    return row_of(work, "lift / softplus", ratio_of(rounds(ways, repeat), "lift", "softplus"), most=1.35)


def ratio_of(times: dict[str, Any], above: str, below: str) -> float:
    """Return the median of the rounds' ratios."""
    return statistics.median(times[above] / times[below])


if __name__ == "__main__":
    main()
