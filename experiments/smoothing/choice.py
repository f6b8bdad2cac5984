"""The units and epochs of `shape`, chosen on the validation trajectories, so that the test trajectories stay unseen.

python -m experiments.smoothing --preset choice --out experiments/results/smoothing_choice.csv

Every candidate is trained with seed 0, decided on the validation trajectories and judged there. The choice is the one
of least mean regret among those that are decided within 30 ms a trajectory.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from experiments.energies import deciding, judging, training
from experiments.energies.cells import TYPE, Prepared
from experiments.engine.pages import Page
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row
from experiments.smoothing.problem import Smoothing

CANDIDATES = ((1, 60), (1, 120), (1, 240), (4, 60), (4, 120))  # units, epochs
COMMAND = "python -m experiments.smoothing --preset choice --out experiments/results/smoothing_choice.csv"
PAGE = Page("smoothing.md", f"{COMMAND} --render")
VERSION = 1  # goes up when the job changes


@cache
def prepared(T: int, sizes: tuple[int, int, int]) -> Prepared:
    """Return the problem with its validation data in the place of its test data."""
    problem = Smoothing(T, sizes)
    train, validation, _ = problem.splits()
    return Prepared(problem, train, validation, validation, problem.references(validation.context))


def tried(*, T: int, units: int, epochs: int, seed: int, sizes: list[int], rtol: float, version: int) -> list[Row]:
    """Train `shape` with these units and epochs, and judge its certified decisions on validation data."""
    a, b, _ = sizes
    data = replace(prepared(T, (a, b, 1)), problem=Smoothing(T, (a, b, 1), units))
    model = data.problem.shaped(torch.Generator().manual_seed(seed))
    seconds = training.train(model, "within", data.problem, data.train, data.validation, epochs, seed)
    relative, within = judging.errors(model, data.test)
    answer = deciding.certified(model, data.problem, data.test.context.to(TYPE), rtol)
    return [
        {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "relative_error": relative,
            "within_error": within,
            "train_s": seconds,
            **data.figures(answer.x),
            "gap": answer.gap,
            "decide_s": answer.seconds,
        }
    ]


def cells(T: int, sizes: tuple[int, int, int], rtol: float) -> list[Cell]:
    """Return one cell per candidate."""
    settings = {"sizes": list(sizes), "rtol": rtol, "version": VERSION}
    keys = [{"T": T, "units": units, "epochs": epochs, "seed": 0} for units, epochs in CANDIDATES]
    return [Cell(key, tried, settings) for key in keys]


def table(rows: list[Row]) -> str:
    """Return a Markdown table, one row per candidate."""
    columns = {
        "units": "d",
        "epochs": "d",
        "within_error": ".3g",
        "regret": ".3g",
        "gap": ".2g",
        "train_s": ".3g",
        "decide_s": ".3g",
    }
    heads = ("units", "epochs", "error within contexts", "regret", "largest gap", "training, s", "decision, s")
    lines = [f"| {' | '.join(heads)} |", "|" + "---:|" * len(heads)]
    lines += [f"| {' | '.join(format(row[c], form) for c, form in columns.items())} |" for row in rows]
    return "\n".join(lines)
