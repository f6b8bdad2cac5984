"""Programs, and matrices and vectors, from named plain arrays: the one layout behind every file that holds arrays.

A vector is one array under its name. A dense matrix too; a sparse one is `NAME.entries` (its values), `NAME.at` (their
rows and columns, shape `(2, entries)`) and `NAME.shape`. Nothing that is read is believed: lengths and shapes are
compared with the arrays that are there before anything is made of them, and a `PackingError` names what does not fit.
`socicnn._packing` reads networks, `socicnn._packed` writes files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from socicnn._arrays import IntArray
from socicnn.conic._blocks import Block, Lifts
from socicnn.conic._cones import Cones

Arrays = dict[str, NDArray[Any]]
Source = Mapping[str, NDArray[Any]]
P = TypeVar("P")

SPANS = ("rows", "columns")


class PackingError(ValueError):
    """Arrays that do not make a network or a program; the message names the array."""


def unpack_program(arrays: Source, kind: type[P], vectors: Sequence[str], prefix: str = "") -> P:
    """Return a program of this class, whose vectors have these names; its blocks and lifts lie within it.

    Raises:
        ProgramError: the shapes disagree, or a block or lift lies outside.
    """
    names = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {name: numbers(arrays, f"{prefix}{name}") for name in vectors}
    if "offset" in values:
        values["offset"] = float(shaped(values["offset"], f"{prefix}offset", ()))
    values["A"] = sparse.csc_array(matrix(arrays, f"{prefix}A"))
    if "B" in names:
        values["B"] = sparse.csr_array(matrix(arrays, f"{prefix}B"))
    if "lifts" in names:
        places = {entry.name: integers(arrays, f"{prefix}lifts.{entry.name}", (-1,)) for entry in fields(Lifts)}
        values["lifts"] = Lifts(**places)
    cones = integers(arrays, f"{prefix}cones", (-1,)).tolist()
    if len(cones) < 2:
        raise PackingError(f"{prefix}cones must hold at least 2 sizes; received {len(cones)}")
    name = f"{prefix}cones.exponential"
    exponential = int(integers(arrays, name, ())[()]) if name in arrays else 0
    values["cones"] = Cones(cones[0], cones[1], tuple(cones[2:]), exponential)
    for name, size in zip(SPANS, values["A"].shape, strict=True):
        values[name] = _blocks(arrays, f"{prefix}{name}", size)
    program: Any = kind(**values)
    program.check_places()
    return program


def matrix(arrays: Source, name: str) -> sparse.coo_array:
    """Return a sparse matrix; no side is longer than the longest array, as each side has a vector of its own."""
    largest = max((array.size for array in arrays.values()), default=0)
    rows, columns = integers(arrays, f"{name}.shape", (2,)).tolist()
    if not (0 <= rows <= largest and 0 <= columns <= largest):
        raise PackingError(f"{name} has the shape ({rows}, {columns}), but no array has more than {largest} numbers")
    entries = shaped(numbers(arrays, f"{name}.entries"), f"{name}.entries", (-1,))
    at = integers(arrays, f"{name}.at", (2, len(entries)))
    if at.size and not (at.min() >= 0 and at[0].max() < rows and at[1].max() < columns):
        raise PackingError(f"{name} has an entry outside its {rows} rows and {columns} columns")
    return sparse.coo_array((entries, (at[0], at[1])), shape=(rows, columns))


def _blocks(arrays: Source, name: str, size: int) -> tuple[Block, ...]:
    words, ends = _array(arrays, name, "U", "words"), integers(arrays, f"{name}.ends", (-1, 2))
    if words.shape != ends.shape:
        raise PackingError(f"{name} must hold a name and a kind for each of {len(ends)} blocks")
    pairs = ends.tolist()
    if sum(max(0, stop - start) for start, stop in pairs) > size:
        raise PackingError(f"the blocks of {name} overlap: they hold more than {size} places")
    return tuple(Block(*label, *span) for label, span in zip(words.tolist(), pairs, strict=True))


def numbers(arrays: Source, name: str) -> NDArray[Any]:
    """Return an array of real numbers as float64, which holds them exactly."""
    array = _array(arrays, name, "fiu", "real numbers")
    if array.dtype.itemsize > 8 or (array.dtype.kind != "f" and (np.abs(array.astype(np.float64)) > 2.0**53).any()):
        raise PackingError(f"{name} holds numbers that float64 does not hold")
    return np.asarray(array, dtype=np.float64)


def integers(arrays: Source, name: str, shape: tuple[int, ...]) -> IntArray:
    """Return an array of whole numbers of that shape, -1 standing for any length."""
    return shaped(_array(arrays, name, "iu", "whole numbers").astype(np.int64), name, shape)


def shaped(array: NDArray[Any], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the array if it has that shape, -1 standing for any length."""
    if array.ndim != len(shape) or any(want not in (-1, have) for want, have in zip(shape, array.shape, strict=True)):
        raise PackingError(f"{name} must have shape {shape}; received {array.shape}")
    return array


def _array(arrays: Source, name: str, kinds: str, what: str) -> NDArray[Any]:
    """Return an array of one of these kinds of NumPy."""
    if name not in arrays:
        raise PackingError(f"{name} is missing")
    if arrays[name].dtype.kind not in kinds:
        raise PackingError(f"{name} holds no {what}")
    return arrays[name]
