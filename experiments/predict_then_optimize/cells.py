"""Predict-then-optimise: six problems, five losses of PyEPO and three ways of ours, five seeds.

python -m experiments.predict_then_optimize --preset tiny|paper [--only problem=portfolio method=both] [--status]

Every method sees the same rows with their coefficients and best decisions, has the same `TRIES` configurations, and
takes the one with the least regret on the same validation rows. A row is a problem, a method and a seed: PyEPO's
normalised regret (`pyepo.metric.regret`) on the test rows, and the CPU seconds of all tries. It needs
`pip install 'socicnn[pyepo,highs]'`; scheduling reads household data from the folder that SOCICNN_DATA names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from experiments.engine.options import options
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row
from experiments.predict_then_optimize import theirs
from experiments.predict_then_optimize.problems import PROBLEMS, Problem, make
from experiments.predict_then_optimize.training import OURS, train

VERSION = 1  # goes up when a job changes
METHODS = (*theirs.NAMES, *OURS)
TRIES = ({"hidden": 0, "rate": 1e-2}, {"hidden": 64, "rate": 3e-3}, {"hidden": 64, "rate": 1e-2})
FIRST = 200  # seed of the data of the first run; the settings were chosen on seeds 100 to 102


@dataclass(frozen=True)
class Preset:
    """What is run: problems, seeds, training, validation and test rows, steps of the optimiser."""

    problems: tuple[str, ...]
    seeds: int
    rows: tuple[int, int, int]
    steps: int


PRESETS = {
    "tiny": Preset(("path 5x5",), 1, (20, 10, 10), 10),
    "paper": Preset(tuple(PROBLEMS), 5, (200, 100, 500), 400),
}


def split(problem: Problem, rows: Sequence[int]) -> theirs.Split:
    """Return PyEPO's data sets."""
    from pyepo.data.dataset import optDataset

    cuts = np.cumsum([0, *rows])
    with open(os.devnull, "w") as quiet, redirect_stderr(quiet):  # a progress bar for each
        parts = [optDataset(problem.model, problem.X[a:b], problem.C[a:b]) for a, b in pairwise(cuts)]
    return theirs.Split(*parts)


def judge(*, problem: str, method: str, seed: int, rows: list[int], steps: int, version: int) -> list[Row]:
    """Train a method with each configuration and return the test regret of the best on the validation rows.

    Args:
        problem: its name.
        method: its name.
        seed: of the data and the training.
        rows: training, validation and test rows.
        steps: of the optimiser.
        version: of this function.
    """
    data = make(problem, sum(rows), FIRST + seed)
    parts = split(data, rows)
    started = time.process_time()
    tries = [train(method, data, parts, configuration, steps, seed) for configuration in TRIES]
    spent = time.process_time() - started
    place = int(np.argmin([trained.regret for trained in tries]))
    regret = theirs.regret(tries[place].predictor, parts.test)
    return [{"regret": regret, "validation": tries[place].regret, "configuration": place, "seconds": spent}]


def cells(preset: str) -> list[Cell]:
    """Return one cell per problem, method and seed, all problems of a seed before the next seed."""
    chosen = PRESETS[preset]
    settings = {"rows": list(chosen.rows), "steps": chosen.steps, "version": VERSION}
    return [
        Cell({"problem": problem, "method": method, "seed": seed}, judge, settings)
        for seed in range(chosen.seeds)
        for problem in chosen.problems
        for method in METHODS
    ]


def summary(rows: Sequence[Row]) -> str:
    """Return a Markdown table: mean regret in percent and its standard deviation over the seeds, by problem."""
    methods = [method for method in METHODS if any(row["method"] == method for row in rows)]
    lines = [f"| problem | {' | '.join(methods)} | seeds |", f"|---|{'---:|' * (len(methods) + 1)}"]
    for problem in dict.fromkeys(row["problem"] for row in rows):
        found, counts = [], []
        for method in methods:
            own = [float(str(r["regret"])) for r in rows if r["problem"] == problem and r["method"] == method]
            counts += [len(own)] if own else []
            spread = float(np.std(own, ddof=1)) if len(own) > 1 else 0.0
            found.append(f"{100 * np.mean(own):.2f} ± {100 * spread:.2f}" if own else "-")
        seeds = str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
        lines.append(f"| {problem} | {' | '.join(found)} | {seeds} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    given = options("predict_then_optimize", "Compare losses of PyEPO with surrogates on six problems.", argv)
    print(summary(given.run(cells(given.preset)).rows))
