"""`socicnn export`: write the conic program of a saved network to a file that other tools read."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from socicnn._files import FileError
from socicnn.errors import ModelError
from socicnn_cli._models import load_at, load_model, read_context
from socicnn_cli._outputs import check_output
from socicnn_cli._table_model import roles_in


def export(
    model: Annotated[
        Path,
        typer.Argument(help="A model written by `socicnn fit`, `socicnn.save` or `FrozenNet.save`, or an ONNX graph."),
    ],
    format: Annotated[
        str,
        typer.Option(
            help="npz (arrays), cbf (conic), mps (linear programs: ReLU networks), onnx (the network itself)."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="File to write; the model's name with the format's suffix.")] = None,
    context: Annotated[Path | None, typer.Option(help="The context of a model that takes one (one row).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the program whose optimal value is the network; in cbf and mps x is among the variables, free.

    With onnx the network itself is written, its context an input. A concave function f is written as -f.
    """
    from socicnn._compile import value_program
    from socicnn._registry import choose
    from socicnn.conic.export import FORMATS
    from socicnn.conic.export import export as write

    target = out or model.with_suffix(f".{format}")
    choose("format", format, [*FORMATS, "onnx"], error=FileError)
    check_output(target, "--out", model, context, suffixes=(f".{format}",))
    roles, _ = roles_in(model)
    if format == "onnx":
        dtype = _write_onnx(load_model(model), target, context)
        note = "" if dtype == "float64" else f" in {dtype}, its inputs too: runtimes have softplus in no other type"
        facts = {"out": str(target), "format": format, "dtype": dtype}
        typer.echo(jsonlib.dumps(facts) if json else f"wrote {target}{note}")
        return
    network, context = load_at(model, context)
    theta = read_context(network, context, names=roles.context if roles is not None else [])
    if theta is not None and len(theta) != 1:
        raise FileError(f"{context} has {len(theta)} contexts; a program has one: keep one row")
    program = value_program(network, None if theta is None else theta[0])
    write(program, target, format)
    cones = program.cones
    if json:
        sizes = {
            "out": str(target),
            "format": format,
            "inputs": program.in_features,
            "variables": program.A.shape[1],
            "inequalities": cones.nonnegative,
            "second_order_cones": len(cones.second_order),
        }
        typer.echo(jsonlib.dumps(sizes))
        return
    typer.echo(
        f"wrote {target}: {program.in_features} inputs, {program.A.shape[1]} further variables, {cones.nonnegative} "
        f"inequalities, {len(cones.second_order)} second-order cones"
    )


def _write_onnx(network: Any, target: Path, context: Path | None) -> str:
    """Write a network in float64 if runtimes take it so, else in float32; return which."""
    import torch

    from socicnn.nn import Network, to_onnx
    from socicnn.nn._checks import narrowed

    if context is not None:
        raise FileError("in ONNX the context is an input of the graph; leave --context out")
    if not isinstance(network, Network):
        raise FileError("only a trained network is written as ONNX, not a frozen one; export it as npz, cbf or mps")
    try:
        to_onnx(network, target)
        return "float64"
    except ModelError:  # runtimes have softplus, e.g. in the read-out of a context, in float32 alone
        for name, tensor in network.state_dict().items():
            narrowed(tensor, torch.float32, name)
        to_onnx(network.float(), target)
        return "float32"
