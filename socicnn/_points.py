"""Points that a user gives: batches of any leading shape, flattened and checked."""

from typing import Any

import numpy as np

from socicnn._arrays import Array, as_float64
from socicnn.errors import ModelError


def as_points(points: Any, shape: tuple[int, ...], name: str = "x") -> Array:
    """Return points as a float64 array of shape `(count, prod(shape))`.

    `points` has shape `(*batch, *shape)` or, flattened, `(*batch, prod(shape))`; one point counts as a batch of one.

    Raises:
        ModelError: the trailing shape does not fit, or an entry is not finite.
    """
    array = as_float64(points, name)
    size = int(np.prod(shape, dtype=np.int64))
    leads = [
        array.shape[: array.ndim - len(tail)]
        for tail in (shape, (size,))
        if array.ndim >= len(tail) and array.shape[array.ndim - len(tail) :] == tail
    ]
    if not leads:
        expected = f"(*batch, {', '.join(map(str, shape))})"
        raise ModelError(f"{name} must have shape {expected}; received shape {array.shape}")
    array = array.reshape(int(np.prod(leads[0], dtype=np.int64)), size)  # -1 is ambiguous where size is 0
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ModelError(f"{name} has {bad} non-finite entries, the first in row {row}; remove or replace them")
    return array
