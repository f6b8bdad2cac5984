"""Points that a user gives, as one tensor of finite numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from socicnn.errors import ModelError


def as_tensor(
    given: Any,
    features: int | None = None,
    *,
    name: str = "points",
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return points as a tensor of finite numbers, shape `(count, n)`.

    Args:
        given: a tensor, or what NumPy reads as an array of numbers: arrays, lists, data frames.
        features: n; any if omitted.
        name: what the messages call them.
        dtype: floating type; that of a floating tensor, else float64, if omitted.
        device: where the result lives; where the points are if omitted.

    Raises:
        ModelError: points that are not numbers, of another shape, none at all, or not finite; the message names the
            first row.

    >>> as_tensor([[1, 2], [3, 4]]).shape
    torch.Size([2, 2])
    """
    tensor = given.detach() if isinstance(given, Tensor) else _from_array(given, name)
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise ModelError(f"{name} must be real numbers; received {str(tensor.dtype).removeprefix('torch.')}")
    if tensor.ndim != 2 or not len(tensor) or (features is not None and tensor.shape[1] != features):
        shape = "(count, n)" if features is None else f"(count, {features})"
        raise ModelError(f"{name} must have shape {shape}, count >= 1; received {tuple(tensor.shape)}")
    if dtype is None:
        dtype = tensor.dtype if tensor.is_floating_point() else torch.float64
    tensor = tensor.to(device=device, dtype=dtype)
    bad = ~torch.isfinite(tensor).all(dim=1)
    if bool(bad.any()):
        rows = bad.nonzero()[:, 0].tolist()
        listed = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        raise ModelError(
            f"{name} must be finite numbers in {str(dtype).removeprefix('torch.')}; {len(rows)} of {len(tensor)} rows "
            f"are not (rows {listed}): remove or replace them"
        )
    return tensor


def _from_array(given: Any, name: str) -> Tensor:
    if np.ma.is_masked(given):
        raise ModelError(f"{name} has masked entries; fill or remove them")
    try:
        array = np.asarray(given)
        kind = array.dtype.kind
        if kind == "O" and any(isinstance(entry, str | bytes | bool) for entry in array.flat):
            kind = "U"
        real = array.astype(np.float32 if array.dtype == np.float32 else np.float64) if kind in "fiuO" else None
    except (TypeError, ValueError):
        real = None
    if real is None:
        raise ModelError(f"{name} must be a table of real numbers; the {type(given).__name__} has other entries")
    return torch.from_numpy(real)
