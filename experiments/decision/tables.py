"""The tables of experiment 3: the tidy one, and what is read off it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from experiments.engine.tables import Row, Value, grouped, markdown, mean_and_deviation, summary

COLUMNS = (
    *("task", "n", "model", "loss", "method", "seed", "parameters", "labels"),
    *("test_relative_error", "within_context_error", "regret_mean", "regret_median", "regret_max"),
    *("decision_error", "infeasibility", "relative_gap_max"),
    *("train_s", "decide_ms_1", "decide_ms_200"),
)
SEED_JOINT = ("relu-joint", "softplus-joint", "quad-joint", "norm-joint", "soc-joint")
STRUCTURED = ("structured-pcf", "structured-dcp")
OTHERS = ("lpcf", "cvxpylayers")  # rows of `experiments.peers.cells`
OURS = ("-partial",)  # what the names of our surrogates end with
BAR, AIM = (20, 50), (5, 20)  # regret of the authors' best network over ours: as they decide, and decided to the end


def joined(runs: Sequence[Row], timings: Sequence[Row], tuning: Sequence[Row] = ()) -> list[Row]:
    """Return the tidy table: the runs, with the times of each model's first seed beside all its seeds.

    The labels that the choice of a configuration took, one a validation context and try, are added to the model's own.
    """
    spent: dict[tuple[Value, ...], int] = {}
    for row in tuning:
        place = tuple(row[column] for column in ("task", "n", "model", "loss"))
        spent[place] = spent.get(place, 0) + int(number(row["labels"]))
    key = ("task", "n", "model", "loss", "method")
    times = {tuple(row.get(column) for column in key): row for row in timings}
    names = ("train_s", "decide_ms_1", "decide_ms_200")
    found: list[Row] = []
    for row in runs:
        timed = times.get(tuple(row.get(column) for column in key), {})
        whole = {**row, **{name: timed[name] for name in names if name in timed}}
        place = tuple(row.get(column) for column in ("task", "n", "model", "loss"))
        whole["labels"] = int(number(row["labels"])) + spent.get(place, 0)
        found.append({column: whole.get(column) for column in (*COLUMNS, *(c for c in whole if c not in COLUMNS))})
    return found


def mean_regret(rows: Iterable[Mapping[str, Value]]) -> dict[tuple[Value, ...], float]:
    """Return the mean regret over seeds for each (task, n, model, loss, method)."""
    groups = grouped(rows, ("task", "n", "model", "loss", "method"))
    return {key: statistics.fmean(number(row["regret_mean"]) for row in members) for key, members in groups.items()}


def number(value: Value) -> float:
    """Return a number, NaN where there is none."""
    return float(value) if isinstance(value, int | float) else math.nan


def rendered(rows: Sequence[Row], fresh: Sequence[Row], cells: Sequence[Mapping[str, Value]]) -> str:
    """Return all tables in Markdown."""
    sizes = dict.fromkeys(row["n"] for row in rows)
    whole = [f"## n = {n}\n\n{full([row for row in rows if row['n'] == n])}" for n in sizes]
    first = ["# Decisions", bars_text(rows), fresh_text(rows, fresh), finding_text(rows), losses_text(rows)]
    parts = [*first, *whole, missing(rows, cells)]
    return "\n\n".join(part for part in parts if part) + "\n"


def is_ours(model: Value, loss: Value, method: Value) -> bool:
    """Return whether rows of this kind are ours."""
    return str(model).endswith(OURS) and (loss, method) == ("within_context", "certified")


def bars(rows: Sequence[Row]) -> list[Row]:
    """Return one row per task and n: our best, among those with the most seeds, against each baseline's best."""
    regrets = mean_regret(rows)
    seeds = {key: len(members) for key, members in grouped(rows, ("task", "n", "model", "loss", "method")).items()}
    found: list[Row] = []
    for task, n in dict.fromkeys((row["task"], row["n"]) for row in rows):

        def least(keep: Callable[[str, str, str], bool], here: tuple[Value, Value] = (task, n)) -> tuple[float, str]:
            fitting = [
                (value, str(key[2]))
                for key, value in regrets.items()
                if key[:2] == here and keep(str(key[2]), str(key[3]), str(key[4])) and math.isfinite(value)
            ]
            return min(fitting, default=(math.nan, ""))

        counted = {str(key[2]): count for key, count in seeds.items() if key[:2] == (task, n) and is_ours(*key[2:])}
        most = max(counted.values(), default=0)  # a lucky seed alone does not stand for a model

        def has_most(model: str, loss: str, how: str, counted: dict[str, int] = counted, most: int = most) -> bool:
            return is_ours(model, loss, how) and counted[model] == most

        ours, name = least(has_most)
        steps, _ = least(lambda m, loss, how: m in SEED_JOINT and loss == "seed" and how == "seed-steps")
        converged, other = least(lambda m, loss, how: m in SEED_JOINT and loss == "seed" and how == "certified")
        counts = [
            seeds.get((task, n, name, "within_context", "certified"), 0),
            seeds.get((task, n, other, "seed", "certified"), 0),
        ]
        row: Row = {"task": task, "n": n, "seeds": " : ".join(map(str, counts)), "ours": ours, "model": name}
        row |= {"seed": steps, "seed / ours": steps / ours}
        row |= {"converged": converged, "converged / ours": converged / ours}
        for baseline in (*STRUCTURED, *OTHERS):
            value, _ = least(lambda m, loss, how, b=baseline: m == b and how != "seed-steps")  # type: ignore[misc]  # a default that binds now
            row[f"{baseline} / ours"] = value / ours
        found.append(row)
    return found


def passes(row: Mapping[str, Value]) -> bool | None:
    """Return whether a row of `bars` meets every bar; None where a baseline is missing."""
    ratios = [(number(row["seed / ours"]), BAR[0]), (number(row["converged / ours"]), AIM[0])]
    ratios += [(number(row[f"{baseline} / ours"]), 1.0) for baseline in (*STRUCTURED, *OTHERS)]
    if any(ratio < bar for ratio, bar in ratios):
        return False
    return None if any(math.isnan(ratio) for ratio, _ in ratios) else True


def bars_text(rows: Sequence[Row]) -> str:
    """Return the comparison with every baseline."""
    table = bars(rows)
    met = [passes(row) for row in table]  # before the ratios become text
    for row, verdict in zip(table, met, strict=True):
        for column, value in row.items():
            if isinstance(value, float) and math.isnan(value):
                row[column] = "-"
            elif column.endswith("/ ours"):
                row[column] = f"{number(value):.3g}"
        row["bars"] = {True: "met", False: "MISSED", None: "incomplete"}[verdict]
    return (
        "## Against the baselines\n\nMean regret over the test contexts and seeds, certified decisions; `seed` is the "
        "best joint network as its authors train and decide, `converged` the best of the same networks decided to the "
        "end; `seeds` counts ours and those of the latter; ours is the best of our models with the most seeds. Of a "
        "baseline trained in two ways the better one counts. "
        f"Bars: seed / ours at least {BAR[0]}, converged / ours at least {AIM[0]}, every other ratio above 1.\n\n"
        + markdown(table)
    )


def fresh_text(rows: Sequence[Row], fresh: Sequence[Row]) -> str:
    """Return the best of ours on fresh contexts beside the test contexts, over the seeds that have both."""
    table: list[Row] = []
    for best in bars(rows):
        key = {"task": best["task"], "n": best["n"], "model": best["model"], "loss": "within_context"}
        found = {row["seed"]: row for row in fresh if key.items() <= row.items()}
        tested = {
            row["seed"]: number(row["regret_mean"])
            for row in rows
            if {**key, "method": "certified"}.items() <= row.items() and row["seed"] in found
        }
        if not tested:
            continue
        old = statistics.fmean(tested.values())
        new = statistics.fmean(number(found[seed]["regret_mean"]) for seed in tested)
        ratios = [number(best["seed / ours"]) / BAR[0], number(best["converged / ours"]) / AIM[0]]
        ratios += [number(best[f"{baseline} / ours"]) for baseline in (*STRUCTURED, *OTHERS)]
        limit = min((ratio for ratio in ratios if math.isfinite(ratio)), default=math.nan)
        table.append(
            {
                "task": best["task"], "n": best["n"], "model": best["model"], "seeds": len(tested),
                "contexts": found[next(iter(tested))]["contexts"], "test": f"{old:.3g}", "fresh": f"{new:.3g}",
                "fresh / test": f"{new / old:.2f}", "closest bar / fresh": f"{limit * old / new:.2f}",
            }
        )  # fmt: skip
    if not table:
        return ""
    return (
        "## On fresh contexts\n\nMean regret of the same models on contexts drawn anew, which no choice of shapes or "
        "configurations has seen. The last column is the least mean regret that a bar asks for (a baseline's own on "
        "the test contexts, or its twentieth or fifth) over ours on fresh ones: above 1 every bar would still be met."
        "\n\n" + markdown(table)
    )


def finding_text(rows: Sequence[Row]) -> str:
    """Return the regret of the authors' networks, as they decide and decided to the end."""
    regrets = mean_regret(rows)
    names = [*SEED_JOINT, *STRUCTURED]
    table: list[Row] = []
    for task, n in dict.fromkeys((row["task"], row["n"]) for row in rows):
        counts = [len(seeds_of(rows, task, n, name)) for name in names]
        there = [count for count in counts if count]
        few, many = min(there, default=0), max(there, default=0)
        row: Row = {"task": task, "n": n, "seeds": few if few == many else f"{few} to {many}"}
        for name in names:
            pair = [regrets.get((task, n, name, "seed", method), math.nan) for method in ("seed-steps", "certified")]
            row[name] = " → ".join("-" if math.isnan(value) else f"{value:.3g}" for value in pair)
        least = []
        for method in ("seed-steps", "certified"):
            found = {
                name: regrets[task, n, name, "seed", method]
                for name in names
                if (task, n, name, "seed", method) in regrets
            }
            least.append(min(found, key=found.__getitem__, default="-"))
        row["best"] = " → ".join(least)
        table.append(row)
    return (
        "## The optimiser changes the ranking\n\nMean regret of networks trained as their authors do: as they decide "
        "(200 steps of projected Adam, 5 starts) → decided to a certified gap; `seeds` says how many a model has, at "
        "least and at most.\n\n" + markdown(table) + "\n\n" + overtaken_text(rows)
    )


def seeds_of(rows: Sequence[Row], task: Value, n: Value, model: str) -> set[Value]:
    """Return the seeds of a model trained as its authors do."""
    wanted = (task, n, model, "seed")
    return {row["seed"] for row in rows if tuple(row[key] for key in ("task", "n", "model", "loss")) == wanted}


def overtaken_text(rows: Sequence[Row]) -> str:
    """Return in how many cells, and pairs of cell and seed, the better of SOC and Quad has less regret than the PCF."""
    keys = ("task", "n", "model", "loss", "method", "seed")
    regret = {tuple(row[key] for key in keys): number(row["regret_mean"]) for row in rows}
    means = mean_regret(rows)
    table: list[Row] = []
    for method in ("seed-steps", "certified"):
        line: Row = {"decided": method}
        for name, given, tails in (
            ("cells", means, [(method,)]),
            ("cells and seeds", regret, [(method, seed) for seed in sorted({row["seed"] for row in rows}, key=str)]),
        ):
            wins = total = 0
            for task, n in dict.fromkeys((row["task"], row["n"]) for row in rows):
                for tail in tails:
                    soc, quad, pcf = (
                        given.get((task, n, model, "seed", *tail), math.nan)
                        for model in ("soc-joint", "quad-joint", "structured-pcf")
                    )
                    if not math.isnan(soc + quad + pcf):
                        total, wins = total + 1, wins + (min(soc, quad) < pcf)
            line[name] = f"{wins} of {total}"
        table.append(line)
    return (
        "The better of SOC and Quad has less regret than the structured PCF, all three trained and decided alike, in:"
        "\n\n" + markdown(table)
    )


def losses(rows: Sequence[Row]) -> list[Row]:
    """Return one row per model: its regret trained by its own loss over that trained within contexts, decided alike.

    Geometric means over the cells (task, n) that have both, seed by seed where seeds are shared.
    """
    regrets: dict[tuple[Value, ...], dict[Value, float]] = {}
    for row in rows:
        if row["method"] == "certified":
            key = (row["task"], row["n"], row["model"], row["loss"])
            regrets.setdefault(key, {})[row["seed"]] = number(row["regret_mean"])
    found: list[Row] = []
    for model in dict.fromkeys(row["model"] for row in rows):
        ratios = []
        for (task, n, name, loss), own in regrets.items():
            ours = regrets.get((task, n, model, "within_context"), {})
            shared = own.keys() & ours.keys()
            if name == model and loss != "within_context" and shared:
                ratios.append(sum(own[seed] for seed in shared) / sum(ours[seed] for seed in shared))
        if ratios:
            mean = math.exp(statistics.fmean(map(math.log, ratios)))
            found.append(
                {"model": model, "cells": len(ratios), "mean": mean, "least": min(ratios), "most": max(ratios)}
            )
    return found


def losses_text(rows: Sequence[Row]) -> str:
    """Return what the loss is worth to each model."""
    table: list[Row] = [
        {column: f"{value:.3g}" if isinstance(value, float) else value for column, value in row.items()}
        for row in losses(rows)
    ]
    if not table:
        return ""
    return (
        "## What the loss is worth\n\nRegret of a model trained by its authors' loss over its regret trained within "
        "contexts, both decided to a certified gap: above 1 the loss within contexts is better. Geometric mean, least "
        "and most over the cells that have both.\n\n" + markdown(table)
    )


SHOWN = {
    "parameters": "params", "test_relative_error": "relative error", "within_context_error": "within-context error",
    "regret_mean": "regret", "decision_error": "decision error", "outside": "outside",
    "relative_gap_max": "relative gap",
    "train_s": "train s", "decide_ms_1": "decide ms, 1", "decide_ms_200": "decide ms, 200",
}  # fmt: skip


def full(rows: Sequence[Row]) -> str:
    """Return every model, loss and method of one n, mean and standard deviation over seeds."""
    texts = []
    for task in dict.fromkeys(row["task"] for row in rows):
        of_task = [row for row in rows if row["task"] == task]
        table = summary(of_task, ("model", "loss", "method"), list(SHOWN), _shown)
        named = [{SHOWN.get(column, column): value for column, value in row.items()} for row in table]
        texts.append(f"### {task}\n\n{markdown(named)}")
    return "\n\n".join(texts)


def _shown(values: Sequence[float]) -> str:
    """Return mean and deviation over seeds; one number where all agree, whole where it is."""
    if len(set(values)) > 1:
        return mean_and_deviation(values)
    return f"{values[0]:,.0f}" if values[0] == int(values[0]) else f"{values[0]:.3g}"


def missing(rows: Sequence[Row], cells: Sequence[Mapping[str, Value]]) -> str:
    """Say which cells the table lacks."""
    there = {(row["task"], row["n"], row["model"], row["loss"], row["seed"]) for row in rows}
    lacking = [key for key in cells if tuple(key.values()) not in there]
    if not lacking:
        return ""
    every = {key["task"] for key in cells}
    alike: dict[tuple[Value, Value, str], list[str]] = {}
    for (model, loss, seed), members in grouped(lacking, ("model", "loss", "seed")).items():
        places = _places([(key["task"], key["n"]) for key in members], every)
        alike.setdefault((model, loss, places), []).append(str(seed))
    lines = [
        f"- {model}, loss {loss}: seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}, {places}"
        for (model, loss, places), seeds in alike.items()
    ]
    listed = "\n".join(lines)
    return (
        f"## Missing\n\n{len(lacking)} of {len(cells)} cells have not been run; the table grows over several runs of "
        f"the command.\n\n{listed}"
    )


def _places(keys: Sequence[tuple[Value, Value]], every: set[Value]) -> str:
    """Return (task, n) in words, tasks of the same sizes together; `every` holds all tasks."""
    sizes: dict[Value, list[Value]] = {}
    for task, n in keys:
        sizes.setdefault(task, []).append(n)
    alike: dict[tuple[Value, ...], list[str]] = {}
    for task, found in sizes.items():
        alike.setdefault(tuple(found), []).append(str(task))
    return "; ".join(
        f"{'every task' if set(names) == every and len(every) > 1 else ', '.join(names)} at n = "
        f"{', '.join(map(str, ns))}"
        for ns, names in alike.items()
    )
