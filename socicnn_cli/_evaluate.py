"""`socicnn evaluate`: how well a model predicts the rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from socicnn_cli._outputs import as_json
from socicnn_cli._scores import score_text, scores
from socicnn_cli._table_model import TableModel


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model written by `socicnn fit DATA --target NAME`.")],
    data: Annotated[Path, typer.Argument(help="A table with the columns of the model, the target too.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare predictions with the values of the target: R2, RMSE, MAE and mean error, in the target's unit."""
    fitted = TableModel.read(model)
    table = fitted.table(data, target=True)
    inputs, y = table.values[:, :-1], table.values[:, -1]
    away = fitted.outside(inputs)
    measured = scores(fitted.predict(inputs), y)
    if json:
        counts = {"rows": len(y), "dropped": table.total - len(y), "outside": int(away.sum())}
        typer.echo(as_json({"target": fitted.roles.target, **measured, **counts}))
        return
    if table.said():
        typer.echo(table.said())
    typer.echo(
        f"{fitted.roles.target}: R2 {score_text(measured['R2'], '.4f')}, RMSE {score_text(measured['RMSE'], '.4g')}, "
        f"MAE {score_text(measured['MAE'], '.4g')}, mean error {score_text(measured['bias'], '+.4g')}, on {len(y)} rows"
    )
    if away.any():
        typer.echo(f"warning: {int(away.sum())} rows lie outside the ranges of the training data", err=True)
