"""`socicnn verify`: prove that a saved network equals its conic program at the points of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from socicnn._arrays import Array
from socicnn._files import FileError, replacing
from socicnn._shadows import refuse_shadow
from socicnn_cli._frames import named_frame, numbers
from socicnn_cli._models import load_at, read_context, read_named
from socicnn_cli._outputs import check_output
from socicnn_cli._table_model import TableRoles, roles_in
from socicnn_cli._tables import read_rows


def verify(
    model: Annotated[
        Path,
        typer.Argument(help="A model written by `socicnn fit`, `socicnn.save` or `FrozenNet.save`, or an ONNX graph."),
    ],
    points: Annotated[
        Path, typer.Option(help="Points x: .npy, .npz (x), .csv (x0, x1, ...) or a table with the model's columns.")
    ],
    context: Annotated[
        Path | None,
        typer.Option(
            help="Contexts: one row for all points, or one per point (theta0, theta1, ...); default: columns of POINTS."
        ),
    ] = None,
    solver: Annotated[
        list[str] | None, typer.Option(help="Also solve with this solver; repeat for several; 'none' for none.")
    ] = None,
    proof: Annotated[bool, typer.Option("--proof", help="Also bracket every value in real arithmetic.")] = False,
    agree: Annotated[
        bool, typer.Option("--agree", help="Exit status 1 also where a solver fails or disagrees with a proven value.")
    ] = False,
    claim: Annotated[
        Path | None, typer.Option(help="Write the proof to this .npz file, for others: python -m verify.check FILE.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write the report to this file as JSON; '-' prints it instead of the table.")
    ] = None,
) -> None:
    """Prove that the network equals its conic program at each point; exit status 0 if proven, 1 if not.

    What a solver says is printed, but is not part of the proof. Of a concave function f the values are those of -f.
    """
    refuse_shadow("verify")
    from verify import certify, equivalence

    printed = str(json) == "-"
    check_output(None if printed else json, "--json", model, points, context)
    check_output(claim, "--claim", model, points, context, json, suffixes=(".npz",))
    network, context = load_at(model, context)
    roles, _ = roles_in(model)
    x, theta = _rows_of_table(points, roles) if context is None and roles is not None else (None, None)
    if x is None:
        x = read_named(points, roles.x if roles is not None else [])
        x = read_rows(points, "points", "x") if x is None else x
        theta = read_context(network, context, names=roles.context if roles is not None else [])
    if theta is not None and len(theta) not in (1, len(x)):
        raise FileError(f"{context} has {len(theta)} contexts for {len(x)} points; give one, or one per point")
    if theta is not None and len(theta) == 1:
        theta = theta[0]
    solvers: list[Any] = [name for name in (solver or ["clarabel"]) if name != "none"]
    report = equivalence(network, x, theta, solvers=solvers, proof=proof)
    typer.echo(report.to_json() if printed else str(report))
    if json is not None and not printed:
        with replacing(json) as draft:
            draft.write_text(report.to_json() + "\n")
    if claim is not None and report.ok:
        certify(network, x, theta).save(claim)
        typer.echo(f"wrote {claim}: check it with `python -m verify.check {claim}`", err=printed)
    elif claim is not None:
        typer.echo(f"{claim} was not written: only what is proven can be claimed", err=True)
    raise typer.Exit(0 if report.ok and (report.agreed or not agree) else 1)


def _rows_of_table(points: Path, roles: TableRoles) -> tuple[Array | None, Array | None]:
    """Return x and the context in the whole rows of a table; None, None of a file without the model's columns."""
    if points.suffix.lower() in (".npy", ".npz"):
        return None, None
    frame = named_frame(points, roles.inputs)
    if not set(roles.inputs) <= set(frame.columns):
        return None, None
    table = numbers(points, frame, roles.inputs)
    if table.said():
        typer.echo(table.said(), err=True)
    return roles.split(table.values)
