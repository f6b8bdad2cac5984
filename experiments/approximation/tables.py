"""The tables of experiment 2, from the kept rows alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from experiments.approximation.shapes import CHOICE, NETWORKS, WIDTHS
from experiments.approximation.targets import REPRESENTED, TARGETS
from experiments.engine.tables import Row, Value, markdown

BAR = 1e-3  # relative error of SOC on the targets that it represents
NAMES = {
    "relu": "ReLU",
    "softplus": "Softplus",
    "quad": "Quad",
    "norm": "Norm",
    "soc": "SOC",
    "ickan": "P1-ICKAN",
    "logistic": "Logistic",
    "logsumexp": "Log-sum-exp",
}
OTHERS = ("logistic", "logsumexp", "ickan", "max-affine", "lpcf", "trees")
SIZES = (5, 10, 20)
PRESETS = ("paper", "converged")
WAYS = {
    "paper": "the paper's training, its shapes",
    "converged": "training to the end, the paper's shapes",
    "chosen": "training to the end, shapes chosen on validation data",
}
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
    '2.0e-3 (1.0e-3 to 3.0e-3)'
    """
    if not values:
        return "-"
    return short(statistics.fmean(values)) + (f" ({short(min(values))} to {short(max(values))})" if values[1:] else "")


def short(value: float) -> str:
    """Return two digits and an exponent without zeros before it.

    >>> short(0.00123)
    '1.2e-3'
    """
    return f"{value:.1e}".replace("e-0", "e-").replace("e+00", "")


def chosen(rows: Rows, target: str, d: Value, model: str) -> tuple[str, float] | None:
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


def by_target(rows: Rows, preset: str, d: Value, models: Sequence[str] = NETWORKS) -> str:
    """Return a table: one line per target, one column per model that has rows, the paper's shapes.

    Where all of the five networks are there, the least of their means is bold.
    """
    some = {row["model"] for row in of(rows, preset=preset, d=d)}
    models = [model for model in models if model in some]
    table: list[Row] = []
    for target in TARGETS:
        every = {
            model: errors(rows, preset=preset, target=target, d=d, model=model, shape=_shape(model)) for model in models
        }
        if not any(every.values()):
            continue
        means = {model: statistics.fmean(every[model]) if every.get(model) else None for model in NETWORKS}
        winner = best_of(means)
        shown = {model: f"**{cell(found)}**" if model == winner else cell(found) for model, found in every.items()}
        table.append({"target": target, **{NAMES.get(model, model): text for model, text in shown.items()}})
    return markdown(table) if table else "No cell is finished."


def _shape(model: str) -> str:
    return "paper" if model in NAMES else "own"


def means(rows: Rows, preset: str) -> str:
    """Return the mean relative error over the ten targets, one line per d, with the targets that each network wins."""
    table: list[Row] = []
    for d in _sizes(rows, preset):
        found = {model: [_judged(rows, preset, target, d, model) for target in TARGETS] for model in NETWORKS}
        won = [best_of({model: values[i] for model, values in found.items()}) for i in range(len(TARGETS))]
        line: Row = {"d": d}
        for model, values in found.items():
            there = [value for value in values if value is not None]
            whole = len(there) == len(TARGETS)
            line[NAMES[model]] = f"{statistics.fmean(there):.3g} ({won.count(model)})" if whole else "-"
        table.append(line)
    return markdown(table) if table else "No cell is finished."


def bars(rows: Rows) -> str:
    """Return whether SOC reaches the bar on the targets that it represents: mean, least and largest over the seeds."""
    table: list[Row] = []
    for target in REPRESENTED:
        line: Row = {"target": target}
        for d in SIZES:
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
            text = "-" if one is None else f"{short(one[1])}, {one[0]}"
            line[NAMES[model]] = f"**{text}**" if model == winner else text
        table.append(line)
    return markdown(table) if table else "No cell is finished."


def wins(rows: Rows) -> str:
    """Return in how many finished cells of d = 5, 10, 20 each network has the least error, one line per reading."""
    table: list[Row] = []
    for way in WAYS:
        count, cells = dict.fromkeys(NETWORKS, 0), 0
        for d in SIZES:
            for target in TARGETS:
                winner = best_of({model: _judged(rows, way, target, d, model) for model in NETWORKS})
                if winner in count:
                    count[winner], cells = count[winner] + 1, cells + 1
        table.append({"judged by": WAYS[way], "cells": cells, **{NAMES[model]: won for model, won in count.items()}})
    return markdown(table)


def _judged(rows: Rows, way: str, target: str, d: Value, model: str) -> float | None:
    if way == "chosen":
        one = chosen(rows, target, d, model)
        return None if one is None else one[1]
    found = errors(rows, preset=way, target=target, d=d, model=model, shape="paper")
    return statistics.fmean(found) if found else None


def time_taken(rows: Rows) -> str:
    """Return the processor time of the rows in minutes: a line per preset and kind of models, a column per d."""
    table: list[Row] = []
    for preset in PRESETS:
        here = of(rows, preset=preset)
        kinds = {
            "five networks, the paper's shapes": [r for r in here if r["model"] in NETWORKS and r["shape"] == "paper"],
            "five networks, other shapes": [r for r in here if r["model"] in NETWORKS and r["shape"] != "paper"],
            "the others": [r for r in here if r["model"] not in NETWORKS],
        }
        for kind, found in kinds.items():
            spent = {d: sum(number(row, "train_s") for row in of(found, d=d)) / 60 for d in WIDTHS}
            if found:
                line = {f"d = {d}": f"{minutes:.1f}" if of(found, d=d) else "-" for d, minutes in spent.items()}
                table.append({"preset": preset, "models": kind, **line, "all": f"{sum(spent.values()):.0f}"})
    return markdown(table) if table else "No cell is finished."


def missing(rows: Rows, keys: Sequence[Mapping[str, Value]]) -> str:
    """Return how many cells are finished: a line per preset, group of models and group of shapes, a column per d.

    Empty when all are.
    """
    columns = list(keys[0])
    there = {tuple(row.get(column) for column in columns) for row in rows}
    counts: dict[tuple[str, str, str], dict[str, list[int]]] = {}
    for key in keys:
        kind = "five networks" if key["model"] in NETWORKS else NAMES.get(str(key["model"]), str(key["model"]))
        shapes = {"paper": "the paper's", "own": "its own"}.get(str(key["shape"]), "others")
        line = counts.setdefault((str(key["preset"]), kind, shapes), {})
        done = line.setdefault(f"d = {key['d']}", [0, 0])
        done[0] += tuple(key.values()) in there
        done[1] += 1
    if all(done == total for line in counts.values() for done, total in line.values()):
        return ""
    sizes = [f"d = {d}" for d in dict.fromkeys(key["d"] for key in keys)]
    return markdown(
        [
            {"preset": preset, "models": kind, "shapes": shapes}
            | {size: "{} of {}".format(*line[size]) if size in line else "-" for size in sizes}
            for (preset, kind, shapes), line in counts.items()
        ]
    )


def rendered(rows: Rows, keys: Sequence[Mapping[str, Value]]) -> str:
    """Return every table in Markdown.

    Args:
        rows: the kept rows.
        keys: of all cells, for what is missing.
    """
    paper, converged = _sizes(rows, "paper"), _sizes(rows, "converged")
    at = {d: choices(rows, d) for d in SIZES if any(chosen(rows, t, d, m) for t in TARGETS for m in NETWORKS)}
    mean = "Mean relative error over the ten targets; in brackets, how many of them the network wins.\n\n"
    parts = [
        "## Who has the least error\n\n" + wins(rows),
        f"## As the paper trains\n\n{mean}" + means(rows, "paper"),
        *(f"### d = {d}, `paper`\n\n" + by_target(rows, "paper", d, (*NETWORKS, "ickan")) for d in paper),
        f"## Trained to the end\n\n{mean}" + means(rows, "converged"),
        f"On the targets that SOC represents, the bar is {BAR:g}:\n\n" + bars(rows),
        *(
            f"### d = {d}, `converged`\n\n{by_target(rows, 'converged', d)}\n\nBeside them:\n\n"
            + by_target(rows, "converged", d, OTHERS)
            for d in converged
        ),
        *(f"## Shapes chosen on validation data, d = {d}\n\n{text}" for d, text in at.items()),
        f"## Time\n\nProcessor minutes of the rows, on one core of a busy machine:\n\n{time_taken(rows)}",
    ]
    lacking = missing(rows, keys)
    if lacking:
        parts.append("## Missing\n\nThe sweep goes on where it stopped; not finished yet:\n\n" + lacking)
    return "\n\n".join(parts) + "\n"


def _sizes(rows: Rows, preset: str) -> list[Value]:
    return list(dict.fromkeys(row["d"] for row in of(rows, preset=preset) if row["shape"] in ("paper", "own")))
