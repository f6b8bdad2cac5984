"""Matrices of older files, which kept them compressed by rows or by columns, in the layout of today."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socicnn._plain_arrays import Arrays, PackingError, integers, numbers, shaped


def from_compressed(name: str, parts: Sequence[NDArray[Any]], shape: Any, *, by_rows: bool) -> Arrays:
    """Return a matrix of an older file, kept as (data, indices, indptr), in the layout of today.

    Args:
        name: its name.
        parts: data, indices and indptr, as SciPy has them.
        shape: its rows and columns.
        by_rows: whether it was kept row by row (CSR), else column by column (CSC).

    Raises:
        PackingError: the three do not fit together.
    """
    pieces = dict(zip((f"{name}_data", f"{name}_indices", f"{name}_indptr"), parts, strict=True))
    data, indices, ends = pieces
    values = shaped(numbers(pieces, data), data, (-1,))
    minor = integers(pieces, indices, (len(values),))
    steps = np.diff(integers(pieces, ends, (-1,)))
    if pieces[ends][:1].tolist() != [0] or (steps < 0).any() or steps.sum() != len(values):
        raise PackingError(f"{ends} does not divide {len(values)} entries")
    major = np.repeat(np.arange(len(steps)), steps)
    sizes = np.asarray(shape, dtype=np.int64)
    if sizes.shape != (2,) or sizes[0 if by_rows else 1] != len(steps):
        raise PackingError(f"{name} has the shape {tuple(sizes.tolist())}, but {ends} is of {len(steps)} lines")
    at = np.stack([major, minor] if by_rows else [minor, major])
    return {f"{name}.entries": values, f"{name}.at": at, f"{name}.shape": sizes}
