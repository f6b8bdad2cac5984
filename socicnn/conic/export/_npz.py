"""The arrays of a program in one `.npz` file, without loss."""

from __future__ import annotations

import os
from typing import Any, cast

import numpy as np

from socicnn._compressed import from_compressed
from socicnn._files import FileError, replacing
from socicnn._numpy_files import read_arrays
from socicnn._packed import pack_program
from socicnn._plain_arrays import Arrays, PackingError, unpack_program
from socicnn.conic._program import ConicProgram, ValueProgram
from socicnn.errors import ProgramError

VERSION = 3  # of programs with exponential cones; others are written as version 2, which older readers know
KINDS: dict[str, tuple[type[ConicProgram | ValueProgram], tuple[str, ...]]] = {
    "conic": (ConicProgram, ("b", "c", "offset")),
    "value": (ValueProgram, ("b", "q", "d", "r")),
}


def arrays(program: ValueProgram | ConicProgram) -> Arrays:
    """Return a program as named arrays, in the layout of `socicnn._plain_arrays`."""
    kind = "value" if isinstance(program, ValueProgram) else "conic"
    version = VERSION if program.cones.exponential else 2
    head = {"format": np.array(f"socicnn {kind} program"), "version": np.array(version)}
    return head | pack_program(program, KINDS[kind][1])


def write(program: ValueProgram | ConicProgram, path: str | os.PathLike[str]) -> None:
    """Write the arrays of a program.

    Raises:
        FileError: the file cannot be written.
    """
    with replacing(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, **cast(dict[str, Any], arrays(program)))


def read_npz(path: str | os.PathLike[str]) -> ValueProgram | ConicProgram:
    """Read the program that `write` wrote, in this version or an older one.

    Raises:
        FileError: the file is missing, broken, of another kind or of a later version.
    """
    file = read_arrays(path, "program file", "export the program again")
    try:
        return _program(file)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, ProgramError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FileError(f"{path} is not a program written by socicnn, or is broken: {reason}") from error


def _program(file: Arrays) -> ValueProgram | ConicProgram:
    names = {f"socicnn {kind} program": kind for kind in KINDS}
    kind = names.get(str(file.get("format")))
    if kind is None:
        raise PackingError("it does not say which kind of program it holds")
    version = int(file["version"])
    if version > VERSION:
        raise PackingError(f"it has version {version}, this package reads up to {VERSION}; update socicnn")
    return unpack_program(_of_version_1(file) if version < 2 else file, *KINDS[kind])


def _of_version_1(file: Arrays) -> Arrays:
    """Return the arrays of a file of version 1, which kept its matrices compressed, in the layout of today."""
    arrays = dict(file)
    for name in ("A", "B"):
        if f"{name}_data" in file:
            parts = [file[f"{name}_{part}"] for part in ("data", "indices", "indptr")]
            arrays |= from_compressed(name, parts, file[f"{name}_shape"], by_rows=name == "B")
    for name in ("rows", "columns"):
        words = [file[f"{name}_{part}"] for part in ("names", "kinds")]
        arrays |= {name: np.stack(words, axis=1), f"{name}.ends": file[f"{name}_spans"]}
    if "lifts" in file:
        arrays |= dict(zip(("lifts.columns", "lifts.heads", "lifts.sizes"), file["lifts"], strict=True))
    return arrays
