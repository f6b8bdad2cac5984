"""`socicnn info`: what a model file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from socicnn.errors import ModelError
from socicnn_cli._models import load_at, load_model, read_context
from socicnn_cli._outputs import as_json
from socicnn_cli._scores import lines
from socicnn_cli._table_model import roles_in

SHOWN = 12  # entries of x or of the context that are listed one by one


def info(
    model: Annotated[
        Path,
        typer.Argument(help="A model written by `socicnn fit`, `socicnn.save` or `FrozenNet.save`, or an ONNX graph."),
    ],
    context: Annotated[
        Path | None, typer.Option(help="One context: also print the fingerprint of the model there.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a model is: its shapes, the ranges of its training data, its fingerprint, how it was trained."""
    network, rest = (load_model(model), None) if context is None else load_at(model, context)
    roles, _ = roles_in(model)
    names = roles.context if roles is not None else []
    facts = describe(network, None if rest is None else read_context(network, rest, names=names))
    facts["metadata"] = _metadata(model)
    if roles is not None:
        facts["x"]["names"] = roles.x
        if facts["context"] is not None:
            facts["context"]["names"] = roles.context
    if json:
        typer.echo(as_json(facts))
        return
    typer.echo(f"{model}: {facts['network']}")
    if roles is not None:
        typer.echo(f"predicts: {roles.sentence()}")
    for name in ("x", "context"):
        typer.echo(f"{name}: {_axis(name, facts[name])}")
    typer.echo(f"parameters: {facts['parameters']}")
    typer.echo(f"fingerprint: {facts['fingerprint'] or facts['no_fingerprint']}")
    trained = facts["metadata"].get("trained")
    typer.echo(f"trained: {_listed(trained) if isinstance(trained, dict) else 'the file does not say how'}")
    judged = facts["metadata"].get("report", {}).get("scores") if roles is not None else None
    if judged and roles is not None:
        for line in lines(judged, roles.target):
            typer.echo(line)
    known = {"trained", "table", "report"} if roles is not None else {"trained"}
    others = {name: value for name, value in facts["metadata"].items() if name not in known}
    if others:
        typer.echo(f"metadata: {_listed(others)}")


def describe(network: Any, context: Any = None) -> dict[str, Any]:
    """Return what a network is, as JSON values.

    Args:
        network: a network or a FrozenNet.
        context: contexts of shape `(1, *context_shape)`, where the fingerprint is taken; None for none.

    Raises:
        ModelError: more than one context.
    """
    ranges = getattr(network, "ranges", None)
    shape = getattr(network, "context_shape", None)
    facts: dict[str, Any] = {
        "class": type(network).__name__,
        "network": repr(network),
        "x": {"shape": list(network.input_shape), **_ends(ranges, "x")},
        "context": None if shape is None else {"shape": list(shape), **_ends(ranges, "context")},
        "parameters": _parameters(network),
        "fingerprint": None,
        "no_fingerprint": "",
    }
    if context is not None and len(context) != 1:
        raise ModelError(f"the fingerprint is of the network at one context; received {len(context)}")
    if shape is not None and context is None:
        facts["no_fingerprint"] = "another at every context; name one with --context"
        return facts
    try:
        facts["fingerprint"] = network.freeze(None if context is None else context[0]).fingerprint
    except ModelError as error:  # no conic program, or weights that are not final
        facts["no_fingerprint"] = f"none: {error}"
    return facts


def _metadata(path: Path) -> dict[str, Any]:
    from socicnn.nn import load_metadata

    return {} if path.suffix.lower() == ".onnx" else load_metadata(path)


def _parameters(network: Any) -> int:
    """Return the number of trained numbers; of a frozen network, the entries of its arrays."""
    if hasattr(network, "parameters"):
        return sum(parameter.numel() for parameter in network.parameters())
    from socicnn._arrays import entries

    parts = (network.output, *network.layers, *network.terms, *network.exponentials)
    arrays = [array for part in parts for array in vars(part).values() if hasattr(array, "dtype")]
    return sum(entries(array).size for array in arrays)


def _ends(ranges: Any, name: str) -> dict[str, Any]:
    """Return the least and the largest value of each entry in the training data; nothing if they are not known."""
    lower = getattr(ranges, f"{name}_lower", None)
    if lower is None:
        return {}
    return {"lower": lower.tolist(), "upper": getattr(ranges, f"{name}_upper").tolist()}


def _axis(name: str, facts: dict[str, Any] | None) -> str:
    if facts is None:
        return "none"
    shape = facts["shape"]
    text = f"{shape[0]} entr{'y' if shape[0] == 1 else 'ies'}" if len(shape) == 1 else f"shape {tuple(shape)}"
    if "lower" not in facts:
        return f"{text}, ranges of the training data not known"
    if len(shape) > 1 or shape[0] > SHOWN:
        return f"{text}, trained on {_extremes(facts)}"
    prefix = "theta" if name == "context" else name
    names = facts.get("names") or [f"{prefix}{i}" for i in range(shape[0])]
    ends = zip(names, facts["lower"], facts["upper"], strict=True)
    return f"{text}, trained on " + ", ".join(f"{label} in [{a:.4g}, {b:.4g}]" for label, a, b in ends)


def _extremes(facts: dict[str, Any]) -> str:
    import numpy as np

    return f"[{np.min(facts['lower']):.4g}, {np.max(facts['upper']):.4g}]"


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
