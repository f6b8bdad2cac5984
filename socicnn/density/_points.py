"""Points that a user gives, as one tensor of finite numbers; the ends of a box, and integers, one per axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from socicnn._arrays import as_float64
from socicnn._integers import is_integer
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


def box_ends(lower: Any, upper: Any, n: int | None = None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the ends of a box, one number per axis; a number alone is the end of one dimension.

    Args:
        lower: least coordinates.
        upper: largest coordinates.
        n: number of axes; any if omitted.

    Raises:
        ModelError: ends that are not finite numbers with lower < upper, or of another number of axes.

    >>> box_ends(-8, [8.0])
    ((-8.0,), (8.0,))
    """
    arrays = [as_float64(end, name) for name, end in (("lower", lower), ("upper", upper))]
    low, high = (tuple(array.reshape(-1).tolist()) for array in arrays)
    fits = len(low) == len(high) == (len(low) if n is None else n) and max(array.ndim for array in arrays) < 2
    if not fits or not all(-math.inf < a < b < math.inf for a, b in zip(low, high, strict=True)):
        count = "" if n is None else f"{n} "
        raise ModelError(f"the box needs {count}finite lower < upper; received {low} and {high}")
    return low, high


def per_axis(counts: Any, n: int) -> tuple[int, ...] | None:
    """Return n integers >= 1; one alone is that of one dimension. None where they are something else.

    >>> per_axis(20, 1), per_axis([3, 2], 2), per_axis(20, 2), per_axis(2.5, 1)
    ((20,), (3, 2), None, None)
    """
    values = counts if isinstance(counts, Sequence) and not isinstance(counts, str) else np.atleast_1d(counts).tolist()
    fits = len(values) == n and all(is_integer(value) and value >= 1 for value in values)
    return tuple(map(int, values)) if fits else None


def _tensor(points: Any, name: str) -> Tensor:
    """Return the numbers in their own floating type; float64 if they have none that torch shares with NumPy."""
    if isinstance(points, Tensor) and points.is_floating_point() and points.layout == torch.strided:
        return points.detach()
    array = torch.tensor(as_float64(points, name))
    return array.float() if str(getattr(points, "dtype", "")) == "float32" else array
