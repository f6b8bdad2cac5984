"""Loads a model file and fits contexts to it, for the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from socicnn.arrays import Array
from socicnn.cli.tables import read_rows
from socicnn.files import FileError


def load_model(path: Path) -> Any:
    """Return the network saved in `path`, in float64, so that what is certified is what is decided."""
    from socicnn.nn import load

    if not path.exists():
        raise FileError(f"no file {path}; make one with `socicnn fit DATA --out {path}`")
    return load(path).double()


def read_context(model: Any, path: Path | None) -> Array | None:
    """Return the contexts for `model` from a file, checked against its width; None for a model without contexts."""
    width = model.context_features
    if path is None:
        if width:
            raise FileError(f"the model needs contexts of {width} entries; give them with --context FILE")
        return None
    if not width:
        raise FileError(f"the model takes no context; leave --context {path} out")
    context = read_rows(path, "contexts", "theta")
    if context.ndim != 2 or context.shape[1] != width:
        raise FileError(f"{path}: contexts must have {width} entries a row; received shape {context.shape}")
    return context
