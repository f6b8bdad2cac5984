"""The tables of `half`: regret of the closest baseline, and of every other, over that of the best of ours, in 18 cells.

A cell that was run again is judged alike on both sides: on the same fresh contexts, to the same accuracy. Of any other,
and of baselines that were not run again, there are the rows of version 1: ours on 1,000 fresh contexts, the baselines
on 200 test contexts.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.decision.models import BALANCED, BASELINES, JOINT, SMOOTH
from experiments.decision.regrets import decoded
from experiments.engine.tables import Row, Value, grouped, markdown, read_table
from socicnn._arrays import Array

OURS = (SMOOTH, "soc-partial", BALANCED)
RIVALS = (*BASELINES, "cvxpylayers", "lpcf", *JOINT)
AIM = 2.0  # half of every baseline's regret


class Figures(NamedTuple):
    """The regrets of a model: its name and where they come from, mean, median and 95 % quantile."""

    name: str
    mean: float
    median: float
    high: float | None = None  # version 1 did not keep it


Kept = dict[tuple[Value, ...], dict[str, Figures]]  # (task, n) -> model -> its regrets


def again(rows: Sequence[Row]) -> Kept:
    """Return the figures of the models that were run again, over all seeds and fresh contexts."""
    found: Kept = {}
    for (task, n, model), members in grouped(rows, ("task", "n", "model")).items():
        regrets: Array = np.concatenate([decoded(str(row["regrets"])).numpy() for row in members])
        regrets = regrets[np.isfinite(regrets)]
        middle, high = (float(np.quantile(regrets, share)) for share in (0.5, 0.95))
        found.setdefault((task, n), {})[str(model)] = Figures(str(model), float(regrets.mean()), middle, high)
    return found


def first(rows: Sequence[Row], where: str) -> Kept:
    """Return the figures of version 1; a model trained or decided in several ways has those of its best one."""
    found: Kept = {}
    ways = grouped([{"method": "certified", **row} for row in rows], ("task", "n", "model", "loss", "method"))
    for (task, n, model, *_), members in ways.items():
        place, name = found.setdefault((task, n), {}), str(model)
        mean, middle = (statistics.fmean(float(str(row[f"regret_{x}"])) for row in members) for x in ("mean", "median"))
        if name not in place or mean < place[name].mean:
            place[name] = Figures(f"{name}, {where}", mean, middle)
    return found


def table(run: Sequence[Row], fresh: Sequence[Row], before: Sequence[Row]) -> list[Row]:
    """Return one row per task and n.

    Args:
        run: rows of the cells that were run again.
        fresh: rows of version 1 on fresh contexts.
        before: rows of version 1 on test contexts.
    """
    new, judged, tested = again(run), first(fresh, "version 1"), first(before, "version 1, test contexts")
    rows: list[Row] = []
    for (task, n), afresh in judged.items():
        known = {**tested[task, n], **afresh, **new.get((task, n), {})}
        ours = min((known[name] for name in OURS if name in {**afresh, **new.get((task, n), {})}), key=_mean)
        rival = min((known[name] for name in RIVALS if name in known), key=_mean)
        row: Row = {"task": task, "n": n, "ours": ours.name, **_columns(ours, ""), "closest baseline": rival.name}
        ratios = {
            f"ratio of {name}": "-" if "-" in (top, bottom) else float(str(top)) / float(str(bottom))
            for (name, top), bottom in zip(_columns(rival, "").items(), _columns(ours, "").values(), strict=True)
        }
        half = "yes" if rival.mean >= AIM * ours.mean else "NO"
        rows.append({**row, **_columns(rival, "its "), **ratios, "half": half})
    return rows


def every(run: Sequence[Row], fresh: Sequence[Row], before: Sequence[Row]) -> list[Row]:
    """Return the mean regret of each baseline over that of the best of ours, one row per task and n.

    The arguments are those of `table`. A star marks figures of version 1 on test contexts; the networks of the
    benchmark's authors are one column, for the best of them.
    """
    new, judged, tested = again(run), first(fresh, "version 1"), first(before, "version 1, test contexts")
    rows: list[Row] = []
    for (task, n), afresh in judged.items():
        told = {**afresh, **new.get((task, n), {})}
        known = {**tested[task, n], **told}
        ours = min((told[name] for name in OURS if name in told), key=_mean)
        row: Row = {"task": task, "n": n}
        for title, names in {**{name: (name,) for name in (*BASELINES, "cvxpylayers", "lpcf")}, "joint": JOINT}.items():
            there = [name for name in names if name in known]
            if there:
                name = min(there, key=lambda name: known[name].mean)
                row[title] = f"{known[name].mean / ours.mean:.3g}{'' if name in told else ' *'}"
        rows.append(row)
    return rows


def rendered(run: Sequence[Row], folder: Path) -> str:
    """Return the tables in Markdown, version 1's rows read from the folder of results."""
    sources = (
        run,
        read_table(folder / "decision_version_1.fresh.csv"),
        read_table(folder / "decision_version_1.csv"),
    )
    rows = table(*sources)
    met = sum(row["half"] == "yes" for row in rows)
    seeds = [
        {"task": task, "n": n, "run again, with its number of seeds": _counts(members)}
        for (task, n), members in grouped(run, ("task", "n")).items()
    ]
    return (
        f"At most half of the closest baseline's mean regret in {met} of {len(rows)} cells.\n\n{markdown(rows)}\n\n"
        f"Mean regret of every baseline over ours:\n\n{markdown(every(*sources))}\n\n"
        f"\\* version 1, on 200 test contexts; without a star on 1,000 fresh ones.\n\n{markdown(seeds)}"
    )


def _counts(rows: Sequence[Row]) -> str:
    return ", ".join(f"{model} {len(members)}" for (model,), members in grouped(rows, ("model",)).items())


def _mean(figures: Figures) -> float:
    return figures.mean


def _columns(figures: Figures, prefix: str) -> Row:
    values = {"mean": figures.mean, "median": figures.median, "95 %": figures.high}
    return {f"{prefix}{name}": "-" if value is None else value for name, value in values.items()}
