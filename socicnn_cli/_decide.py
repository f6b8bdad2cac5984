"""`socicnn decide`: minimise a saved network over a feasible set, one certified answer per context."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from socicnn._files import FileError
from socicnn._registry import unknown
from socicnn._shadows import refuse_shadow
from socicnn_cli._frame_output import own_names, print_csv, write_csv
from socicnn_cli._models import load_at, read_context
from socicnn_cli._outputs import as_json, check_output
from socicnn_cli._table_model import roles_in


def feasible_set(name: str, n: int, lower: str | None, upper: str | None, total: float | None) -> Any:
    """Return the set of that name, or of that JSON file, refusing options that do not belong to it."""
    refuse_shadow("decision")
    from decision import sets

    options = {"lower": _bounds("--lower", lower, n), "upper": _bounds("--upper", upper, n), "total": total}
    if name.endswith(".json"):
        if any(value is not None for value in options.values()):
            raise FileError("--lower, --upper and --total belong to short names; write them into the JSON file")
        return sets.read_set(name, n)
    if name not in sets.names():
        raise FileError(f"{unknown('set', name, sets.names())}, and files whose names end in .json")
    takes = {"simplex": (), "box": ("lower", "upper"), "budget": ("total",)}.get(name, tuple(options))
    for option, value in options.items():
        if value is not None and option not in takes:
            raise FileError(f"--{option} does not belong to --set {name}; leave it out")
    if name == "budget" and total is None:
        raise FileError("--set budget needs the sum of the entries: give it with --total")
    stated: Any = {option: value for option, value in options.items() if value is not None}
    return sets.make(name, n, **stated)


def _bounds(option: str, text: str | None, n: int) -> float | list[float] | None:
    """Return one bound for all coordinates, or one per coordinate."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise FileError(f"{option} must be a number, or numbers between commas; received {text!r}") from None
    if len(numbers) not in (1, n):
        raise FileError(f"{option} must hold 1 or {n} numbers, one per coordinate; received {len(numbers)}")
    return numbers[0] if len(numbers) == 1 else numbers


def decide(
    model: Annotated[
        Path,
        typer.Argument(help="A model written by `socicnn fit`, `socicnn.save` or `FrozenNet.save`, or an ONNX graph."),
    ],
    set: Annotated[str, typer.Option("--set", help="simplex, box, budget, or a JSON file (docs/sets.md).")],
    context: Annotated[Path | None, typer.Option(help="Contexts: .npy, .npz (theta) or .csv (theta0, ...).")] = None,
    lower: Annotated[str | None, typer.Option(help="Box: lower bound (default 0), or 0,0,-1, ...")] = None,
    upper: Annotated[str | None, typer.Option(help="Box: upper bound (default 1), or one per coordinate.")] = None,
    total: Annotated[float | None, typer.Option(help="Budget: sum of the entries, each between 0 and 1.")] = None,
    method: Annotated[
        Literal["auto", "interior_point", "central_path", "projected_gradient", "exact"],
        typer.Option(help="How to minimise."),
    ] = "auto",
    rtol: Annotated[float, typer.Option(help="Relative accuracy to certify.")] = 1e-6,
    atol: Annotated[float, typer.Option(help="Absolute accuracy that will do, too.")] = 0.0,
    gap: Annotated[float | None, typer.Option(hidden=True, help="Deprecated: use --rtol.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write decisions to this CSV file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Minimise the network over the set, with a certified gap on every answer; exit status 1 if one is missed.

    A concave function that was fitted to a table is maximised. Of a column of the command's own, a name that the table
    has ends in an underscore.
    """
    refuse_shadow("decision")
    import decision

    if gap is not None:
        typer.echo("warning: --gap is now --rtol", err=True)
        rtol = gap
    check_output(out, "--out", model, context, suffixes=(".csv",))
    network, context = load_at(model, context)
    roles, _ = roles_in(model)
    region = feasible_set(set, network.in_features, lower, upper, total)
    names = roles.context if roles is not None else []
    theta = read_context(network, context, moves=getattr(region, "moves", False), names=names)
    answer = decision.decide(network, region, theta, method=method, rtol=rtol, atol=atol)
    x_names = roles.x if roles is not None else [f"x{i}" for i in range(answer.x.shape[1])]
    own = ["gap", "relative_gap", *([] if answer.outside is None else ["outside"])]
    users = [*x_names, "value" if roles is None else roles.target]
    header = [*users, *own_names(own, users)]
    columns = [answer.x, answer.value if roles is None else roles.sign * answer.value, answer.gap, answer.relative_gap]
    if answer.outside is not None:
        columns.append(answer.outside)
    rows = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns]).tolist()
    if answer.outside is not None:
        rows = [[*row[:-1], int(row[-1])] for row in rows]
    if out is not None:
        write_csv(out, header, rows)
    beyond = answer.relative_gap[~(answer.gap <= answer.floor)]  # what rounding leaves has no relative size
    worst = float(beyond.max()) if len(beyond) else 0.0
    if json:
        entries = [dict(zip(header, row, strict=True)) for row in rows]
        facts = {"decisions": entries, "certified": answer.certified.tolist(), "largest_relative_gap": worst}
        typer.echo(as_json(facts))
        raise typer.Exit(0 if bool(answer.certified.all()) else 1)
    if out is not None:
        typer.echo(f"wrote {len(rows)} decisions to {out}")
    else:
        print_csv(header, rows)
    typer.echo(f"{answer.status} Largest certified relative gap: {worst:.1e}.", err=out is None)
    raise typer.Exit(0 if bool(answer.certified.all()) else 1)
