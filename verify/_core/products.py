"""Products with a program's matrix: its dense blocks apart from its sparse rest, exactly.

The matrix of a network's program is a few dense blocks and diagonals. Every entry is in exactly one part, so that the
split is the matrix, whatever places are named as candidates. Part of the trusted core. NumPy and SciPy alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from math import prod

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray

FILLED = 0.3  # share of entries above which a dense block is faster
LEAST = 64  # numbers in the smallest block worth a product of its own


class Split:
    """A sparse matrix, without duplicate entries, as dense blocks and a sparse rest.

    Blocks lie between places of rows and of columns; which are named only decides how fast the products are.
    """

    def __init__(self, matrix: sparse.csr_array, rows: Iterable[int] = (), columns: Iterable[int] = ()) -> None:
        self.shape: tuple[int, int] = matrix.shape
        cuts = [_cuts(places, size) for places, size in zip((rows, columns), matrix.shape, strict=True)]
        entries = matrix.tocoo()
        keys = np.zeros(len(entries.data), dtype=np.int64)
        for axis, index in enumerate((entries.row, entries.col)):
            keys = keys * len(cuts[axis]) + np.searchsorted(cuts[axis], index, side="right") - 1
        order = np.argsort(keys, kind="stable")
        present, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
        rest = np.ones(len(keys), dtype=bool)
        self._blocks: list[tuple[slice, slice, Array]] = []  # places of rows and of columns, the block
        for key, start, count in zip(present.tolist(), starts.tolist(), counts.tolist(), strict=True):
            own = order[start : start + count]
            at = divmod(key, len(cuts[1]))
            places = [slice(int(cut[i]), int(cut[i + 1]), 1) for cut, i in zip(cuts, at, strict=True)]
            if count < prod(_shape(places)):  # the cones of softplus units hold a layer in every third row
                places = [_spaced(entries.row[own]), _spaced(entries.col[own])]
            if (size := prod(_shape(places))) >= LEAST and count > FILLED * size:
                block = np.zeros(_shape(places))
                inside = [(i[own] - p.start) // p.step for i, p in zip(entries.coords, places, strict=True)]
                block[tuple(inside)] = entries.data[own]
                rest[own] = False
                self._blocks.append((places[0], places[1], block))
        left_over = sparse.coo_array((entries.data[rest], (entries.row[rest], entries.col[rest])), shape=matrix.shape)
        self._rest = left_over.tocsr()

    def times(self, values: Array) -> Array:
        """Return the matrix times values of shape `(columns, N)`."""
        product: Array = self._rest @ values
        for rows, columns, matrix in self._blocks:
            product[rows] += matrix @ values[columns]
        return product

    def absolute(self) -> Split:
        """Return the matrix of absolute values, split alike."""
        sizes = copy(self)
        sizes._rest = abs(self._rest)
        sizes._blocks = [(rows, columns, abs(matrix)) for rows, columns, matrix in self._blocks]
        return sizes


def _shape(places: list[slice]) -> list[int]:
    return [len(range(at.start, at.stop, at.step)) for at in places]


def _spaced(places: IntArray) -> slice:
    """Return the slice of places, equally far apart, that holds these; of all between them if they are not so."""
    used = np.unique(places)
    steps = np.unique(np.diff(used))
    return slice(int(used[0]), int(used[-1]) + 1, int(steps[0]) if len(steps) == 1 else 1)


def _cuts(places: Iterable[int], size: int) -> IntArray:
    """Return 0, the places inside the range, and its end; in order, each once."""
    return np.unique([0, size, *(place for place in places if 0 < place < size)]).astype(np.int64)
