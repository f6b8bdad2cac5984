"""Mutants of exported programs and of witnesses: what a verifier must reject."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._compile import Witness
from socicnn.conic._program import ValueProgram


def with_entry(program: ValueProgram, name: str, index: Any, value: float) -> ValueProgram:
    """Return the program with one entry of an array replaced; for A and B, `index` counts stored entries."""
    array = getattr(program, name)
    if sparse.issparse(array):
        array = array.copy()
        array.data[index] = value
    else:
        array = np.array(array)
        array[index] = value
    return replace(program, **{name: array})


def stored(program: ValueProgram, name: str, block: str) -> np.ndarray:
    """Return which stored entries of A or B lie in the rows of a block."""
    rows = next(b for b in program.rows if b.name == block)
    matrix = getattr(program, name)
    row = matrix.indices if matrix.format == "csc" else np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return np.flatnonzero((row >= rows.start) & (row < rows.stop))


def block(program: ValueProgram, name: str) -> slice:
    """Return the rows, or the columns, of a block."""
    found = next(b for b in (*program.rows, *program.columns) if b.name == name)
    return slice(found.start, found.stop)


def nudged_witnesses(witness: Witness, size: float = 1e-6) -> Iterator[tuple[str, Witness]]:
    """Yield the witness with each part of v and of y nudged, its sign turned, or made NaN; one entry at a time."""
    for name in ("v", "y"):
        array = getattr(witness, name)
        for j in range(array.shape[1]):
            up, nan = array.copy(), array.copy()
            up[:, j] += size * (1.0 + np.abs(up[:, j]))
            nan[:, j] = np.nan
            yield f"{name}[{j}] up", replace(witness, **{name: up})
            yield f"{name}[{j}] nan", replace(witness, **{name: nan})
            if np.abs(array[:, j]).min() > 1e-3:
                turned = array.copy()
                turned[:, j] *= -1
                yield f"{name}[{j}] turned", replace(witness, **{name: turned})
