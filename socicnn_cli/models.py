"""Loads a model file and fits contexts to it, for the commands."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from socicnn._arrays import Array
from socicnn._files import FileError
from socicnn_cli.tables import read_rows


def load_model(path: Path) -> Any:
    """Return the network in a file, in float64, so that what is certified is what is decided.

    A frozen network and an ONNX graph (`.onnx`) are read too.
    """
    from socicnn.frozen._storage import is_frozen

    if not path.exists():
        raise FileError(f"no file {path}; make one with `socicnn fit DATA --out {path}`")
    if path.suffix.lower() == ".onnx":
        from socicnn.frozen import FrozenNet

        return FrozenNet.from_onnx(path)
    if is_frozen(path):
        from socicnn.frozen import FrozenNet

        return FrozenNet.load(path)
    from socicnn.nn import Network, load

    kind: Any = Network  # no density: it has no program
    return load(path, kind).double()


def read_context(model: Any, path: Path | None, *, moves: bool = False) -> Array | None:
    """Return the contexts for `model` from a file, checked against its shape; None for a model without contexts.

    An image or a sequence is read from .npy or .npz as it is, or with each context flattened to a row. A model without
    contexts may be decided over a set that `moves` with them.
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
    context = read_rows(path, "contexts", "theta")
    if shape not in (context.shape, context.shape[1:]) and context.shape[1:] != (prod(shape),):
        raise FileError(f"{path}: contexts must have {entries} per row; received shape {context.shape}")
    return context.reshape(-1, *shape)
