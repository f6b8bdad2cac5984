"""`socicnn fit DATA --target NAME`: learn a convex function from a table with names of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import typer

from socicnn import __version__
from socicnn._files import FileError
from socicnn_cli._frames import NumberTable, names_of, numbers, numeric_names, read_frame
from socicnn_cli._outputs import as_json, finite
from socicnn_cli._scores import baselines, better, lines, scores
from socicnn_cli._table_model import KEY, TableRoles

OWN = "this model"
SHARE, LEAST = 0.2, 5  # share of the rows that the report is made on; fewer rows are not enough for one
ALPHA = 0.1


@final
@dataclass(frozen=True)
class TableRequest:
    """What was asked for on the command line.

    Args:
        target: name of the column to predict.
        x: names of the columns to be convex in; all other columns of numbers if omitted.
        context: names of the columns to be free in.
        increasing: names of columns in which f increases.
        decreasing: names of columns in which f decreases.
        gradient: names of columns that hold the derivative of the target in each column of x.
        concave: whether f is concave.
        nonnegative: whether f >= 0.
        kind: of the network.
        quantile: the quantile to fit; None for the mean.
    """

    target: str
    x: str | None = None
    context: str | None = None
    increasing: str | None = None
    decreasing: str | None = None
    gradient: str | None = None
    concave: bool = False
    nonnegative: bool = False
    kind: str = "stacked"
    quantile: float | None = None


def fit_table(data: Path, out: Path, request: TableRequest, *, hidden: tuple[int, ...], seed: int, json: bool) -> None:
    """Fit, judge on rows held out beside simple models, write the model, report."""
    import torch

    from socicnn.nn import save
    from socicnn.regression import ConvexRegressor

    torch.set_num_threads(1)  # networks of this size gain nothing from more, and lose on a busy machine
    frame = read_frame(data)
    roles = _roles(data, frame, request)
    slopes = names_of(request.gradient)
    if slopes and len(slopes) != len(roles.x):
        raise FileError(f"--gradient must name one column for each of {', '.join(roles.x)}; received {len(slopes)}")
    table = numbers(data, frame, [*roles.inputs, roles.target, *slopes])
    inputs, y = table.values[:, : len(roles.inputs)], table.values[:, len(roles.inputs)]
    labels = table.values[:, len(roles.inputs) + 1 :] if slopes else None
    train, held = _split(len(y), seed)
    model = ConvexRegressor(
        request.kind,  # type: ignore[arg-type]  # the estimator refuses other names
        hidden=hidden,
        context=[len(roles.x) + i for i in range(len(roles.context))],
        increasing=[roles.x.index(name) for name in roles.increasing or ()],
        decreasing=[roles.x.index(name) for name in roles.decreasing or ()],
        curvature="concave" if request.concave else "convex",
        nonnegative=request.nonnegative,
        loss=_loss(request.quantile),
        random_state=seed % 2**32,
    )
    if not json:
        typer.echo(f"{roles.sentence()}: {len(train)} rows to fit, {len(held)} held out")
    model.fit(inputs[train], y[train], gradient=None if labels is None else labels[train])
    report = _report(model, inputs, y, train, held, roles, seed, request)
    facts = {
        "out": str(out),
        KEY: roles.to_json(),
        "rows": {"fitted": len(train), "held_out": len(held), "dropped": table.total - len(y)},
        "unused": _unused(frame, roles, slopes),
        **report,
    }
    trained = {"rows": len(train), "kind": request.kind, "loss": model.history_.loss, "seed": seed}
    trained |= {"epochs": model.history_.epochs, "value": model.history_.value, "socicnn": __version__}
    network = model.network_
    names = {"x_names": tuple(roles.x), "context_names": tuple(roles.context) or None}
    network.ranges = replace(network.ranges, **names)  # so that frames in another order are refused
    save(network, out, finite({KEY: roles.to_json(), "trained": trained, "report": report}))
    if json:
        typer.echo(as_json(facts))
        return
    _say(facts, table, roles)


def _roles(data: Path, frame: Any, request: TableRequest) -> TableRoles:
    context = names_of(request.context)
    taken = {request.target, *context, *names_of(request.gradient)}
    x = names_of(request.x) or [name for name in numeric_names(frame) if name not in taken]
    if not x:
        raise FileError(f"{data} has no column of numbers to be convex in; name them with --x")
    twice = sorted({name for name in [request.target, *x, *context] if [request.target, *x, *context].count(name) > 1})
    if twice:
        raise FileError(f"column {twice[0]!r} has two roles; name it once among --target, --x and --context")
    monotone = {"increasing": names_of(request.increasing), "decreasing": names_of(request.decreasing)}
    for way, names in monotone.items():
        for name in names:
            if name not in x:
                raise FileError(f"--{way} names {name!r}, which is not among the columns of x: {', '.join(x)[:300]}")
    curvature = "concave" if request.concave else "convex"
    return TableRoles(request.target, x, context, curvature, monotone["increasing"], monotone["decreasing"])


def _split(count: int, seed: int) -> tuple[Any, Any]:
    """Return the rows to fit and those that the report is made on; none of fewer than 25 rows."""
    held = round(SHARE * count)
    order = np.random.default_rng(seed).permutation(count)
    return (np.sort(order[held:]), np.sort(order[:held])) if held >= LEAST else (np.arange(count), order[:0])


def _loss(quantile: float | None) -> Any:
    from socicnn.training import Quantile

    return "mse" if quantile is None else Quantile(quantile)


def _report(
    model: Any, inputs: Any, y: Any, train: Any, held: Any, roles: TableRoles, seed: int, request: TableRequest
) -> dict[str, Any]:
    """Return the scores on held-out rows, and half the width of a band that holds 90 % of new values."""
    if not len(held):
        return {"scores": {}, "better": [], "band": None}
    predicted = model.predict(inputs[held])
    rows = {OWN: scores(predicted, y[held])}
    if request.quantile is not None:
        below = float(np.mean(y[held] <= predicted))
        return {"scores": rows, "better": [], "band": None, "share_below": below, "quantile": request.quantile}
    rows |= baselines(inputs[train], y[train], inputs[held], y[held], roles.sign, seed % 2**32)
    band = model.conformal(inputs[held], y[held], ALPHA).above if len(held) >= round(1 / ALPHA) else None
    return {"scores": rows, "better": better(rows, OWN), "band": band}


def _unused(frame: Any, roles: TableRoles, slopes: list[str]) -> list[str]:
    return [name for name in frame.columns if name not in {roles.target, *roles.inputs, *slopes}]


def _say(facts: dict[str, Any], table: NumberTable, roles: TableRoles) -> None:
    if facts["unused"]:
        typer.echo(f"not used: {', '.join(facts['unused'])}")
    if table.said():
        typer.echo(table.said())
    if not facts["scores"]:
        typer.echo(f"too few rows for a report on held-out ones ({len(table.values)})")
    else:
        for line in lines(facts["scores"], roles.target):
            typer.echo(line)
    if facts["band"] is not None:
        typer.echo(
            f"{1 - ALPHA:.0%} of new rows like these lie within {facts['band']:.4g} of the prediction (conformal)"
        )
    if "share_below" in facts:
        typer.echo(f"{facts['share_below']:.1%} of held-out values lie below the {facts['quantile']:g} quantile")
    if facts["better"]:
        typer.echo(
            f"warning: on held-out rows {' and '.join(facts['better'])} did better than this model; is {roles.target} "
            f"{roles.curvature} in {', '.join(roles.x)}?",
            err=True,
        )
    typer.echo(f"wrote {facts['out']}")
