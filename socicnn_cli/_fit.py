"""`socicnn fit`: learn a convex function from a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import typer

from socicnn import __version__
from socicnn._files import FileError
from socicnn_cli._fit_table import TableRequest, fit_table
from socicnn_cli._outputs import check_output, finite
from socicnn_cli._tables import read_samples

MOST = 65536  # units of a layer, rows of a branch
SEEDS = 2**63 - 1  # the largest seed that torch takes


def fit(
    data: Annotated[
        Path,
        typer.Argument(help="A table (CSV, .gz, parquet) with --target; or an .npz or CSV of x0.., theta0.., y."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Model file to write (.safetensors); default: the name of DATA, in this folder.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Column to predict.")] = None,
    x: Annotated[
        str | None, typer.Option(help="Columns to be convex in, 'P,Q'; default: all other columns of numbers.")
    ] = None,
    increasing: Annotated[str | None, typer.Option(help="Columns of x in which the target increases.")] = None,
    decreasing: Annotated[str | None, typer.Option(help="Columns of x in which the target decreases.")] = None,
    gradient: Annotated[
        str | None, typer.Option(help="Columns that hold the derivative of the target in each column of x.")
    ] = None,
    concave: Annotated[bool, typer.Option("--concave", help="Learn a concave function of x.")] = False,
    nonnegative: Annotated[bool, typer.Option("--nonnegative", help="Learn a function >= 0 everywhere.")] = False,
    kind: Annotated[
        Literal["stacked", "relu", "softplus", "quad", "norm", "soc"] | None,
        typer.Option(help="Kind of network, with --target. Default: stacked."),
    ] = None,
    quantile: Annotated[float | None, typer.Option(help="Learn this quantile, e.g. 0.9, and not the mean.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with --target.")] = False,
    set: Annotated[
        str | None,
        typer.Option("--set", help="Check that the points lie in simplex, box, budget or a JSON file."),
    ] = None,
    lower: Annotated[str | None, typer.Option(help="Box: lower bound (default 0), or one per coordinate.")] = None,
    upper: Annotated[str | None, typer.Option(help="Box: upper bound (default 1), or one per coordinate.")] = None,
    total: Annotated[float | None, typer.Option(help="Budget: sum of the entries, each between 0 and 1.")] = None,
    hidden: Annotated[
        str | None,
        typer.Option(help="Widths of the hidden layers, '32' or '64,64'; '' for none. Default: 32; 16 with --target."),
    ] = None,
    quadratic: Annotated[
        str | None,
        typer.Option(help="Rows of each quadratic branch; '' for none. Default: one, of min(n, points) rows."),
    ] = None,
    norm: Annotated[
        str | None, typer.Option(help="Rows of each norm branch; '' for none. Default: two, of min(n, points) rows.")
    ] = None,
    context: Annotated[
        str, typer.Option(help="With --target: columns in which f is free. Without: partial, or joint.")
    ] = "partial",
    loss: Annotated[
        str | None,
        typer.Option(
            help="within_context, mse, smooth_l1, or auto (default): the first where contexts repeat, else mse."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data at most. Default: 200.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation, batches and split.", min=0, max=SEEDS)] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Save progress here, and resume from it.")] = None,
) -> None:
    """Learn a convex function of x (for every theta) from a table and write it to one file."""
    import torch

    from socicnn.nn import save
    from socicnn.training import FitOptions, network_for
    from socicnn.training import fit as train
    from socicnn_cli._decide import feasible_set

    out = Path(f"{data.name.split('.')[0]}.safetensors") if out is None else out
    check_output(out, "--out", data, checkpoint, suffixes=(".safetensors",))
    check_output(checkpoint, "--checkpoint", data)
    if target is not None:
        others: dict[str, Any] = {
            "set": set,
            "lower": lower,
            "upper": upper,
            "total": total,
            "loss": loss,
            "epochs": epochs,
        }
        others |= {"checkpoint": checkpoint, "quadratic": quadratic, "norm": norm}
        for name, value in others.items():
            if value is not None:
                raise FileError(f"--{name} does not go with --target; leave it out")
        names = None if context == "partial" else context
        request = TableRequest(
            target, x, names, increasing, decreasing, gradient, concave, nonnegative, kind or "stacked", quantile
        )
        widths = _sizes("hidden", "16" if hidden is None else hidden)
        fit_table(data, out, request, hidden=widths, seed=seed, json=json)
        return
    if any((x, increasing, decreasing, gradient, concave, nonnegative, kind, quantile is not None, json)):
        raise FileError(
            "--x, --increasing, --concave, --kind and the like describe a table with names; add --target NAME"
        )
    if context not in ("joint", "partial"):
        raise FileError(f"--context must be partial or joint, or name columns beside --target; received {context!r}")
    if set is None and (lower, upper, total) != (None, None, None):
        raise FileError("--lower, --upper and --total describe a set; name it with --set, or leave them out")
    samples = read_samples(data)
    n = samples.x.shape[-1]
    if set is not None:
        region = feasible_set(set, n, lower, upper, total)
        violation = float(region.violation(torch.as_tensor(samples.x)).max())
        if violation > 1e-6:
            raise FileError(
                f"{data}: points violate the {set} by up to {violation:.1e}; correct them, or leave --set out"
            )
    if loss == "within_context" and not samples.grouped:
        raise FileError(
            f"{data}: the within-context loss needs equally many points per context, two or more; use --loss mse"
        )
    named: Any = "auto" if loss is None else loss  # the library refuses unknown names
    widths = _sizes("hidden", "32" if hidden is None else hidden)
    rows = {"quadratic": quadratic, "norm": norm}
    branches: Any = {name: _sizes(name, text) for name, text in rows.items() if text is not None}
    model = network_for(
        samples,
        widths,
        context=cast(Any, context),
        generator=torch.Generator().manual_seed(seed),
        **branches,
    ).double()
    passes = 200 if epochs is None else epochs
    history = train(model, samples, loss=named, epochs=passes, seed=seed, options=FitOptions(checkpoint=checkpoint))
    final = model.finalise()
    trained = {
        "loss": history.loss,
        "points": int(np.size(samples.y)),
        "epochs": history.epochs,
        "kept": history.best_epoch,
        "value": history.value,
        "seed": seed,
        "socicnn": __version__,
    }
    save(final, out, finite({"trained": trained}))
    parameters = sum(p.numel() for p in final.parameters())
    typer.echo(f"{history}")
    typer.echo(
        f"wrote {out}: {parameters} parameters, n = {n}, {np.size(samples.y)} labelled points, loss {history.loss} "
        f"({history.reason})"
    )


def _sizes(name: str, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() and 1 <= int(part) <= MOST for part in parts):
        raise FileError(
            f"--{name} takes whole numbers from 1 to {MOST} separated by commas, as in '64,64'; received {text!r}"
        )
    return tuple(map(int, parts))
