"""The figures of the flows: held-out nats of every seed, after figure 14 of the lift's paper, and slices, after 15."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.engine.tables import Value, grouped
from experiments.flows.names import arm
from experiments.mechanism.numbers import number
from experiments.mechanism.tables import column, of
from socicnn._figures import new_figure
from socicnn._files import replacing

Rows = Sequence[Mapping[str, Value]]
COLOURS = {"lift": "C1", "softplus": "C3", "projected": "C0"}
TITLES = {
    "ends": "plain weights: through both ends",
    "lifted": "the lift's own tensors: principal components",
    "random": "plain weights: random, at the lift's end",
    "random direct": "plain weights: random, at direct softplus's end",
}


def seeds(rows: Rows, laws: Mapping[str, float | None], path: Path) -> Path:
    """Write the held-out nats of every seed, a panel per law, a line per arm with its median.

    Args:
        rows: those of the sweep.
        laws: the laws to draw, with the least loss that is possible on average, or None.
        path: the file.
    """
    figure = new_figure(5.2 * len(laws) + 1.5, 3.8)
    for panel, (law, least) in zip(np.ravel(figure.subplots(1, len(laws))), laws.items(), strict=True):
        arms = grouped(of(rows, law=law), ("recipe", "start", "learning_rate", "blocks"))
        ordered = sorted(arms.items(), key=lambda entry: -float(np.median(column(entry[1], "nll"))))
        for place, (key, members) in enumerate(ordered):
            nats = column(members, "nll")
            colour = COLOURS[str(key[0])]
            panel.plot(nats, [place] * len(nats), "o", color=colour, alpha=0.5, markersize=5, markeredgewidth=0)
            panel.plot([float(np.median(nats))], [place], "|", color="black", markersize=16)
        panel.set_yticks(range(len(ordered)), [arm(*key) for key, _ in ordered], fontsize=8)
        if least is not None:
            panel.axvline(least, color="black", linestyle=":", linewidth=1)
        panel.set(title=law, xlabel="held-out nats")
        panel.grid(axis="x", alpha=0.3)
    return _written(figure, path)


def slices(rows: Rows, path: Path) -> Path:
    """Write the loss on every plane, and the paths of both recipes."""
    figure = new_figure(10, 8)
    planes = {str(key[0]): members for key, members in grouped(of(rows, kind="grid"), ("plane",)).items()}
    whole = np.array([number(row.get("loss")) for row in of(rows, kind="grid")])
    least, most = np.nanmin(whole), np.nanpercentile(whole, 90)
    for panel, (name, members) in zip(figure.subplots(2, 2).ravel(), planes.items(), strict=True):
        alphas, betas = (np.unique([number(row[axis]) for row in members]) for axis in ("alpha", "beta"))
        values = np.array([number(row.get("loss")) for row in members]).reshape(len(alphas), len(betas))
        levels = least + np.geomspace(0.01, max(most - least, 0.02), 25)
        image = panel.contourf(alphas, betas, np.ma.masked_invalid(values.T), levels=levels, extend="both")
        for (recipe,), path_rows in grouped(of(rows, kind="path", plane=name), ("recipe",)).items():
            panel.plot(column(path_rows, "alpha"), column(path_rows, "beta"), "o-", color=COLOURS[str(recipe)],
                       markersize=3, linewidth=1, label=str(recipe))  # fmt: skip
        panel.plot([0], [0], "*", color="gold", markeredgecolor="black", markersize=13)
        panel.set(title=TITLES[name], xlim=(alphas[0], alphas[-1]), ylim=(betas[0], betas[-1]))
        if of(rows, kind="path", plane=name):
            panel.legend(fontsize=8)
        figure.colorbar(image, ax=panel, label="held-out nats", format="%.2f")
    return _written(figure, path)


def _written(figure: Any, path: Path) -> Path:
    with replacing(path) as draft:
        figure.savefig(draft, dpi=100, format="png")
    return path
