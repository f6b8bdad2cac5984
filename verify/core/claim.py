"""A claim as a file: network, program, points, witness and bracket, as plain arrays that anybody can check.

One `.npz` without code in it. `write` and `read` need NumPy and SciPy alone.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from socicnn.arrays import Array
from socicnn.conic.blocks import Block, Lifts
from socicnn.conic.cones import Cones
from socicnn.conic.program import ValueProgram
from socicnn.errors import ModelError, ProgramError
from socicnn.files import FileError, replacing
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic, Squares
from socicnn.numpy_files import read_arrays

FORMAT = "socicnn claim 1"
_VECTORS = ("x", "forward", "v", "y", "k", "lo", "hi")
_WORDS = ("format", "digest", *(f"program.{name}{part}" for name in ("rows", "columns") for part in ("", ".names")))

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Claim:
    """That f(x) = forward, and lo <= f(x) <= hi, with the witness that proves it.

    Args:
        net: the network.
        program: its program.
        x: points, shape `(N, n)`.
        forward: claimed values, shape `(N,)`.
        v: primal points, shape `(N, variables)`.
        y: dual points, shape `(N, m)`.
        k: scales of the lifts, shape `(N, quadratics)`.
        lo: claimed lower bounds in real arithmetic, shape `(N,)`.
        hi: claimed upper bounds, shape `(N,)`.
    """

    net: FrozenNet
    program: ValueProgram
    x: Array
    forward: Array
    v: Array
    y: Array
    k: Array
    lo: Array
    hi: Array


def write(path: str | os.PathLike[str], claim: Claim) -> None:
    """Write a claim; the file appears whole or not at all.

    Raises:
        FileError: the folder does not exist.
    """
    arrays: Arrays = {}
    for part in fields(FrozenNet):
        value = getattr(claim.net, part.name)
        if part.name in ("layers", "quadratics", "norms"):
            arrays[f"net.{part.name}"] = np.asarray(len(value))
            for index, entry in enumerate(value):
                _put_all(arrays, f"net.{part.name}.{index}", entry)
        elif part.name == "output":
            _put_all(arrays, "net.output", value)
    arrays["net.input_shape"] = np.asarray(claim.net.input_shape)
    program = claim.program
    for name in ("A", "B", "b", "q", "d", "r"):
        _put(arrays, f"program.{name}", getattr(program, name))
    arrays["program.cones"] = np.asarray([program.cones.zero, program.cones.nonnegative, *program.cones.second_order])
    for name in ("columns", "heads", "sizes"):
        arrays[f"program.lifts.{name}"] = getattr(program.lifts, name)
    for name, blocks, labels in (
        ("rows", program.rows, program.row_names),
        ("columns", program.columns, program.column_names),
    ):
        arrays[f"program.{name}"] = np.asarray([(b.name, b.kind) for b in blocks], dtype=np.str_).reshape(-1, 2)
        arrays[f"program.{name}.ends"] = np.asarray([(b.start, b.stop) for b in blocks], dtype=np.int64).reshape(-1, 2)
        arrays[f"program.{name}.names"] = np.asarray(labels, dtype=np.str_)
    arrays |= {name: getattr(claim, name) for name in _VECTORS}
    arrays["format"] = np.asarray(FORMAT)
    arrays["digest"] = np.asarray(_digest(arrays))
    with replacing(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def read(path: str | os.PathLike[str]) -> Claim:
    """Read a claim; nothing in it is believed yet.

    Raises:
        FileError: no such file, or not a whole file of this format.
        ModelError: the network in it is not convex, not finite or of mismatched shapes.
        ProgramError: the shapes of the program in it disagree.
    """
    arrays = read_arrays(path, "certificate file", "write it again with certificate.save")
    if str(arrays.get("format")) != FORMAT:
        raise FileError(f"{os.fspath(path)} is no certificate of format '{FORMAT}'; write it with certificate.save")
    words = [name for name, array in arrays.items() if name not in _WORDS and array.dtype.kind not in "fiu"]
    if words:
        raise FileError(f"{os.fspath(path)} is not a whole certificate file: {words[0]} holds no real numbers")
    digest = str(arrays.pop("digest", ""))
    if digest != _digest(arrays):
        raise FileError(f"{os.fspath(path)} was changed after it was written: its digest does not match")
    try:
        claim = Claim(_net(arrays), _program(arrays), **{name: np.asarray(arrays[name], float) for name in _VECTORS})
        claim.program.check_places()
        if len({len(getattr(claim, name)) for name in _VECTORS}) != 1:
            raise FileError(f"{os.fspath(path)}: points, values and witnesses are not equally many")
        for name in ("rows", "columns"):
            labels = claim.program.row_names if name == "rows" else claim.program.column_names
            if arrays[f"program.{name}.names"].tolist() != labels:
                raise FileError(f"{os.fspath(path)}: the names of the {name} are not those of their blocks")
    except (ModelError, ProgramError):
        raise
    except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise FileError(f"{os.fspath(path)} is not a whole certificate file: {error}") from None
    return claim


def _digest(arrays: Arrays) -> str:
    """Return SHA-256 over names, types, shapes and contents: damage is told from a claim that is false."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {np.shape(arrays[name])}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _put_all(arrays: Arrays, prefix: str, part: Any) -> None:
    for entry in fields(part):
        value = getattr(part, entry.name)
        if isinstance(value, Squares):
            _put_all(arrays, f"{prefix}.{entry.name}", value)
        elif value is not None:
            _put(arrays, f"{prefix}.{entry.name}", value)


def _put(arrays: Arrays, name: str, value: Any) -> None:
    if sparse.issparse(value):
        coo = sparse.coo_array(value)
        arrays[f"{name}.entries"], arrays[f"{name}.shape"] = coo.data, np.asarray(coo.shape)
        arrays[f"{name}.at"] = np.stack([coo.row, coo.col]).astype(np.int64)
    else:
        arrays[name] = np.asarray(value)


def _get(arrays: Arrays, name: str) -> Any:
    if name in arrays:
        return arrays[name]
    if f"{name}.entries" not in arrays:
        return None
    row, column = arrays[f"{name}.at"]
    rows, columns = arrays[f"{name}.shape"].tolist()
    return sparse.csr_array((arrays[f"{name}.entries"], (row, column)), shape=(rows, columns))


def _part(arrays: Arrays, kind: type, prefix: str) -> Any:
    values = {entry.name: _get(arrays, f"{prefix}.{entry.name}") for entry in fields(kind)}
    if f"{prefix}.squares.rho" in arrays:
        values["squares"] = _part(arrays, Squares, f"{prefix}.squares")
    return kind(**values)


def _net(arrays: Arrays) -> FrozenNet:
    parts: dict[str, list[Any]] = {}
    for name, kind in (("layers", Layer), ("quadratics", Quadratic), ("norms", Norm)):
        parts[name] = [_part(arrays, kind, f"net.{name}.{index}") for index in range(int(arrays[f"net.{name}"]))]
    norms = [replace(norm, group=None if norm.group is None else int(norm.group)) for norm in parts.pop("norms")]
    shape = tuple(int(size) for size in arrays["net.input_shape"])
    return FrozenNet(output=_part(arrays, Output, "net.output"), norms=norms, input_shape=shape, **parts)


def _program(arrays: Arrays) -> ValueProgram:
    zero, nonnegative, *second_order = arrays["program.cones"].tolist()
    blocks = {}
    for name in ("rows", "columns"):
        labels, ends = arrays[f"program.{name}"].tolist(), arrays[f"program.{name}.ends"].tolist()
        blocks[name] = tuple(
            Block(label, kind, start, stop) for (label, kind), (start, stop) in zip(labels, ends, strict=True)
        )
    return ValueProgram(
        A=sparse.csc_array(_get(arrays, "program.A")),
        B=_get(arrays, "program.B"),
        **{name: arrays[f"program.{name}"] for name in "bqdr"},
        cones=Cones(zero, nonnegative, tuple(second_order)),
        rows=blocks["rows"],
        columns=blocks["columns"],
        lifts=Lifts(*(arrays[f"program.lifts.{name}"] for name in ("columns", "heads", "sizes"))),
    )
