"""The arrays of a program in one `.npz` file, without loss."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from scipy import sparse

from socicnn.conic.blocks import Block, Lifts
from socicnn.conic.cones import Cones
from socicnn.conic.program import ConicProgram, ValueProgram
from socicnn.errors import ProgramError
from socicnn.files import FileError, replacing
from socicnn.numpy_files import read_arrays

VERSION = 1
_VECTORS = {"conic": ("b", "c", "offset"), "value": ("b", "q", "d", "r")}


def arrays(program: ValueProgram | ConicProgram) -> dict[str, Any]:
    """Return a program as named arrays: the matrices as (data, indices, indptr, shape), the names as strings."""
    kind = "value" if isinstance(program, ValueProgram) else "conic"
    cones = program.cones
    found: dict[str, Any] = {
        "format": np.array(f"socicnn {kind} program"),
        "version": np.array(VERSION),
        "cones": np.array([cones.zero, cones.nonnegative, *cones.second_order], dtype=np.int64),
        **_matrix("A", sparse.csc_array(program.A)),
        **_blocks("columns", program.columns),
        **_blocks("rows", program.rows),
    }
    if isinstance(program, ValueProgram):
        lifts = (program.lifts.columns, program.lifts.heads, program.lifts.sizes)
        found |= {**_matrix("B", sparse.csr_array(program.B)), "lifts": np.array(lifts, dtype=np.int64)}
    return found | {name: np.asarray(getattr(program, name), dtype=np.float64) for name in _VECTORS[kind]}


def write(program: ValueProgram | ConicProgram, path: str | os.PathLike[str]) -> None:
    """Write the arrays of a program.

    Raises:
        FileError: the file cannot be written.
    """
    with replacing(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, **arrays(program))


def read_npz(path: str | os.PathLike[str]) -> ValueProgram | ConicProgram:
    """Read the program that `write` wrote.

    Raises:
        FileError: the file is missing, broken, of another kind or of a later version.
    """
    file = read_arrays(path, "program file", "export the program again")
    try:
        program = _program(file)
        program.check_places()
    except (ValueError, KeyError, TypeError, ProgramError) as error:
        raise FileError(f"{path} is not a program written by socicnn, or is broken: {error}") from error
    return program


def _program(file: dict[str, Any]) -> ValueProgram | ConicProgram:
    kinds = {f"socicnn {kind} program": kind for kind in _VECTORS}
    kind = kinds[str(file["format"])]
    if int(file["version"]) > VERSION:
        raise ValueError(f"it has version {int(file['version'])}, this package reads up to {VERSION}; update socicnn")
    zero, nonnegative, *second_order = (int(size) for size in file["cones"])
    common: dict[str, Any] = {
        "A": _read_matrix(sparse.csc_array, file, "A"),
        "cones": Cones(zero, nonnegative, tuple(second_order)),
        "columns": _read_blocks(file, "columns"),
        "rows": _read_blocks(file, "rows"),
        **{name: file[name] for name in _VECTORS[kind]},
    }
    if kind == "conic":
        return ConicProgram(**{**common, "offset": float(file["offset"])})
    return ValueProgram(**common, B=_read_matrix(sparse.csr_array, file, "B"), lifts=Lifts(*file["lifts"]))


def _matrix(name: str, matrix: Any) -> dict[str, Any]:
    return {
        f"{name}_data": matrix.data,
        f"{name}_indices": matrix.indices,
        f"{name}_indptr": matrix.indptr,
        f"{name}_shape": np.array(matrix.shape, dtype=np.int64),
    }


def _read_matrix(kind: type, file: dict[str, Any], name: str) -> Any:
    shape = tuple(int(size) for size in file[f"{name}_shape"])
    matrix = kind(tuple(file[f"{name}_{part}"] for part in ("data", "indices", "indptr")), shape=shape)
    matrix.check_format(full_check=True)  # a place outside would be read from foreign memory
    return matrix


def _blocks(name: str, blocks: tuple[Block, ...]) -> dict[str, Any]:
    return {
        f"{name}_names": np.array([block.name for block in blocks], dtype=np.str_),
        f"{name}_kinds": np.array([block.kind for block in blocks], dtype=np.str_),
        f"{name}_spans": np.array([(block.start, block.stop) for block in blocks], dtype=np.int64).reshape(-1, 2),
    }


def _read_blocks(file: dict[str, Any], name: str) -> tuple[Block, ...]:
    named = zip(file[f"{name}_names"], file[f"{name}_kinds"], file[f"{name}_spans"], strict=True)
    return tuple(Block(str(label), str(kind), int(start), int(stop)) for label, kind, (start, stop) in named)
