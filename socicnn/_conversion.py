"""Whatever a user holds as a float64 array: torch tensors, NumPy arrays, lists, frames; and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from socicnn.errors import ModelError


def converted(values: Any, name: str) -> NDArray[np.float64]:
    """Return a float64 NumPy array; what is accepted and refused says `socicnn._arrays.as_float64`.

    Raises:
        ModelError: no array of real numbers.
    """
    if hasattr(values, "detach"):  # a torch tensor, recognised without importing torch
        if getattr(values, "is_meta", False):
            raise ModelError(f"{name} is on the meta device, where it has no values; move its values to the CPU first")
        if values.is_complex():
            _refuse(name, "complex numbers")
        if "strided" not in str(values.layout):
            raise ModelError(f"{name} must be dense; received a sparse tensor (convert it with `.to_dense()`)")
        return np.array(values.detach().cpu().resolve_neg().double().numpy())  # NumPy has no bfloat16
    refuse_columns(values, name)
    if sparse.issparse(values):
        raise ModelError(f"{name} must be dense; received a sparse matrix (convert it with `.toarray()`)")
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ModelError(f"{name} has masked entries; fill or remove them")
    try:
        array = np.asarray(values)
    except ValueError:  # NumPy's word for rows of different lengths
        raise ModelError(f"{name} has rows of different lengths; it must be a full array of numbers") from None
    if array.dtype.kind == "O":
        _refuse_objects(array, name)
    if array.dtype.kind not in "biufO":
        kind = {"U": "text", "S": "text", "T": "text", "c": "complex numbers", "M": "dates", "m": "times"}
        _refuse(name, kind.get(array.dtype.kind, f"entries of type {array.dtype}"))
    try:
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise ModelError(f"{name} must hold real numbers; received {type(values).__name__}") from None


def refuse_columns(frame: Any, name: str) -> None:
    """Refuse a data frame with a column of dates, times or text, by the column's name; anything else passes.

    Raises:
        ModelError: the first such column, and what it holds.
    """
    for label in getattr(frame, "columns", ()):
        column = frame[label]
        kind = getattr(getattr(column, "dtype", None), "kind", None)
        what = {"M": "dates", "m": "times"}.get(kind or "")
        if kind in ("O", "T", "U"):
            text = next((entry for entry in column if isinstance(entry, str) and not _reads_as_number(entry)), None)
            what = None if text is None else f"text, e.g. {text[:20]!r}"
        if what is not None:
            raise ModelError(f"column {label!r} of {name} holds {what}; make numbers of it, or leave it out")


def refuse_other_order(parts: Mapping[str, Any]) -> None:
    """Refuse pandas objects that have the same labels of rows in different orders: row i would meet another row.

    Args:
        parts: argument's name -> what a user gave; what has no labels of rows passes.

    Raises:
        ModelError: two of them, and how to mend it.
    """
    labelled = {name: part.index for name, part in parts.items() if hasattr(getattr(part, "index", None), "isin")}
    for (name, labels), (other, more) in zip(labelled.items(), list(labelled.items())[1:], strict=False):
        if len(labels) == len(more) and not labels.equals(more) and bool(labels.isin(more).all()):
            raise ModelError(
                f"{name} and {other} have the same row labels in different orders, so that row i of one belongs to "
                f"another row of the other; align them by .loc, or give .to_numpy() if they are in order as they are"
            )


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse(name: str, what: str) -> NoReturn:
    hint = {"text": " (convert it with `float`)", "missing values": " (fill or remove them)"}
    raise ModelError(f"{name} must hold real numbers; received {what}{hint.get(what, '')}")


def _refuse_objects(array: NDArray[np.object_], name: str) -> None:
    """Refuse entries that NumPy would convert in silence, or whose conversion fails."""
    for entry in array.reshape(-1):
        if isinstance(entry, str | bytes):
            _refuse(name, "text")
        if isinstance(entry, complex | np.complexfloating):
            _refuse(name, "complex numbers")
        if entry is None or type(entry).__name__ in {"NAType", "NaTType"}:
            _refuse(name, "missing values")
