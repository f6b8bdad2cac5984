"""The figures of restoration, and the table of the page of results, between two marks."""

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

PAGE = Page("restoration.md", "python -m experiments.restoration --preset paper --render")
FIGURE = Path(__file__).parents[1] / "results" / "restoration.png"
FACES = 2  # that are drawn, the first of the test images
SHOWN: tuple[tuple[networks.Name, networks.Way], ...] = (
    ("relu", "paper"),
    ("softplus", "paper"),
    ("quad", "paper"),
    ("norm", "paper"),
    ("soc", "paper"),
    ("shape", "slopes"),
)


def render(rows: list[Row], prepared: Prepared, epochs: tuple[int, ...], folder: Path, rtol: float) -> None:
    """Put the table into the page, and draw the figure if the weights of every network in it are kept."""
    PAGE.write(summary(rows, "side"))
    made = [Made(name, way, 0, epochs, folder) for name, way in SHOWN]
    if drawable(made, prepared, FIGURE):
        draw(images(prepared, made, rtol))


def images(prepared: Prepared, shown: list[Made], rtol: float) -> dict[str, Array]:
    """Return the drawn faces by label, shape `(FACES, side, side)`: clean, observed, restored in every way."""
    problem, count = prepared.problem, min(FACES, len(prepared.test))
    theta = prepared.test.context[:count]
    classical = problem.classical(theta)
    restored = {"observed": classical.pop("observed"), **classical, "exact": prepared.exact.x[:count]}
    for made in shown:
        model, _ = made.trained(prepared)
        restored[f"{made.name}, {made.way}"] = deciding.certified(model, problem, theta.to(TYPE), rtol).x
    side = problem.shape[-1]
    clean = prepared.test.clean[:count].numpy()
    return {"clean": clean, **{label: x.reshape(count, side, side) for label, x in restored.items()}}


def draw(shown: dict[str, Array]) -> None:
    """Draw faces, one row each, side by side."""
    from matplotlib.figure import Figure

    count = len(next(iter(shown.values())))
    figure = Figure(figsize=(1.35 * len(shown), 1.6 * count), layout="constrained")
    panels: Any = np.atleast_2d(figure.subplots(count, len(shown), squeeze=False))
    for column, (label, faces) in enumerate(shown.items()):
        for row, face in enumerate(faces):
            panel = panels[row, column]
            panel.imshow(face, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            panel.set(xticks=[], yticks=[])
        panels[0, column].set_title(label.replace(", ", ",\n"), fontsize="small")
    with replacing(FIGURE) as draft:
        figure.savefig(draft, dpi=130)
