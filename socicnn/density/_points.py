"""Points that a user gives, as one tensor of finite numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from socicnn._arrays import as_float64
from socicnn.errors import ModelError
from socicnn.nn._checks import as_dtype


def as_tensor(
    points: Any,
    features: int | None = None,
    *,
    name: str = "points",
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return points as a tensor of finite numbers, shape `(count, n)`.

    Args:
        points: a tensor, or what NumPy reads as an array of numbers: arrays, lists, data frames.
        features: n; any if omitted.
        name: what the messages call them.
        dtype: floating type; that of a floating tensor or of float32, else float64, if omitted.
        device: where the result lives; where the points are if omitted.

    Raises:
        ModelError: points that are not numbers, of another shape, none at all, or not finite; the message names the
            first row.

    >>> as_tensor([[1, 2], [3, 4]]).shape
    torch.Size([2, 2])
    """
    tensor = _tensor(points, name)
    if tensor.ndim != 2 or not len(tensor) or (features is not None and tensor.shape[1] != features):
        shape = "(count, n)" if features is None else f"(count, {features})"
        raise ModelError(f"{name} must have shape {shape}, count >= 1; received {tuple(tensor.shape)}")
    tensor = tensor.to(device=device, dtype=None if dtype is None else as_dtype(dtype))
    bad = ~torch.isfinite(tensor).all(dim=1)
    if bool(bad.any()):
        rows = bad.nonzero()[:, 0].tolist()
        listed = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ModelError(
            f"{name} has non-finite entries in {kind}, in {len(rows)} of {len(tensor)} rows (rows {listed}); remove or "
            "replace them"
        )
    return tensor


def _tensor(points: Any, name: str) -> Tensor:
    """Return the numbers in their own floating type; float64 if they have none that torch shares with NumPy."""
    if isinstance(points, Tensor) and points.is_floating_point() and points.layout == torch.strided:
        return points.detach()
    array = torch.tensor(as_float64(points, name))
    return array.float() if str(getattr(points, "dtype", "")) == "float32" else array
