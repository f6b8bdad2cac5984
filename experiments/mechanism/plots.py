"""The figures of the mechanism, after figures 4, 7 and 8 of "A lift for ICNN training"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.engine.tables import Value, grouped
from experiments.mechanism.numbers import number
from experiments.mechanism.tables import column, of
from socicnn._files import replacing
from socicnn.positivity.diagnostics._shoulder import THRESHOLD

Rows = Sequence[Mapping[str, Value]]
COLOURS = dict(
    zip(
        (
            "lift",
            "softplus",
            "one point",
            "no slack",
            "no body",
            "constant code",
            "five times the step",
        ),
        ("C1", "C3", "C6", "C4", "C7", "C0", "C2"),
        strict=True,
    )
)


def plots(rows: Rows, table: Path) -> list[Path]:
    """Write `TABLE_covariance.png`, `TABLE_shoulder.png` and `TABLE_escape.png` beside a table; return the files."""
    written = []
    for name, study, draw in (
        ("covariance", "training", covariance),
        ("shoulder", "training", shoulder),
        ("escape", "escape", escape),
    ):
        members = of(rows, study=study)
        if members:
            path = table.with_name(f"{table.stem}_{name}.png")
            with replacing(path) as draft:
                draw(members).savefig(draft, dpi=100, format="png")
            written.append(path)
    return written


def covariance(rows: Rows) -> Any:
    """Draw the lift's trailing norm and trace, and the ensemble of its weights: a column per law and start."""
    lifts = of(rows, arm="lift")
    figure, panels = _panels(3, grouped(lifts, ("law", "start_from")))
    for (key, members), (norm, trace, weights) in zip(
        grouped(lifts, ("law", "start_from")).items(), panels.T, strict=True
    ):
        norm.set(title=_title(key), ylabel="norm", yscale="log")
        trace.set(ylabel="trace", yscale="symlog")
        trace.set_yscale("symlog", linthresh=1e-4)
        for seed in grouped(members, ("seed",)).values():
            for panel, name in ((norm, "norm"), (trace, "trace")):
                panel.plot(column(seed, "step"), column(seed, name), color="C1", linewidth=0.8, alpha=0.6)
        trace.axhline(0, color="black", linewidth=0.8)
        for name, label in (("least", "least"), ("low", "5 %"), ("median", "median")):
            weights.plot(*_averaged(members, name), label=label)
        weights.axhline(THRESHOLD, color="black", linestyle="--", linewidth=0.8)
        weights.set(ylabel="weights before read-out", xlabel="step")
    panels[-1, -1].legend(fontsize="small", loc="lower left")
    return figure


def shoulder(rows: Rows) -> Any:
    """Draw occupancy and leave rate over the steps, means over the seeds: a column per law and start."""
    groups = grouped(rows, ("law", "start_from"))
    figure, panels = _panels(2, groups)
    for (key, members), (occupancy, leave) in zip(groups.items(), panels.T, strict=True):
        occupancy.set(title=_title(key), ylabel="share in the shoulder", ylim=(0, 1))
        leave.set(ylabel="share leaving within 20 steps", xlabel="step", yscale="log")
        for (arm,), runs in grouped(members, ("arm",)).items():
            for panel, name in ((occupancy, "occupancy"), (leave, "leave")):
                panel.plot(*_averaged(runs, name), color=COLOURS[str(arm)], label=str(arm), linewidth=1.2)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize="small", loc="outside lower center", ncols=len(labels))
    return figure


def escape(rows: Rows) -> Any:
    """Draw escape rate and mean time of those that escape over sigma_Jac, with the exact law and the envelope."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    groups = {number(key[0]): members for key, members in grouped(rows, ("sigma",)).items() if key[0]}
    for panel, name in ((left, "rate"), (right, "time")):
        sigmas = [sigma for sigma, members in groups.items() if column(members, name)]
        for sigma in sigmas:
            values = column(groups[sigma], name)
            panel.plot([sigma] * len(values), values, "C1o", markersize=4, alpha=0.6)
        panel.plot(sigmas, [number(groups[sigma][0][f"exact_{name}"]) for sigma in sigmas], "k-", label="exact law")
        panel.set(xscale="log", xlabel="sigma_Jac")
    right.plot(sigmas, [number(groups[sigma][0]["envelope"]) for sigma in sigmas], "k:", label="the paper's envelope")
    left.set(ylabel="escaped within the run")
    right.set(ylabel="mean time of those that escaped", yscale="log")
    for panel in (left, right):
        panel.legend(fontsize="small")
        panel.grid(alpha=0.3)
    return figure


def _averaged(rows: Rows, name: str) -> tuple[list[float], list[float]]:
    """Return the noted steps, and the mean over the seeds at each."""
    groups = {number(key[0]): column(members, name) for key, members in grouped(rows, ("step",)).items()}
    known = {step: float(np.mean(values)) for step, values in groups.items() if values}
    return list(known), list(known.values())


def _title(key: tuple[Value, ...]) -> str:
    return f"{key[0]}, {'the authors’' if key[1] == 'seed' else key[1]} start"


def _panels(lines: int, groups: Mapping[Any, Any]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(groups) + 0.6, 2.5 * lines), layout="constrained")
    panels = figure.subplots(lines, len(groups), squeeze=False, sharex=True, sharey="row")
    for panel in panels.ravel():
        panel.grid(alpha=0.3)
    return figure, panels
