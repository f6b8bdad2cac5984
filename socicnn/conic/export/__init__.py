"""Programs as files of other tools, written and read; one format per module, found by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from socicnn._registry import Registry
from socicnn.conic._program import ConicProgram, ValueProgram
from socicnn.conic.export._cbf_problem import read_problem
from socicnn.errors import ProgramError

Program: TypeAlias = ValueProgram | ConicProgram
Path_: TypeAlias = str | os.PathLike[str]

__all__ = ["export", "read", "read_problem"]

# each module has `write(program, path)`; it is imported when it is used
FORMATS: Registry[Callable[[Program, Path_], None]] = Registry(
    "format", {name: f"socicnn.conic.export._{name}:write" for name in ("npz", "cbf", "mps")}, error=ProgramError
)


READERS: Registry[Callable[[Path_], Program]] = Registry(
    "format", {name: f"socicnn.conic.export._{name}:read_{name}" for name in ("npz", "cbf")}, error=ProgramError
)


def export(program: Program, path: Path_, format: str | None = None) -> None:
    """Write a program to a file, atomically.

    Args:
        program: a value program, or an instance of it: `program.at(x)`, `program.free(rows)`. A value program itself is
            kept as it is in `npz`, with x on the right-hand side; in `cbf` and `mps` x is among the variables, free.
        path: file to write; an older file of that name is replaced.
        format: `npz` (the arrays), `cbf` (conic programs), `mps` (linear programs); the suffix of `path` if omitted.

    Raises:
        ProgramError: the format is unknown, or cannot hold this program (MPS: cones, or numbers too far apart).
        FileError: the file cannot be written.

    >>> from tempfile import mkdtemp
    >>> from socicnn._compile import value_program
    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> program = value_program(FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [1.0])))
    >>> path = Path(mkdtemp()) / "cost.cbf"
    >>> export(program.at([3.0]), path)
    >>> round(read(path).solve().value, 6)
    9.0
    """
    name = Path(path).suffix[1:] if format is None else format
    FORMATS[name](program, path)


def read(path: Path_, format: str | None = None) -> Program:
    """Read a program from a file.

    Args:
        path: file to read; a CBF file may be somebody else's.
        format: `npz` (what `export` wrote) or `cbf`; the suffix of `path` if omitted.

    Returns:
        What was written to `npz`; of `cbf` a `ConicProgram`.

    Raises:
        ProgramError: the format is unknown, or not read.
        FileError: the file is missing, broken or of another kind.
    """
    return READERS[Path(path).suffix[1:] if format is None else format](path)
