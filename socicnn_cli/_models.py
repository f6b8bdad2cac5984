"""Loads a model file and fits contexts to it, for the commands."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from socicnn._arrays import Array
from socicnn._files import FileError
from socicnn_cli._frames import named_frame, numbers
from socicnn_cli._tables import read_rows


def load_at(path: Path, context: Path | None) -> tuple[Any, Path | None]:
    """Return the network in a file, and the file of contexts that it still takes.

    An ONNX graph of x and a context is read at its one context, so that none is left.

    Raises:
        FileError: a graph with other inputs, or not one context for it.
    """
    if path.suffix.lower() != ".onnx":
        return load_model(path), context
    from socicnn.importers.onnx import input_names

    names = input_names(_existing(path))
    return (load_model(path), context) if len(names) < 2 else (_graph_at(path, names, context), None)


def _graph_at(path: Path, names: list[str], context: Path | None) -> Any:
    """Return an ONNX graph of x and a context at the one context in a file."""
    from socicnn.frozen import FrozenNet

    if len(names) > 2 or context is None:
        how = "--context FILE gives the context of a graph of x and one context"
        raise FileError(f"{path} has the inputs {', '.join(names)}; {how}")
    known = [name for name in names if name in ("context", "theta")] or [name for name in names if name != "x"]
    if len(known) != 1:
        how = "call x 'x' or the context 'context' in the graph, or use FrozenNet.from_onnx(path, fixed=...)"
        raise FileError(f"{path} has the inputs {', '.join(names)}, and either may be the context; {how}")
    rows = read_rows(context, "contexts", "theta")
    if len(rows) != 1:
        raise FileError(f"{context} has {len(rows)} contexts; an ONNX graph is read at one context: give one row")
    return FrozenNet.from_onnx(path, fixed={known[0]: rows[0]})


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileError(f"no file {path}; make one with `socicnn fit DATA --out {path}`")
    return path


def load_model(path: Path) -> Any:
    """Return the network in a file, in float64 and evaluation mode: what is certified is what is decided.

    A frozen network and an ONNX graph (`.onnx`) are read too.
    """
    from socicnn.frozen._storage import is_frozen

    if _existing(path).suffix.lower() == ".onnx":
        from socicnn.frozen import FrozenNet

        return FrozenNet.from_onnx(path)
    if is_frozen(path):
        from socicnn.frozen import FrozenNet

        return FrozenNet.load(path)
    from socicnn.nn import Network, load

    kind: Any = Network  # no density: it has no program
    return load(path, kind).double().eval()


def read_context(model: Any, path: Path | None, *, moves: bool = False, names: Sequence[str] = ()) -> Array | None:
    """Return the contexts for `model` from a file, checked against its shape; None for a model without contexts.

    A table that has columns of the model's own `names` is read by them. An image or a sequence is read from .npy or
    .npz as it is, or with each context flattened to a row. A model without contexts may be decided over a set that
    `moves` with them.
    """
    shape: tuple[int, ...] | None = getattr(model, "context_shape", None)
    if shape is None:
        if path is not None and moves:
            return read_rows(path, "contexts", "theta")
        if path is not None:
            raise FileError(f"the model takes no context; leave --context {path} out")
        return None
    entries = f"{shape[0]} entries" if len(shape) == 1 else f"shape {shape}"
    if path is None:
        raise FileError(f"the model needs contexts of {entries}; give them with --context FILE")
    context = read_named(path, names)
    if context is None:
        context = read_rows(path, "contexts", "theta")
    if shape not in (context.shape, context.shape[1:]) and context.shape[1:] != (prod(shape),):
        raise FileError(f"{path}: contexts must have {entries} per row; received shape {context.shape}")
    return context.reshape(-1, *shape)


def read_named(path: Path, names: Sequence[str]) -> Array | None:
    """Return the columns of these names; None if there are no names, or the file has none of them.

    Raises:
        FileError: some of the names are missing, or a row has a missing value.
    """
    if not names or path.suffix.lower() in (".npy", ".npz"):
        return None
    frame = named_frame(path, names)
    if not set(names) & set(frame.columns):
        return None
    table = numbers(path, frame, names)
    if table.said():
        raise FileError(f"{path} has missing values, in {', '.join(table.dropped)}; complete or remove these rows")
    return table.values
