"""`socicnn plot`: what a model learned, beside the rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from socicnn._arrays import Array
from socicnn._figures import new_figure
from socicnn._files import replacing
from socicnn_cli._outputs import as_json, check_output
from socicnn_cli._scores import score_text, scores
from socicnn_cli._table_model import TableModel

MOST_SLICES, POINTS, ROWS = 6, 101, 2000  # columns shown, points of a curve, rows drawn


def plot(
    model: Annotated[Path, typer.Argument(help="A model written by `socicnn fit DATA --target NAME`.")],
    data: Annotated[Path, typer.Argument(help="A table with the columns of the model, the target too.")],
    out: Annotated[Path, typer.Option(help="Picture to write (.png, .pdf or .svg).")] = Path("plot.png"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw predicted against true values, residuals, and slices of f through the middle of the data."""
    check_output(out, "--out", model, data, suffixes=(".png", ".pdf", ".svg"))
    fitted = TableModel.read(model)
    table = fitted.table(data, target=True)
    inputs, y = table.values[:, :-1], table.values[:, -1]
    figure = draw(fitted, inputs, y)
    with replacing(out) as draft, draft.open("wb") as stream:
        figure.savefig(stream, format=out.suffix.lower().removeprefix("."), dpi=150)
    if json:
        typer.echo(as_json({"out": str(out), "rows": len(y), "dropped": table.total - len(y)}))
        return
    if table.said():
        typer.echo(table.said())
    typer.echo(f"wrote {out}")


def slice_of(fitted: TableModel, inputs: Array, place: int) -> tuple[Array, Array]:
    """Return a column's values over its range, and f there with the other columns at their medians."""
    grid = np.linspace(inputs[:, place].min(), inputs[:, place].max(), POINTS)
    rows = np.tile(np.median(inputs, axis=0), (POINTS, 1))
    rows[:, place] = grid
    return grid, fitted.predict(rows)


def draw(fitted: TableModel, inputs: Array, y: Array) -> Any:
    """Return the figure."""
    roles = fitted.roles
    names = roles.inputs[:MOST_SLICES]
    panels = 2 + len(names)
    columns = min(4, panels)
    count = -(-panels // columns)
    figure = new_figure(3.4 * columns, 3.0 * count)
    axes = iter(np.atleast_1d(figure.subplots(count, columns, squeeze=False)).reshape(-1))
    predicted = fitted.predict(inputs)
    shown = np.random.default_rng(0).permutation(len(y))[:ROWS]
    dots = {"s": 6, "alpha": 0.35, "color": "tab:blue", "linewidths": 0, "rasterized": True}
    panel = next(axes)
    panel.scatter(y[shown], predicted[shown], **dots)
    ends = [min(y.min(), predicted.min()), max(y.max(), predicted.max())]
    panel.plot(ends, ends, color="black", linewidth=1)
    measured = scores(predicted, y)
    title = f"R2 = {score_text(measured['R2'], '.3f')}, {len(y)} rows"
    panel.set(xlabel=f"{roles.target}, true", ylabel="predicted", title=title)
    panel = next(axes)
    panel.scatter(predicted[shown], (y - predicted)[shown], **dots)
    panel.axhline(0.0, color="black", linewidth=1)
    title = f"RMSE = {score_text(measured['RMSE'], '.3g')}"
    panel.set(xlabel=f"{roles.target}, predicted", ylabel="true - predicted", title=title)
    for place, name in enumerate(names):
        panel = next(axes)
        panel.scatter(inputs[shown, place], y[shown], **{**dots, "color": "0.6"})
        panel.plot(*slice_of(fitted, inputs, place), color="tab:red", linewidth=1.8)
        kind = "context" if name in roles.context else roles.curvature
        panel.set(xlabel=name, ylabel=roles.target, title=f"slice ({kind}), others at their medians")
        panel.title.set_fontsize("small")
    for panel in axes:
        panel.set_axis_off()
    return figure
