"""The tables of experiment 2, from the kept rows alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from experiments.approximation.shapes import CHOICE, NETWORKS
from experiments.approximation.targets import REPRESENTED, TARGETS
from experiments.engine.tables import Row, Value, markdown

BAR = 1e-3  # relative error of SOC on the targets that it represents
NAMES = {"relu": "ReLU", "softplus": "Softplus", "quad": "Quad", "norm": "Norm", "soc": "SOC", "ickan": "P1-ICKAN"}
CONVEX = (*NETWORKS, "ickan", "max-affine", "lpcf")
Rows = Sequence[Mapping[str, Value]]


def number(row: Mapping[str, Value], column: str) -> float:
    """Return a number of a row."""
    value = row[column]
    if not isinstance(value, int | float):
        raise TypeError(f"column '{column}' holds {value!r}, which is no number")
    return float(value)


def of(rows: Rows, **wanted: Value) -> list[Mapping[str, Value]]:
    """Return the rows with these values."""
    return [row for row in rows if all(row.get(column) == value for column, value in wanted.items())]


def errors(rows: Rows, **wanted: Value) -> list[float]:
    """Return the relative errors of the rows with these values, one per seed."""
    return [number(row, "relative_error") for row in of(rows, **wanted)]


def cell(values: Sequence[float]) -> str:
    """Return `mean (least to largest)`, or a dash.

    >>> cell([0.001, 0.002, 0.003])
    '2.0e-03 (1.0e-03 to 3.0e-03)'
    """
    if not values:
        return "-"
    return f"{statistics.fmean(values):.1e}" + (f" ({min(values):.1e} to {max(values):.1e})" if len(values) > 1 else "")


def chosen(rows: Rows, target: str, d: int, model: str) -> tuple[str, float] | None:
    """Return the shape of least validation error and its relative error, on the seed that every shape has.

    None while a shape of the list is missing.
    """
    found = of(rows, preset="converged", target=target, d=d, model=model, seed=0)
    by_shape = {row["shape"]: row for row in found if row["shape"] in CHOICE}
    if len(by_shape) < len(CHOICE):
        return None
    best = min(by_shape.values(), key=lambda row: number(row, "validation_error"))
    return str(best["shape"]), number(best, "relative_error")


def best_of(values: Mapping[str, float | None]) -> str:
    """Return the name of the least value; a dash where one is missing.

    >>> best_of({"relu": 0.2, "soc": 0.1}), best_of({"relu": 0.2, "soc": None})
    ('soc', '-')
    """
    there = {name: value for name, value in values.items() if value is not None}
    return min(there, key=lambda name: there[name]) if len(there) == len(values) else "-"


def by_target(rows: Rows, preset: str, d: int, models: Sequence[str] = NETWORKS) -> str:
    """Return a table: one line per target, one column per model, the paper's shapes; the least mean is bold."""
    table: list[Row] = []
    for target in TARGETS:
        every = {
            model: errors(rows, preset=preset, target=target, d=d, model=model, shape=_shape(model)) for model in models
        }
        if not any(every.values()):
            continue
        winner = best_of({model: statistics.fmean(every[model]) if every[model] else None for model in NETWORKS})
        shown = {model: f"**{cell(found)}**" if model == winner else cell(found) for model, found in every.items()}
        table.append({"target": target, **{NAMES.get(model, model): text for model, text in shown.items()}})
    return markdown(table) if table else "No cell is finished."


def _shape(model: str) -> str:
    return "paper" if model in NAMES else "own"


def means(rows: Rows, preset: str) -> str:
    """Return the mean relative error over the ten targets, one line per d, with the cells that each network wins."""
    table: list[Row] = []
    for d in dict.fromkeys(row["d"] for row in of(rows, preset=preset)):
        found = {
            model: [statistics.fmean(e) for t in TARGETS if (e := errors(rows, preset=preset, target=t, d=d, model=model, shape="paper"))]
            for model in NETWORKS
        }  # fmt: skip
        whole = all(len(values) == len(TARGETS) for values in found.values())
        won = [best_of({m: values[i] for m, values in found.items()}) for i in range(len(TARGETS))] if whole else []
        line: Row = {"d": d}
        for model in NETWORKS:
            text = f"{statistics.fmean(found[model]):.3g}" if len(found[model]) == len(TARGETS) else "-"
            line[NAMES[model]] = text + (f" ({won.count(model)})" if whole else "")
        table.append(line)
    return markdown(table) if table else "No cell is finished."


def bars(rows: Rows, sizes: Sequence[int]) -> str:
    """Return whether SOC reaches the bar on the targets that it represents: mean, least and largest over the seeds."""
    table: list[Row] = []
    for target in REPRESENTED:
        line: Row = {"target": target}
        for d in sizes:
            found = errors(rows, preset="converged", target=target, d=d, model="soc", shape="paper")
            met = "" if not found else (", met" if statistics.fmean(found) <= BAR else ", not met")
            line[f"d = {d}"] = cell(found) + met
        table.append(line)
    return markdown(table)


def choices(rows: Rows, d: int) -> str:
    """Return a table of the shapes chosen on validation data and their errors, the least in bold."""
    table: list[Row] = []
    for target in TARGETS:
        found = {model: chosen(rows, target, d, model) for model in NETWORKS}
        if not any(found.values()):
            continue
        winner = best_of({model: None if one is None else one[1] for model, one in found.items()})
        line: Row = {"target": target}
        for model, one in found.items():
            text = "-" if one is None else f"{one[1]:.1e}, {one[0]}"
            line[NAMES[model]] = f"**{text}**" if model == winner else text
        table.append(line)
    return markdown(table) if table else "No cell is finished."
