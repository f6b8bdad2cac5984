"""How training, certificate and decision grow with the steps T of a trajectory.

python -m experiments.smoothing --preset longer --out experiments/results/smoothing_longer.csv

`shape` takes four steps of training, of 20 trajectories each, and is then decided at one test trajectory: what it has
learned means nothing, what it takes does. The most memory is the process's, which runs the horizons in ascending order.
"""

from __future__ import annotations

import resource
import time

import torch

from experiments.energies import deciding, training
from experiments.energies.cells import TYPE
from experiments.engine.pages import Page
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row
from experiments.smoothing.problem import Smoothing

HORIZONS, STEPS = (40, 160, 320, 640), 4
COMMAND = "python -m experiments.smoothing --preset longer --out experiments/results/smoothing_longer.csv"
PAGE = Page("smoothing.md", f"{COMMAND} --render")
VERSION = 2  # goes up when the job changes


def grown(*, T: int, rtol: float, version: int) -> list[Row]:
    """Train a few steps, decide one test trajectory, and return the times."""
    problem = Smoothing(T, (20, 5, 1))
    train, validation, test = problem.splits()
    _, _, exact = problem.references(test.context)
    model = problem.shaped(torch.Generator().manual_seed(0))
    seconds = training.train(model, "within", problem, train, validation, STEPS, 0)
    theta = test.context.to(TYPE)
    started = time.process_time()
    model.freeze(theta.double())
    frozen = time.process_time() - started
    answer = deciding.certified(model, problem, theta, rtol)
    return [
        {
            "inputs": problem.n,
            "step_s": seconds / STEPS,
            "freeze_s": frozen,
            "decide_s": answer.seconds,
            "gap": answer.gap,
            "exact_s": exact,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    ]


def cells(rtol: float, horizons: tuple[int, ...] = HORIZONS) -> list[Cell]:
    """Return one cell per horizon."""
    return [Cell({"T": T}, grown, {"rtol": rtol, "version": VERSION}) for T in horizons]


def table(rows: list[Row]) -> str:
    """Return a Markdown table, one row per horizon."""
    columns = {
        "T": ("T", "d"),
        "inputs": ("inputs", "d"),
        "step_s": ("a training step, s", ".2g"),
        "decide_s": ("certified decision, s", ".3g"),
        "gap": ("relative gap", ".1g"),
        "exact_s": ("exact program, s", ".2g"),
        "peak_mb": ("peak, MB", ".0f"),
    }
    lines = [f"| {' | '.join(head for head, _ in columns.values())} |", "|" + "---:|" * len(columns)]
    lines += [f"| {' | '.join(format(row[c], form) for c, (_, form) in columns.items())} |" for row in rows]
    return "\n".join(lines)
