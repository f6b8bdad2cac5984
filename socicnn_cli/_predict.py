"""`socicnn predict`: the values of a model at the rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from socicnn_cli._frame_output import own_names, print_csv, write_csv
from socicnn_cli._outputs import as_json, check_output
from socicnn_cli._table_model import TableModel


def predict(
    model: Annotated[Path, typer.Argument(help="A model written by `socicnn fit DATA --target NAME`.")],
    data: Annotated[Path, typer.Argument(help="A table with the columns of the model: CSV, .gz or parquet.")],
    out: Annotated[Path | None, typer.Option(help="Write the predictions to this CSV file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict each row; a last column flags rows outside the ranges of the training data.

    Of a column of the command's own, a name that the table has ends in an underscore.
    """
    check_output(out, "--out", model, data, suffixes=(".csv",))
    fitted = TableModel.read(model)
    table = fitted.table(data, target=False)
    predicted, away = fitted.predict(table.values), fitted.outside(table.values)
    users = fitted.roles.inputs
    row_name, *results = own_names(["row", f"predicted {fitted.roles.target}", "outside"], users)
    header = [row_name, *users, *results]
    rows = [
        [int(row), *map(float, inputs), float(value), int(flag)]
        for row, inputs, value, flag in zip(table.rows, table.values, predicted, away, strict=True)
    ]
    if out is not None:
        write_csv(out, header, rows)
    if json:
        entries = [dict(zip(header, row, strict=True)) for row in rows]
        typer.echo(as_json({"predictions": entries, "dropped": table.total - len(rows)}))
        return
    if out is None:
        print_csv(header, rows)
    if table.said():
        typer.echo(table.said(), err=True)
    if away.any():
        typer.echo(f"warning: {int(away.sum())} rows lie outside the ranges of the training data", err=True)
    if out is not None:
        typer.echo(f"wrote {len(rows)} predictions to {out}")
