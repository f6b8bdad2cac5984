"""The figure of smoothing, and the tables of the page of results, between two marks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.energies import deciding, networks
from experiments.energies.cells import TYPE, Made, Prepared, drawable
from experiments.energies.tables import summary
from experiments.engine.pages import Page
from experiments.engine.tables import Row
from socicnn._arrays import Array
from socicnn._files import replacing

PAGES = {
    preset: Page("smoothing.md", f"python -m experiments.smoothing --preset {preset} --render")
    for preset in ("short", "paper")
}
FIGURE = Path(__file__).parents[1] / "results" / "smoothing.png"
SHOWN: tuple[tuple[networks.Name, networks.Way], ...] = (
    ("relu", "paper"),
    ("softplus", "paper"),
    ("quad", "paper"),
    ("norm", "paper"),
    ("soc", "paper"),
    ("shape", "within"),
)


def render(rows: list[Row], page: Page, prepared: Prepared, epochs: tuple[int, int], folder: Path, rtol: float) -> None:
    """Put the table into the page, and draw the figure if the weights of every network in it are kept."""
    page.write(summary(rows, "T"))
    shown = [Made(name, way, 0, epochs, folder) for name, way in SHOWN]
    if not drawable(shown, prepared, FIGURE):
        return
    problem = prepared.problem
    theta = prepared.test.context[:1]
    curves = {"exact": prepared.exact.x[:1], **problem.classical(theta)}
    for made in shown:
        model, _ = made.trained(prepared)
        answer = deciding.certified(model, problem, theta.to(TYPE), rtol, problem.methods.get(made.name))
        curves[f"{made.name}, {made.way}"] = answer.x
    draw({label: x.reshape(problem.shape) for label, x in curves.items()}, prepared.test.clean[0].numpy())


def draw(curves: dict[str, Array], clean: Array) -> None:
    """Draw two coordinates of a trajectory.

    Args:
        curves: smoothed trajectories `(T, p)` by label; `observed` as points.
        clean: the trajectory without noise.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels: Any = figure.subplots(1, 2, sharey=True)
    steps = np.arange(len(clean))
    for place, panel in enumerate(panels):
        panel.plot(steps, clean[:, place], color="0.7", linewidth=3, label="clean")
        for number, (label, x) in enumerate(curves.items()):
            style: dict[str, Any] = {"color": f"C{number % 10}", "linewidth": 1.2}
            if label == "observed":
                style = {"color": "0.3", "linestyle": "none", "marker": ".", "markersize": 4}
            elif label in ("exact", "kalman"):
                style = {"color": "black", "linestyle": "-" if label == "exact" else ":", "linewidth": 1.5}
            panel.plot(steps, x[:, place], label=label, **style)
        panel.set(xlabel="step", title=f"coordinate {place + 1}")
        panel.grid(alpha=0.25)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    with replacing(FIGURE) as draft:
        figure.savefig(draft, dpi=130)
