"""Networks and programs as named plain arrays, and back: the one layout behind every file that holds arrays.

A vector is one array under its name. A dense matrix too; a sparse one is `NAME.entries` (its values), `NAME.at` (their
rows and columns, shape `(2, entries)`) and `NAME.shape`. A list of parts is its length under its name, and its parts
under `NAME.0`, `NAME.1`, ... Nothing that is read is believed: lengths and shapes are compared with the arrays that are
there before anything is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from socicnn._arrays import IntArray
from socicnn.conic._blocks import Block, Lifts
from socicnn.conic._cones import Cones
from socicnn.frozen._parts import Layer, Norm, Output, Quadratic

Arrays = dict[str, NDArray[Any]]
P = TypeVar("P")

LISTS: dict[str, type] = {"layers": Layer, "quadratics": Quadratic, "norms": Norm}
_SPANS = ("rows", "columns")


class PackingError(ValueError):
    """Arrays that do not make a network or a program; the message names the array."""


def pack_net(net: Any, prefix: str = "") -> Arrays:
    """Return the arrays of a frozen network: layers, output, branches and the shape of x.

    Args:
        net: a `FrozenNet`, or what has its parts.
        prefix: what every name begins with.
    """
    arrays: Arrays = {f"{prefix}input_shape": np.asarray(net.input_shape, dtype=np.int64)}
    for name in LISTS:
        parts = getattr(net, name)
        arrays[f"{prefix}{name}"] = np.asarray(len(parts))
        for index, part in enumerate(parts):
            _put_part(arrays, f"{prefix}{name}.{index}", part)
    _put_part(arrays, f"{prefix}output", net.output)
    return arrays


def unpack_net(arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> dict[str, Any]:
    """Return the arguments of `FrozenNet` from the arrays that `pack_net` made.

    Raises:
        PackingError: an array is missing, or is not of the kind or size that it must have.
    """
    largest = _largest(arrays)
    parts: dict[str, Any] = {}
    for name, kind in LISTS.items():
        count = _integers(arrays, f"{prefix}{name}", ())[()]
        if not 0 <= count <= len(arrays):
            raise PackingError(f"{prefix}{name} is {count}, more parts than the file has arrays")
        parts[name] = [_part(arrays, kind, f"{prefix}{name}.{index}", largest) for index in range(count)]
    shape = _integers(arrays, f"{prefix}input_shape", (-1,)).tolist()
    return {**parts, "output": _part(arrays, Output, f"{prefix}output", largest), "input_shape": tuple(shape)}


def pack_program(program: Any, vectors: Sequence[str], prefix: str = "") -> Arrays:
    """Return the arrays of a program.

    Args:
        program: the program.
        vectors: the names of its vectors, e.g. `("b", "q", "d", "r")`.
        prefix: what every name begins with.
    """
    cones = program.cones
    arrays: Arrays = {f"{prefix}cones": np.array([cones.zero, cones.nonnegative, *cones.second_order], dtype=np.int64)}
    for name in ("A", "B"):
        if hasattr(program, name):
            _put(arrays, f"{prefix}{name}", getattr(program, name))
    for name in vectors:
        arrays[f"{prefix}{name}"] = np.asarray(getattr(program, name), dtype=np.float64)
    if hasattr(program, "lifts"):
        for entry in fields(Lifts):
            arrays[f"{prefix}lifts.{entry.name}"] = np.asarray(getattr(program.lifts, entry.name), dtype=np.int64)
    for name in _SPANS:
        blocks: tuple[Block, ...] = getattr(program, name)
        arrays[f"{prefix}{name}"] = np.asarray([(b.name, b.kind) for b in blocks], dtype=np.str_).reshape(-1, 2)
        ends = np.asarray([(b.start, b.stop) for b in blocks], dtype=np.int64).reshape(-1, 2)
        arrays[f"{prefix}{name}.ends"] = ends
    return arrays


def unpack_program(arrays: Mapping[str, NDArray[Any]], kind: type[P], vectors: Sequence[str], prefix: str = "") -> P:
    """Return the program whose arrays `pack_program` made; its blocks and lifts lie within it.

    Args:
        arrays: the arrays.
        kind: class of the program.
        vectors: the names of its vectors.
        prefix: what every name begins with.

    Raises:
        PackingError: an array is missing, or is not of the kind or size that it must have.
        ProgramError: the shapes disagree, or a block or lift lies outside.
    """
    largest = _largest(arrays)
    names = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {name: _numbers(arrays, f"{prefix}{name}") for name in vectors}
    if "offset" in values:
        values["offset"] = float(_shaped(values["offset"], f"{prefix}offset", ()))
    values["A"] = sparse.csc_array(_matrix(arrays, f"{prefix}A", largest))
    if "B" in names:
        values["B"] = sparse.csr_array(_matrix(arrays, f"{prefix}B", largest))
    if "lifts" in names:
        lifts = {entry.name: _integers(arrays, f"{prefix}lifts.{entry.name}", (-1,)) for entry in fields(Lifts)}
        values["lifts"] = Lifts(**lifts)
    cones = _integers(arrays, f"{prefix}cones", (-1,)).tolist()
    if len(cones) < 2:
        raise PackingError(f"{prefix}cones must hold at least 2 sizes; received {len(cones)}")
    values["cones"] = Cones(cones[0], cones[1], tuple(cones[2:]))
    for name, size in zip(_SPANS, values["A"].shape, strict=True):
        values[name] = _blocks(arrays, f"{prefix}{name}", size)
    program: Any = kind(**values)
    program.check_places()
    return program


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
    values = _shaped(_numbers(pieces, data), data, (-1,))
    minor = _integers(pieces, indices, (len(values),))
    steps = np.diff(_integers(pieces, ends, (-1,)))
    if pieces[ends][:1].tolist() != [0] or (steps < 0).any() or steps.sum() != len(values):
        raise PackingError(f"{ends} does not divide {len(values)} entries")
    major = np.repeat(np.arange(len(steps)), steps)
    sizes = np.asarray(shape, dtype=np.int64)
    if sizes.shape != (2,) or sizes[0 if by_rows else 1] != len(steps):
        raise PackingError(f"{name} has the shape {tuple(sizes.tolist())}, but {ends} is of {len(steps)} lines")
    at = np.stack([major, minor] if by_rows else [minor, major])
    return {f"{name}.entries": values, f"{name}.at": at, f"{name}.shape": sizes}


def _put_part(arrays: Arrays, prefix: str, part: Any) -> None:
    for entry in fields(part):
        value = getattr(part, entry.name)
        if is_dataclass(value):
            _put_part(arrays, f"{prefix}.{entry.name}", value)
        elif value is not None:
            _put(arrays, f"{prefix}.{entry.name}", value)


def _put(arrays: Arrays, name: str, value: Any) -> None:
    if sparse.issparse(value):
        coo = sparse.coo_array(value)
        arrays[f"{name}.entries"], arrays[f"{name}.shape"] = coo.data, np.asarray(coo.shape, dtype=np.int64)
        arrays[f"{name}.at"] = np.stack([coo.row, coo.col]).astype(np.int64)
    else:
        arrays[name] = np.asarray(value)


def _part(arrays: Mapping[str, NDArray[Any]], kind: type, prefix: str, largest: int) -> Any:
    values: dict[str, Any] = {}
    for entry in fields(kind):
        name = f"{prefix}.{entry.name}"
        if kind is Layer and entry.name in Layer.INNER:
            inner = Layer.INNER[entry.name]
            there = f"{name}.{inner.LETTERS[0]}" in arrays
            values[entry.name] = _part(arrays, inner, name, largest) if there else None
        elif entry.name == "group":
            values["group"] = int(_integers(arrays, name, ())[()]) if name in arrays else None
        elif f"{name}.entries" in arrays:
            values[entry.name] = sparse.csr_array(_matrix(arrays, name, largest))
        elif name in arrays:
            values[entry.name] = _numbers(arrays, name)
        elif entry.name in _OPTIONAL:
            values[entry.name] = None
        else:
            raise PackingError(f"{name} is missing")
    return kind(**values)


_OPTIONAL = {"W", "U", "e", "d", "g"}


def _matrix(arrays: Mapping[str, NDArray[Any]], name: str, largest: int) -> sparse.coo_array:
    """Return a sparse matrix none of whose sides is longer than the longest array: each has a vector beside it."""
    rows, columns = _integers(arrays, f"{name}.shape", (2,)).tolist()
    if not (0 <= rows <= largest and 0 <= columns <= largest):
        raise PackingError(f"{name} has the shape ({rows}, {columns}), but no array has more than {largest} numbers")
    entries = _shaped(_numbers(arrays, f"{name}.entries"), f"{name}.entries", (-1,))
    at = _integers(arrays, f"{name}.at", (2, len(entries)))
    if at.size and not (at.min() >= 0 and at[0].max() < rows and at[1].max() < columns):
        raise PackingError(f"{name} has an entry outside its {rows} rows and {columns} columns")
    return sparse.coo_array((entries, (at[0], at[1])), shape=(rows, columns))


def _blocks(arrays: Mapping[str, NDArray[Any]], name: str, size: int) -> tuple[Block, ...]:
    words, ends = _array(arrays, name), _integers(arrays, f"{name}.ends", (-1, 2))
    if words.dtype.kind != "U" or words.shape != ends.shape:
        raise PackingError(f"{name} must hold a name and a kind for each of {len(ends)} blocks")
    pairs = ends.tolist()
    if sum(max(0, stop - start) for start, stop in pairs) > size:
        raise PackingError(f"the blocks of {name} overlap: they hold more than {size} places")
    return tuple(Block(*label, *span) for label, span in zip(words.tolist(), pairs, strict=True))


def _array(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in arrays:
        raise PackingError(f"{name} is missing")
    return arrays[name]


def _numbers(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    array = _array(arrays, name)
    if array.dtype.kind not in "fiu":
        raise PackingError(f"{name} holds no real numbers")
    return np.asarray(array, dtype=np.float64)


def _integers(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> IntArray:
    array = _array(arrays, name)
    if array.dtype.kind not in "iu":
        raise PackingError(f"{name} holds no whole numbers")
    return _shaped(array.astype(np.int64), name, shape)


def _shaped(array: NDArray[Any], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the array if it has that shape, -1 standing for any length."""
    fits = array.ndim == len(shape) and all(want in (-1, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits:
        raise PackingError(f"{name} must have shape {shape}; received {array.shape}")
    return array


def _largest(arrays: Mapping[str, NDArray[Any]]) -> int:
    return max((array.size for array in arrays.values()), default=0)
