"""Whatever a user holds as a float64 array: torch tensors, NumPy arrays, lists, frames; and what is refused."""

from __future__ import annotations

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
    if hasattr(values, "columns"):
        from socicnn._frames import refuse_columns  # claims hold no frames

        refuse_columns(values, name)
    if sparse.issparse(values):
        raise ModelError(f"{name} must be dense; received a sparse matrix (convert it with `.toarray()`)")
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ModelError(f"{name} has masked entries; fill or remove them")
    try:
        array = np.asarray(values)
    except ValueError:  # NumPy's word for rows of different lengths
        raise ModelError(f"{name} has rows of different lengths; it must be a full array of numbers") from None
    except TypeError:  # an Arrow table, whose columns share no type of NumPy's
        _refuse(name, "dates or times beside numbers")
    if array.dtype.kind == "O":
        from socicnn._frames import odd_entry

        if (what := odd_entry(array)) is not None:
            _refuse(name, what)
    if array.dtype.kind not in "biufO":
        kind = {"U": "text", "S": "text", "T": "text", "c": "complex numbers", "M": "dates", "m": "times"}
        _refuse(name, kind.get(array.dtype.kind, f"entries of type {array.dtype}"))
    try:
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise ModelError(f"{name} must hold real numbers; received {type(values).__name__}") from None


def _refuse(name: str, what: str) -> NoReturn:
    hint = {"text": " (convert it with `float`)", "missing values": " (fill or remove them)"}
    raise ModelError(f"{name} must hold real numbers; received {what}{hint.get(what, '')}")
