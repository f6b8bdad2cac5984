"""What is asked of the arrays of a network; errors name the array, the count, the worst value and what to do."""

from __future__ import annotations

import numpy as np

from socicnn._arrays import Array, Matrix, entries
from socicnn.errors import ModelError


class ArrayCheck:
    """Checks the arrays of one network with x of length n, and learns the number of contexts if it is omitted."""

    def __init__(self, n: int, contexts: int | None = None) -> None:
        if contexts is not None:
            if isinstance(contexts, bool) or not isinstance(contexts, int | np.integer) or contexts < 0:
                raise ModelError(f"contexts must be an integer >= 0; received {contexts!r}")
            contexts = int(contexts)
        self.n, self.contexts = n, contexts

    def vector(self, name: str, array: Array, size: int | None = None, *, sign: bool = False) -> None:
        """Check a vector of this size (any, if omitted) per context, shape `(1 or contexts, size)`.

        Raises:
            ModelError: another shape, a non-finite entry, or a negative one where `sign` forbids it.
        """
        self._stack(name, array, 1, "a vector")
        if size is not None and array.shape[-1] != size:
            raise ModelError(f"{name} must have length {size}; received shape {array.shape[len(array) == 1 :]}")
        self._values(name, array, sign=sign)

    def number(self, name: str, array: Array, *, sign: bool = False) -> None:
        """Check a number per context, shape `(1 or contexts,)`; errors are those of `vector`."""
        self._stack(name, array, 0, "a number")
        self._values(name, array, sign=sign)

    def matrix(self, name: str, matrix: Matrix, rows: int | None, columns: int, *, sign: bool = False) -> None:
        """Check a matrix of this shape, of any number of rows if `rows` is None; errors are those of `vector`."""
        if matrix.ndim != 2 or matrix.shape[1] != columns or rows not in (None, matrix.shape[0]):
            wanted = "rows" if rows is None else rows
            raise ModelError(f"{name} must have shape ({wanted}, {columns}); received {matrix.shape}")
        if matrix.shape[0] == 0:
            raise ModelError(f"{name} has no rows; leave the branch out instead")
        self._values(name, entries(matrix), sign=sign)

    def _stack(self, name: str, array: Array, axes: int, what: str) -> None:
        if array.ndim != axes + 1:
            raise ModelError(f"{name} must be {what} (one axis more with contexts); received shape {array.shape}")
        if len(array) != 1:
            if self.contexts not in (None, len(array)):
                raise ModelError(f"{name} has {len(array)} contexts, other arrays {self.contexts}")
            self.contexts = len(array)

    @staticmethod
    def _values(name: str, array: Array, *, sign: bool) -> None:
        if bad := int(np.count_nonzero(~np.isfinite(array))):
            raise ModelError(f"{name} has {bad} non-finite entries; train again from the last finite weights")
        if sign and (negative := int(np.count_nonzero(array < 0))):
            raise ModelError(
                f"{name} has {negative} negative entries (least {array.min():.1e}); "
                "call `model.finalise()` before exporting, or give weights that are non-negative"
            )
