"""The plots of the positivity experiment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from experiments.engine.tables import Row, quartiles
from experiments.positivity.jobs import SEED_START, model_file
from experiments.positivity.tables import arm_rows, numbers
from socicnn._files import replacing
from socicnn.density import Energy, grid, quadrature
from socicnn.density import target as make_target
from socicnn.nn import load

# what the overlays and histograms compare: arm, initialiser, step size -> label and colour
COMPARED: dict[tuple[str, str, float], tuple[str, str]] = {
    ("softplus", SEED_START, 1e-3): ("softplus, the authors' start", "C3"),
    ("softplus", "principled", 1e-3): ("softplus, principled start", "C0"),
    ("projected", "principled", 1e-3): ("projected, principled start", "C2"),
    ("softplus", "principled", 5e-3): ("softplus, principled start, five times the step", "C4"),
    ("lift", "principled", 1e-3): ("lift, principled start", "C1"),
}


def plots(rows: Sequence[Row], folder: Path, models: Path) -> list[Path]:
    """Write every plot that the rows and the kept networks allow; return the files."""
    import matplotlib

    matplotlib.use("Agg")
    found = [
        densities(rows, models, folder / "positivity_densities.png"),
        histograms(rows, folder / "positivity_histograms.png"),
        arms(rows, "gumbel", folder / "positivity_arms.png"),
    ]
    return [path for path in found if path is not None]


def densities(rows: Sequence[Row], models: Path, path: Path) -> Path | None:
    """Draw the first seed's density over the target's, one panel a one-dimensional target."""
    there = {str(row["target"]): make_target(str(row["target"])) for row in rows}
    laws = {name: law for name, law in there.items() if law.features == 1}
    figure, panels = _panels(len(laws))
    drawn = False
    for panel, (name, law) in zip(panels, laws.items(), strict=False):
        x, _ = grid(law)
        rule = quadrature(law.lower, law.upper, (60,), dtype=torch.float64)
        panel.plot(x[:, 0], law.log_density(x).exp(), color="black", linewidth=2.5, alpha=0.35, label="target")
        for (arm, initialiser, rate), (label, colour) in COMPARED.items():
            place = model_file(str(models), name, arm, initialiser, rate)
            if not place.is_file():
                continue
            drawn = True
            with torch.no_grad():
                energy = Energy(load(place)).double()
                p = torch.exp(-energy(x) - rule.log_partition(energy(rule.nodes)))
            panel.plot(x[:, 0], p, color=colour, linewidth=1.1, label=label)
        inside = x[law.log_density(x).exp() > 1e-3, 0]
        margin = 0.08 * float(inside.max() - inside.min())
        panel.set(title=name, xlabel="x", xlim=(float(inside.min()) - margin, float(inside.max()) + margin))
    if not drawn:
        return None
    panels[0].set_ylabel("density")
    _legend(figure, panels)
    return _save(figure, path)


def histograms(rows: Sequence[Row], path: Path) -> Path | None:
    """Draw how many seeds of an arm end at which total variation, one panel a target, medians dashed."""
    groups = arm_rows(rows)
    chosen = [key for key in COMPARED if key in groups]
    targets = list(dict.fromkeys(str(row["target"]) for row in rows))
    if not chosen:
        return None
    figure, panels = _panels(len(targets))
    seen = [v for key in chosen for v in numbers(groups[key], "tv") if v > 0]
    low, high = math.log10(min(seen)) - 0.05, math.log10(max(seen)) + 0.05
    edges = [10 ** (low + (high - low) * i / 24) for i in range(25)]
    for panel, target in zip(panels, targets, strict=False):
        for key in chosen:
            label, colour = COMPARED[key]
            values = numbers([row for row in groups[key] if row["target"] == target], "tv")
            if values:
                panel.hist(values, edges, histtype="stepfilled", alpha=0.35, color=colour, label=label)
                panel.axvline(quartiles(values)[1], color=colour, linestyle="--", linewidth=1)
        panel.set(title=target, xscale="log", xlabel="total variation")
        _plain_ticks(panel)
        panel.yaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel("seeds")
    _legend(figure, panels)
    return _save(figure, path)


def arms(rows: Sequence[Row], target: str, path: Path) -> Path | None:
    """Draw the total variation of every arm on one target: a dot a seed, the median as a bar, the best on top."""
    from matplotlib.figure import Figure

    groups = {key: numbers(members, "tv") for key, members in arm_rows(_of(rows, target)).items()}
    if not groups:
        return None
    ordered = sorted(groups, key=lambda key: quartiles(groups[key])[1], reverse=True)
    figure = Figure(figsize=(7.5, 1.2 + 0.26 * len(ordered)), layout="constrained")
    panel = figure.subplots()
    for height, key in enumerate(ordered):
        colour = "C1" if str(key[0]).startswith("lift") else "C0"
        panel.scatter(groups[key], [height] * len(groups[key]), s=16, color=colour, alpha=0.6)
        panel.plot([quartiles(groups[key])[1]] * 2, [height - 0.35, height + 0.35], color="black", linewidth=1.5)
    panel.set_yticks(range(len(ordered)), [f"{key[0]}, {key[1]}, {key[2]:g}" for key in ordered], fontsize="small")
    panel.set(xscale="log", xlabel=f"total variation to {target} (a dot a seed, bars: medians)")
    _plain_ticks(panel)
    panel.set_ylabel("recipe, start, step size")
    panel.grid(axis="x", which="both", alpha=0.3)
    return _save(figure, path)


def _of(rows: Sequence[Row], target: str) -> list[Row]:
    return [row for row in rows if row["target"] == target]


def _plain_ticks(panel: Any) -> None:
    """Label a logarithmic axis by 0.01, 0.02, 0.05, ... instead of powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())


def _panels(count: int) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    columns = min(3, max(count, 1))
    lines = math.ceil(max(count, 1) / columns)
    figure = Figure(figsize=(3.6 * columns, 2.7 * lines + 0.6), layout="constrained")
    panels = list(figure.subplots(lines, columns, squeeze=False).reshape(-1))
    for panel in panels[count:]:
        panel.set_axis_off()
    return figure, panels


def _legend(figure: Any, panels: Sequence[Any]) -> None:
    """Put one legend below all panels."""
    entries: dict[str, Any] = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        entries |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in entries}
    shown = [panel for panel in panels if panel.axison]
    columns = 1 if len(shown) == 1 else 2
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, fontsize="small")


def _save(figure: Any, path: Path) -> Path:
    with replacing(path) as draft:
        figure.savefig(draft, dpi=130)
    return path
