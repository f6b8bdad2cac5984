"""Plain float64 arrays: what they are called, who may write to them, and products with dense or sparse matrices."""

from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
Matrix: TypeAlias = Array | sparse.csr_array
M = TypeVar("M", bound=Any)


def as_float64(values: Any, name: str = "the array") -> Array:
    """Return a float64 NumPy array; floats of lower precision are lifted exactly.

    Args:
        values: numbers or booleans: a scalar, nested lists, pandas, polars, NumPy (copied if it runs backwards, which
            torch does not take) or torch (copied, so that training on leaves the result as it is).
        name: of the argument, for messages.

    Raises:
        ModelError: text, complex numbers, dates, a masked array with masked entries, rows of different lengths, a
            sparse matrix, or a tensor on the meta device.
    """
    if type(values) is np.ndarray and values.dtype == np.float64:
        array = np.asarray(values, dtype=np.float64)  # native byte order
    else:
        from socicnn._conversion import converted  # arrays of files need none of it

        array = converted(values, name)
    return array if min(array.strides, default=0) >= 0 else array.copy()


def read_only(value: M) -> M:
    """Make an array, or the three arrays of a sparse matrix, read-only, and return it.

    >>> read_only(np.zeros(2)).flags.writeable
    False
    """
    parts = (value.data, value.indices, value.indptr) if sparse.issparse(value) else (value,)
    for part in parts:
        part.flags.writeable = False
    return value


def owned(value: M) -> M:
    """Return an array, or a sparse matrix, that nobody can write to: itself if it is one, else a read-only copy."""
    if sparse.issparse(value):
        parts = (value.data, value.indices, value.indptr)
        if all(map(_unwritable, parts)):
            return value
        value = value.copy()  # whose arrays are views of writable ones: it would be copied again every time
        value.data, value.indices, value.indptr = value.data.copy(), value.indices.copy(), value.indptr.copy()
        return read_only(value)
    return value if not isinstance(value, np.ndarray) or _unwritable(value) else read_only(value.copy())


def _unwritable(array: NDArray[Any]) -> bool:
    """Return whether neither an array nor one that it is a view of can be written to."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return base is None


def entries(matrix: Matrix) -> Array:
    """Return the stored entries of a dense or sparse matrix, flat."""
    return cast(Array, matrix.data) if isinstance(matrix, sparse.csr_array) else matrix.reshape(-1)


def transform(matrix: Matrix, points: Array) -> Array:
    """Return `points @ matrix.T`, the image of each row of `points` (shape `(*batch, columns)`), dense."""
    if isinstance(matrix, sparse.csr_array):
        return cast(Array, np.ascontiguousarray((matrix @ points.T).T))
    return points @ matrix.T


def lengths(values: Array, axis: int) -> Array:
    """Return the 2-norms along an axis, without overflow or underflow of the squares.

    >>> lengths(np.array([[3.0, 4.0], [0.0, 0.0]]) * 2.0**900, 1) / 2.0**900
    array([5., 0.])
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        norms = np.sqrt(np.square(values).sum(axis=axis))
        doubtful = ~((norms > 1e-140) & (norms < np.inf))
        if not doubtful.any():
            return cast(Array, norms)
        largest = np.abs(values).max(axis=axis, initial=0.0, keepdims=True)
        scaled = np.isfinite(largest) & (largest > 0)
        unit = np.divide(values, largest, out=np.zeros_like(values), where=scaled)
        long = largest.squeeze(axis) * np.sqrt(np.square(unit).sum(axis=axis))
        return np.where(doubtful & scaled.squeeze(axis), long, norms)
