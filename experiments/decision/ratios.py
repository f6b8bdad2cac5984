"""What the benchmark over instances says: regret of each contender over ours, cell by cell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from experiments.decision.regrets import decoded
from experiments.engine.tables import Row, Value, grouped, markdown
from socicnn._arrays import Array

OURS = (
    "soc-partial",
    "smooth-partial",
    "focused-partial",
)  # what the others are compared with; each has a budget of its own
DRAWS = 2000  # of the bootstrap
Regrets = dict[tuple[Value, ...], dict[Value, Array]]  # (task, n, contender) -> instance -> regrets of its contexts


def contender(row: Mapping[str, Value]) -> str:
    """Return the name of a contender: its model, and how it was trained and decided where that is its authors' way."""
    way = {"certified": "decided to the end", "seed-steps": "as its authors decide"}[str(row["method"])]
    return f"{row['model']}, {way}" if row["loss"] == "seed" else str(row["model"])


def regrets_of(rows: Sequence[Row]) -> Regrets:
    """Return the regrets of every context, by cell, contender and instance."""
    found: Regrets = {}
    for row in rows:
        place = found.setdefault((row["task"], row["n"], contender(row)), {})
        place[row["instance"]] = decoded(str(row["regrets"])).numpy()
    return found


def compared(ours: dict[Value, Array], theirs: dict[Value, Array]) -> Row | None:
    """Compare two contenders of one cell over the instances that both have; None without one.

    ratio_i = mean regret of theirs / mean regret of ours on instance i, over the contexts that both decided for. The
    interval is that of the geometric mean over instances where the contexts of each are drawn again, with replacement
    and the same for both. A context that one failed at is lost by it.

    Args:
        ours: regrets by instance, NaN where there was no decision.
        theirs: the same of the other.
    """
    shared = [instance for instance in ours if instance in theirs]
    if not shared:
        return None
    ratios, middle, high, wins, decided = [], [], [], [], []
    for instance in shared:
        a, b = ours[instance], theirs[instance]
        wins.append(float(np.mean(np.where(np.isnan(a), 0.0, np.where(np.isnan(b), 1.0, (a < b) + 0.5 * (a == b))))))
        both = np.isfinite(a) & np.isfinite(b)
        a, b = a[both], b[both]
        ratios.append(quotient(b.mean(), a.mean()))
        middle.append(quotient(np.median(b), np.median(a)))
        high.append(quotient(np.quantile(b, 0.95), np.quantile(a, 0.95)))
        decided.append((a, b))
    draws = np.zeros(DRAWS)
    for (a, b), counts in zip(decided, drawn(tuple(len(a) for a, _ in decided), DRAWS), strict=True):
        draws += np.log([quotient(top, bottom) for top, bottom in zip(counts @ b, counts @ a, strict=True)])
    low, top = np.exp(np.quantile(draws / len(shared), [0.025, 0.975]))
    return {
        "instances": len(shared),
        "won": sum(ratio > 1 for ratio in ratios),
        "ratio": mean(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "interval": f"{low:.3g} to {top:.3g}",
        "contexts won": f"{100 * statistics.fmean(wins):.0f} %",
        "ratio of medians": mean(middle),
        "ratio of 95 % quantiles": mean(high),
        "verdict": verdict(ratios),
    }


@lru_cache(maxsize=1)  # the same for all contenders that decided for every context
def drawn(contexts: tuple[int, ...], draws: int) -> list[Array]:
    """Return how often each context of each instance is drawn, with shape (draws, contexts), where all are drawn again.

    Args:
        contexts: how many contexts each instance has.
        draws: how often they are drawn.
    """
    generator = np.random.default_rng(0)
    return [generator.multinomial(n, np.full(n, 1 / n), size=draws).astype(float) for n in contexts]


def quotient(top: Any, bottom: Any) -> float:
    """Return a ratio of regrets; those of 1e-18 and less count as that."""
    return float(max(top, 1e-18) / max(bottom, 1e-18))


def mean(values: Sequence[float]) -> float:
    """Return the geometric mean."""
    return math.exp(statistics.fmean(map(math.log, values)))


def verdict(ratios: Sequence[float]) -> str:
    """Say on how many instances ours has the lower mean regret."""
    won = sum(ratio > 1 for ratio in ratios)
    if won == len(ratios):
        return "won on every one"
    return "won on most" if 2 * won > len(ratios) else "LOST"


def ratios(rows: Sequence[Row]) -> list[Row]:
    """Return one row per task, n and contender other than ours."""
    regrets = regrets_of(rows)
    table: list[Row] = []
    for (task, n, name), theirs in regrets.items():
        for ours in OURS:
            row = compared(regrets.get((task, n, ours), {}), theirs) if name not in OURS else None
            if row is not None:
                table.append({"task": task, "n": n, "ours": ours, "against": name, **row})

    def place(row: Row) -> tuple[Any, ...]:
        return OURS.index(str(row["ours"])), row["against"], row["n"]

    return sorted(table, key=place)


def levels(rows: Sequence[Row]) -> list[Row]:
    """Return the regrets of every contender: geometric means over instances of mean, median and 95 % quantile."""
    table: list[Row] = []
    for (task, n, name), members in grouped(
        [{**row, "contender": contender(row)} for row in rows], ("task", "n", "contender")
    ).items():
        row: Row = {"task": task, "n": n, "contender": name, "instances": len(members)}
        for column in ("regret_mean", "regret_median", "regret_q95"):
            row[column.replace("regret_", "").replace("q95", "95 %")] = mean(
                [max(float(str(member[column])), 1e-18) for member in members]
            )
        row["failed"] = sum(int(str(member["failed"])) for member in members)
        row["worst relative gap"] = max(
            (float(str(member["relative_gap_max"])) for member in members if "relative_gap_max" in member), default="-"
        )
        row["CPU s"] = round(statistics.fmean(map(_seconds, members)))
        table.append(row)
    return table


def _seconds(row: Mapping[str, Value]) -> float:
    return float(str(row["tuning_cpu_s"])) + float(str(row["train_cpu_s"]))


def verdicts(table: Sequence[Row]) -> list[Row]:
    """Return, per n and two contenders, in how many tasks ours won on every instance, on most, or lost; and pairs.

    A pair is a task and an instance. `least`, `ratio` and `most` are the least ratio of a pair, the geometric mean of
    all, and the largest.
    """
    found: list[Row] = []
    for (n, ours, name), members in sorted(
        grouped(table, ("n", "ours", "against")).items(), key=lambda item: int(str(item[0][0]))
    ):
        row: Row = {"n": n, "ours": ours, "against": name, "tasks": len(members)}
        for text in ("won on every one", "won on most", "LOST"):
            row[text] = sum(member["verdict"] == text for member in members)
        pairs = [int(str(member["instances"])) for member in members]
        row["pairs won"] = f"{sum(int(str(member['won'])) for member in members)} of {sum(pairs)}"
        row["least"] = min(float(str(member["least"])) for member in members)
        logs = [math.log(float(str(member["ratio"]))) for member in members]
        row["ratio"] = math.exp(float(np.average(logs, weights=pairs)))
        row["most"] = max(float(str(member["most"])) for member in members)
        found.append(row)
    return found


def rendered(rows: Sequence[Row], cells: Sequence[Mapping[str, Value]]) -> str:
    """Return all tables in Markdown."""
    table = ratios(rows)
    done = {tuple(row[column] for column in cells[0]): _seconds(row) for row in rows}  # the same in every row of a cell
    made = ", ".join(sorted({f"{name} {row[name]}" for row in rows for name in VERSIONS}))
    packages = "; ".join(sorted({str(row["packages"]) for row in rows}))
    texts = [
        "# Decisions over instances",
        f"{len(done)} of {len(cells)} cells have been run; choice and training took "
        f"{sum(done.values()) / 3600:.1f} hours of one core. Rows are made by {made} ({packages}).",
        "## Regrets\n\nGeometric means over instances of mean, median and 95 % quantile over the fresh contexts; "
        "contexts without a decision; the worst relative gap of a decision; CPU seconds of choice and training.\n\n"
        + markdown(levels(rows)),
    ]
    if table:  # two contenders have an instance in common
        texts[2:2] = [
            "## Who wins\n\nTasks in which ours has the lower mean regret on every instance, on most, or on half and "
            "fewer; pairs of a task and an instance in which it has; the least, geometric mean and largest ratio of "
            "the other's mean regret to ours over the pairs.\n\n" + markdown(verdicts(table)),
            "## Cell by cell\n\nMean regret of the other over that of ours on fresh contexts: geometric mean over "
            "instances, least, most, and the 95 % interval of the mean by a paired bootstrap over contexts; the share "
            "of contexts at which ours has less regret; the same ratio of medians and of 95 % quantiles.\n\n"
            + markdown(table),
        ]
    return "\n\n".join(texts) + "\n"


VERSIONS = ("optimiser", "training", "protocol", "rtol", "fine")
