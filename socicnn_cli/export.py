"""`socicnn export`: write the conic program of a saved network to a file that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from socicnn._files import FileError
from socicnn_cli.models import load_at, read_context
from socicnn_cli.outputs import check_output


def export(
    model: Annotated[
        Path,
        typer.Argument(help="A model written by `socicnn fit`, `socicnn.save` or `FrozenNet.save`, or an ONNX graph."),
    ],
    format: Annotated[str, typer.Option(help="npz (arrays), cbf (conic), mps (linear programs: ReLU networks).")],
    out: Annotated[Path | None, typer.Option(help="File to write; the model's name with the format's suffix.")] = None,
    context: Annotated[Path | None, typer.Option(help="The context of a model that takes one (one row).")] = None,
) -> None:
    """Write the program whose optimal value is the network; in cbf and mps x is among the variables, free."""
    from socicnn._compile import value_program
    from socicnn._registry import choose
    from socicnn.conic.export import FORMATS
    from socicnn.conic.export import export as write

    target = out or model.with_suffix(f".{format}")
    choose("format", format, FORMATS, error=FileError)
    check_output(target, "--out", model, context, suffixes=(f".{format}",))
    network, context = load_at(model, context)
    theta = read_context(network, context)
    if theta is not None and len(theta) != 1:
        raise FileError(f"{context} has {len(theta)} contexts; a program has one: keep one row")
    program = value_program(network, None if theta is None else theta[0])
    write(program, target, format)
    cones = program.cones
    typer.echo(
        f"wrote {target}: {program.in_features} inputs, {program.A.shape[1]} further variables, {cones.nonnegative} "
        f"inequalities, {len(cones.second_order)} second-order cones"
    )
