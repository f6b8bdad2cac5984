"""`socicnn fit`: learn a convex function from a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from socicnn import __version__
from socicnn._files import FileError
from socicnn_cli.outputs import check_output
from socicnn_cli.tables import read_samples

MOST = 65536  # units of a layer, rows of a branch
SEEDS = 2**63 - 1  # the largest seed that torch takes


def fit(
    data: Annotated[Path, typer.Argument(help="An .npz (x, y, optional theta) or a CSV (x0.., theta0.., y).")],
    out: Annotated[Path, typer.Option(help="Model file to write (.safetensors).")],
    set: Annotated[
        str | None,
        typer.Option("--set", help="Check that the points lie in simplex, box, budget or a JSON file."),
    ] = None,
    lower: Annotated[str | None, typer.Option(help="Box: lower bound (default 0), or one per coordinate.")] = None,
    upper: Annotated[str | None, typer.Option(help="Box: upper bound (default 1), or one per coordinate.")] = None,
    total: Annotated[float | None, typer.Option(help="Budget: sum of the entries, each between 0 and 1.")] = None,
    hidden: Annotated[str, typer.Option(help="Widths of the hidden layers, '32' or '64,64'; '' for none.")] = "32",
    quadratic: Annotated[
        str | None,
        typer.Option(help="Rows of each quadratic branch; '' for none. Default: one, of min(n, points) rows."),
    ] = None,
    norm: Annotated[
        str | None, typer.Option(help="Rows of each norm branch; '' for none. Default: two, of min(n, points) rows.")
    ] = None,
    context: Annotated[Literal["joint", "partial"], typer.Option(help="How the context enters.")] = "partial",
    loss: Annotated[
        str, typer.Option(help="within_context, mse, smooth_l1, or auto: the first where contexts repeat, else mse.")
    ] = "auto",
    epochs: Annotated[int, typer.Option(help="Passes over the data at most.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of initialisation, batches and split.", min=0, max=SEEDS)] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Save progress here, and resume from it.")] = None,
) -> None:
    """Learn a convex function of x (for every theta) from a table and write it to one file."""
    import torch

    from socicnn.nn import save
    from socicnn.training import FitOptions, network_for
    from socicnn.training import fit as train
    from socicnn_cli.decide import feasible_set

    check_output(out, "--out", data, checkpoint, suffixes=(".safetensors",))
    check_output(checkpoint, "--checkpoint", data)
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
    chosen: Any = loss  # the library refuses unknown names
    widths = _sizes("hidden", hidden)
    branches = {"quadratic": quadratic, "norm": norm}
    model = network_for(
        samples,
        widths,
        context=context,
        generator=torch.Generator().manual_seed(seed),
        **{name: _sizes(name, rows) for name, rows in branches.items() if rows is not None},
    ).double()
    history = train(model, samples, loss=chosen, epochs=epochs, seed=seed, options=FitOptions(checkpoint=checkpoint))
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
    save(final, out, {"trained": trained})
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
