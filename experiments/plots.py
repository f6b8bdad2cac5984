"""The figures of the two cases of the gallery: four tanks, and a year of days with a battery."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from socicnn._arrays import Array
from socicnn._files import replacing

COLOURS = {"constant": "0.6", "idle": "0.6", "yesterday": "C2", "true": "k", "perfect": "k", "learned": "C0"}


def tanks(levels: Mapping[str, Array], costs: Mapping[str, Array], *, target: Array, step: float, path: Path) -> None:
    """Draw the two controlled levels of the run that starts farthest from both targets, and what all runs cost.

    Args:
        levels: in cm, per controller, shape `(runs, steps + 1, 4)`.
        costs: of each run, per controller, shape `(runs,)`.
        target: wanted levels of the two lower tanks, in cm.
        step: seconds of a step.
        path: file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    panels[1].sharey(panels[0])
    starts = next(iter(levels.values()))[:, 0, :2]
    shown = int(np.abs(starts - target).min(axis=1).argmax())
    for tank, panel in enumerate(panels[:2]):
        panel.axhline(target[tank], color="C3", linestyle=":", label="wanted")
        for name, level in levels.items():
            seconds = step * np.arange(level.shape[1])
            style = "--" if name == "true" else "-"
            panel.plot(seconds, level[shown, :, tank], style, color=COLOURS.get(name, "C1"), label=name)
        panel.set(xlabel="seconds", ylabel="level, cm", title=f"lower tank {tank + 1}, run {shown + 1}")
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize="small")
    count = len(next(iter(costs.values())))
    for i, (name, cost) in enumerate(costs.items()):
        places = np.arange(count) + 0.8 * ((i + 0.5) / len(costs) - 0.5)
        panels[2].bar(places, cost, 0.8 / len(costs), color=COLOURS.get(name, "C1"), label=name)
    panels[2].set(yscale="log", xlabel="run", ylabel="cost (log scale)", title="cost of each run, less is better")
    panels[2].set_xticks(range(count), [str(i + 1) for i in range(count)])
    panels[2].legend(fontsize="small")
    _save(figure, path)


def day(
    *,
    price: Array,
    load: Array,
    drawn: Mapping[str, Array],
    level: Mapping[str, Array],
    bills: Mapping[str, Array],
    limit: float,
    path: Path,
) -> None:
    """Draw the day on which the learned plan moves the median energy through the battery, and all days' savings.

    Args:
        price: euro per kWh of each hour, shape `(24,)`.
        load: kWh of each hour that nobody controls, shape `(days, 24)`.
        drawn: kWh of each hour from the grid, per plan, shape `(days, 24)`.
        level: of the battery at the ends of the hours, in kWh, per plan, shape `(days, 25)`.
        bills: euro of each day, per plan, shape `(days,)`.
        limit: kWh in an hour above which more is paid.
        path: file to write.
    """
    from matplotlib.figure import Figure

    saved = {name: bills["idle"] - bill for name, bill in bills.items() if name != "idle"}
    moved = np.abs(np.diff(level["learned"], axis=1)).sum(axis=1)
    chosen = int(np.argsort(moved, kind="stable")[len(load) // 2])
    figure = Figure(figsize=(10.5, 6.4), layout="constrained")
    (given, bought), (battery, savings) = figure.subplots(2, 2)
    hours = np.arange(25)
    given.stairs(load[chosen], hours, baseline=None, color="C1", label="load, known afterwards")
    given.set(ylabel="kWh in the hour", title="price and load of one day", ylim=(0, 1.4 * load[chosen].max()))
    right = given.twinx()
    right.stairs(price, hours, baseline=None, color="C3", linestyle="--", label="price")
    right.set(ylabel="euro per kWh", ylim=(0, 1.4 * price.max()))
    given.legend(handles=[*given.patches, *right.patches], fontsize="small", loc="upper left")
    for name in ("idle", "learned", "perfect"):
        label = f"{name}: {bills[name][chosen]:.2f} euro"
        bought.stairs(drawn[name][chosen], hours, baseline=None, color=COLOURS[name], label=label)
    bought.axhline(limit, color="C3", linestyle=":", label="above: more per kWh")
    bought.set(ylabel="kWh in the hour", title="drawn from the grid, and the cost of the day")
    top = max(float(drawn[name][chosen].max()) for name in ("idle", "learned", "perfect"))
    bought.set_ylim(min(0.0, *(float(drawn[name][chosen].min()) for name in ("idle", "learned", "perfect"))), 1.6 * top)
    for name in ("idle", "learned", "perfect"):
        battery.plot(hours, level[name][chosen], color=COLOURS[name], label=name)
    battery.set(ylabel="kWh", title="level of the battery", ylim=(0, 1.1 * max(map(np.max, level.values()))))
    for panel in (given, bought, battery):
        panel.set(xlabel="hour of the day", xlim=(0, 24), xticks=range(0, 25, 4))
        panel.grid(alpha=0.3)
    bought.legend(fontsize="small", ncols=2, loc="upper left")
    battery.legend(fontsize="small", ncols=3, loc="lower right")
    savings.boxplot(list(saved.values()), whis=(5, 95), showfliers=False, showmeans=True)
    savings.set_xticks(range(1, len(saved) + 1), [f"{name}\nmean {gain.mean():.2f}" for name, gain in saved.items()])
    savings.axhline(0, color="0.6", linewidth=1)
    savings.set(ylabel="euro per day", title=f"saved against idle, {len(load)} days (whiskers: 5 and 95 %)")
    savings.grid(alpha=0.3, axis="y")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    with replacing(path) as draft:
        figure.savefig(draft, dpi=100, format=path.suffix[1:] or "png")
