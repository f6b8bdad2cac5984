"""The plots of experiment 3."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from experiments.decision.instances import TEST, Instance, model_file
from experiments.decision.tables import SEED_JOINT, STRUCTURED, mean_regret, number
from experiments.engine.tables import Row, grouped
from socicnn._files import replacing
from socicnn.nn import load


def plots(rows: Sequence[Row], folder: Path, preset: Any, models: Path) -> list[Path]:
    """Write every plot that the rows allow; return the files."""
    import matplotlib

    matplotlib.use("Agg")
    found = [
        _scatter(
            rows, "decide_ms_200", "milliseconds per decision, batch of all test contexts", folder / "decision_time.png"
        ),
        _scatter(rows, "parameters", "parameters", folder / "decision_parameters.png"),
        _finding(rows, folder / "decision_finding.png"),
        _segment(rows, folder / "decision_segment.png", preset, models),
    ]
    return [path for path in found if path is not None]


def _family(name: str) -> str:
    if name.startswith("lift"):
        return "lift"
    for end, family in (("-joint", "joint"), ("-partial", "partial")):
        if name.endswith(end):
            return family
    return name


def _save(figure: Any, path: Path) -> Path:
    with replacing(path) as draft:
        figure.savefig(draft, dpi=130)
    return path


def _scatter(rows: Sequence[Row], column: str, label: str, path: Path) -> Path | None:
    """Regret against another column, one panel per n, one point per (task, model, loss), certified decisions."""
    from matplotlib.figure import Figure

    useful = [row for row in rows if row["method"] == "certified" and number(row.get(column)) > 0]
    if not useful:
        return None
    sizes = sorted({int(number(row["n"])) for row in useful})
    figure = Figure(figsize=(4.2 * len(sizes) + 1.5, 4.0), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    families = sorted({_family(str(row["model"])) for row in useful})
    for panel, n in zip(panels, sizes, strict=True):
        for index, family in enumerate(families):
            members = [row for row in useful if row["n"] == n and _family(str(row["model"])) == family]
            groups = grouped(members, ("task", "model", "loss")).values()
            x = [statistics.fmean(number(row.get(column)) for row in group) for group in groups]
            y = [max(statistics.fmean(number(row["regret_mean"]) for row in group), 1e-8) for group in groups]
            panel.scatter(x, y, s=16, color=f"C{index}", alpha=0.75, label=family)
        panel.set(xscale="log", yscale="log", xlabel=label, title=f"n = {n}")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("mean regret")
    panels[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    return _save(figure, path)


def _finding(rows: Sequence[Row], path: Path) -> Path | None:
    """Regret of the authors' networks: as they decide against decided to the end."""
    from matplotlib.figure import Figure

    regrets = mean_regret([row for row in rows if row["loss"] == "seed"])
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    panel = figure.subplots()
    seen: list[float] = []
    for index, name in enumerate((*SEED_JOINT, *STRUCTURED)):
        pairs = [
            (value, regrets[(*key[:4], "certified")])
            for key, value in regrets.items()
            if key[2] == name and key[4] == "seed-steps" and (*key[:4], "certified") in regrets
        ]
        if pairs:
            panel.scatter(*zip(*pairs, strict=True), s=22, color=f"C{index}", label=name)
            seen += [value for pair in pairs for value in pair]
    if not seen:
        return None
    ends = (min(seen), max(seen))
    panel.plot(ends, ends, color="0.6", linewidth=1, zorder=0)
    panel.set(xscale="log", yscale="log", xlabel="mean regret, 200 small steps", ylabel="mean regret, certified")
    panel.set_title("The same networks: below the line, a better optimiser helps", fontsize="small")
    panel.legend(fontsize="small")
    panel.grid(alpha=0.3)
    return _save(figure, path)


def _segment(rows: Sequence[Row], path: Path, preset: Any, models: Path) -> Path | None:
    """Predicted and true cost along the segment from the set's centre through the true optimum, one panel a task."""
    from matplotlib.figure import Figure

    n = min(int(number(row["n"])) for row in rows)
    names = {
        ("relu-joint", "seed"): "ReLU, joint, authors' training",
        ("soc-partial", "within_context"): "SOC, partial",
    }
    tasks = [str(task) for task in dict.fromkeys(row["task"] for row in rows if row["n"] == n)]
    figure = Figure(figsize=(3.4 * min(3, len(tasks)), 2.9 * math.ceil(len(tasks) / 3)), layout="constrained")
    panels = figure.subplots(math.ceil(len(tasks) / 3), min(3, len(tasks)), squeeze=False).reshape(-1)
    drawn = False
    for panel, name in zip(panels, tasks, strict=False):
        instance = Instance.of(name, n, preset.sizes)
        theta = instance.task.sample_contexts(preset.sizes.tests, seed=TEST)[:1]
        best, _ = instance.task.optimum(theta)
        centre = instance.task.feasible_set.centre()
        t = torch.linspace(0.0, 1.0, 101, dtype=torch.float64)
        x = centre + t[:, None] * (best[0] - centre)
        true = instance.task.cost(x, theta)
        panel.plot(t, true - true[-1], color="black", label="true cost")
        for index, ((model, loss), label) in enumerate(names.items()):
            place = model_file(str(models), name, n, model, loss, 0)
            if place.is_file():
                with torch.no_grad():
                    f = load(place)(x, theta)
                panel.plot(t, f - f[-1], color=f"C{index}", linestyle="--", label=label)
                drawn = True
        panel.set(title=name, xlabel="from the centre to the optimum")
    for panel in panels[len(tasks) :]:
        panel.set_axis_off()
    panels[0].set_ylabel("cost above that of the optimum")
    panels[0].legend(fontsize="x-small")
    return _save(figure, path) if drawn else None
