"""How many core hours a contest still takes: cells that are missing, by the seconds that finished ones took.

Of a missing cell, what its trained models took does not count: they are kept, and found again.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.decision.courses import Course, InstanceFiles
from experiments.decision.instances import Sizes
from experiments.decision.models import FOCUSED, UNFOCUSED
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row, grouped, markdown

SPENT = ("tuning_cpu_s", "train_cpu_s", "decide_cpu_s")
KIND = ("n", "model", "loss")
# CPU seconds of a cell of the paper's preset before any is finished, at n = 10, 20 and 50: single epochs and iterations
# of a finish that were measured on a busy machine, times how many there are; of the dear contenders, version 1
ESTIMATES = {
    "soc-partial": (65, 70, 120),
    "smooth-partial": (80, 90, 135),
    "focused-partial": (20, 30, 50),
    "structured-dcp": (65, 70, 95),
    "structured-pcf": (45, 55, 95),
    "cvxpylayers": (30, 40),
    "lpcf": (25, 40),
    "soc-joint": (60, 75),
    "quad-joint": (50, 60),
}
FEWEST = 5  # finished cells that say more than an estimate


def rendered(rows: Sequence[Row], cells: Sequence[Cell]) -> str:
    """Return a table of what is left, by n and model, and their sum, in Markdown."""
    table = left(rows, cells)
    if not table:
        return "no cells are left"
    whole = sum(float(str(row["core hours left"])) for row in table)
    return f"{markdown(table)}\n\nabout {whole:.1f} core hours left"


def left(rows: Sequence[Row], cells: Sequence[Cell]) -> list[Row]:
    """Return per n, model and loss how many cells are missing, what each takes, and the core hours they take together.

    Args:
        rows: of the cells that are finished.
        cells: all cells.
    """
    names = tuple(cells[0].key)
    done = {tuple(row[name] for name in names) for row in rows}
    missing = [cell for cell in cells if tuple(cell.key.values()) not in done]
    table: list[Row] = []
    for kind, members in grouped([{**cell.key, "cell": number} for number, cell in enumerate(missing)], KIND).items():
        seconds, source = expected(rows, *kind)
        kept = [kept_seconds(missing[int(str(member["cell"]))]) for member in members]
        whole = sum(max(0.0, seconds - spent) for spent in kept)
        table.append(
            {
                **dict(zip(KIND, kind, strict=True)),
                "cells left": len(members),
                "CPU s per cell": round(seconds),
                "from": source,
                "CPU s in kept models": round(sum(kept)),
                "core hours left": round(whole / 3600, 2),
            }
        )
    return table


def expected(rows: Sequence[Row], n: Any, model: Any, loss: Any) -> tuple[float, str]:
    """Return the CPU seconds of a cell, and where they come from: finished cells, or an estimate.

    Those of `focused-partial` are without what it shares with `soc-partial`.
    """
    alike = [
        row for row in rows if (row["n"], row["model"], row["loss"], row["method"]) == (n, model, loss, "certified")
    ]
    if len(alike) >= FEWEST:
        seconds = statistics.fmean(sum(float(str(row.get(column, 0.0))) for column in SPENT) for row in alike)
        shared = expected(rows, n, UNFOCUSED, loss)[0] if model == FOCUSED else 0.0
        return max(0.0, seconds - shared), f"{len(alike)} finished"
    place = (10, 20, 50).index(n) if n in (10, 20, 50) else 0
    return float(ESTIMATES[str(model)][place]), "estimate"


def kept_seconds(cell: Cell) -> float:
    """Return the CPU seconds of the models of a missing cell that are trained and kept."""
    settings = cell.settings
    if "models" not in cell.places:
        return 0.0
    key: dict[str, Any] = dict(cell.key)
    sizes, folder = Sizes(**{**settings["sizes"], "instance": key["instance"]}), Path(cell.places["models"])
    files = InstanceFiles(key["task"], key["n"], sizes, key["instance"], folder, settings["version"])
    whole = 0.0
    for configuration in settings["configurations"]:
        for share in (sizes.tuning_share, sizes.share):
            course = Course(files, key["model"], key["loss"], configuration, share)
            if course.place.is_file():
                begun, record = course.beginning(), course.record
                shared = begun.record["cpu_s"] if begun is not None and begun.place.is_file() else 0.0
                whole += record["cpu_s"] - shared + record["judging_cpu_s"]
    return whole
