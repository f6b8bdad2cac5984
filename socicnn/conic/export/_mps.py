"""Linear programs (networks of ReLU units alone) in free MPS, every number without loss.

Readers silently drop what they take for zero or for infinity. So a row with such an entry is multiplied by a
power of two, which changes no solution and rounds nothing; where no power of two helps, the program is refused. The
constant of the objective is the cost of a column that is fixed to 1: right-hand sides of the objective row are read
with either sign.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn._files import replacing
from socicnn.conic._program import ConicProgram, ValueProgram
from socicnn.errors import ProgramError

# HiGHS: small_matrix_value, large_matrix_value, infinite_bound and infinite_cost; SCIP and GLPK allow more
SMALLEST, LARGEST, INFINITE = 1e-9, 1e15, 1e20
OBJECTIVE, CONSTANT = "cost", "constant"


def write(program: ValueProgram | ConicProgram, path: str | os.PathLike[str]) -> None:
    """Write a linear program in free MPS, with the names of its blocks; numbers are read back without loss.

    min c'v + offset  s.t.  A v = b (rows of the zero cone), A v <= b (other rows), v free. Rows with an entry <= 1e-9
    or >= 1e15, which HiGHS does not take, are multiplied by a power of two.

    Args:
        program: an instance, or a value program, whose x then is among the variables, free.
        path: file to write.

    Raises:
        ProgramError: the program has cones, or numbers that readers of MPS take for 0 or for infinity.
        FileError: the file cannot be written.
    """
    instance = program.free() if isinstance(program, ValueProgram) else program
    if instance.cones.nonlinear:
        raise ProgramError(f"MPS holds linear programs; this one has {instance.cones.nonlinear}; choose the format cbf")
    text = "".join(f"{line}\n" for line in _lines(instance))
    with replacing(path) as draft:
        draft.write_bytes(text.encode("utf-8"))


def scales(program: ConicProgram) -> IntArray:
    """Return the exponent e of each row's factor 2^e: 0 where readers take the row as it is.

    Where they do not, the row's least entry comes next to 1 if its largest stays below 1e15: so a solver's tolerance,
    which is absolute, is small against every term.

    Raises:
        ProgramError: a row has entries, or a right-hand side, too far apart for any factor.
    """
    m = program.A.shape[0]
    A = sparse.csr_array(program.A)
    A.sum_duplicates()
    A.eliminate_zeros()
    size = np.abs(A.data)
    filled = np.flatnonzero(np.diff(A.indptr))
    least, most = np.ones(m), np.zeros(m)
    least[filled] = np.minimum.reduceat(size, A.indptr[filled]) if len(filled) else []
    most[filled] = np.maximum.reduceat(size, A.indptr[filled]) if len(filled) else []
    right = np.abs(program.b)
    _finite(program)
    exponents = np.zeros(m, dtype=np.int64)
    for row in np.flatnonzero((least <= SMALLEST) | (most >= LARGEST) | (right >= INFINITE)):
        ceiling = min(_room(float(most[row]), LARGEST), _room(float(right[row]), INFINITE))
        exponents[row] = min(1 - np.frexp(least[row])[1], ceiling)
        exact = np.ldexp(np.ldexp(program.b[row], exponents[row]), -exponents[row]) == program.b[row]
        if np.ldexp(least[row], exponents[row]) <= SMALLEST or not exact:
            names = _names(program.row_names, m, "row")
            raise ProgramError(
                f"row {names[row]} cannot be written in MPS: its entries reach from {least[row]:.1e} to "
                f"{most[row]:.1e}, its right-hand side is {program.b[row]:.1e}, and solvers read entries <= "
                f"{SMALLEST:g} as 0, entries >= {LARGEST:g} and right-hand sides >= {INFINITE:g} as infinite; choose "
                "the format npz or cbf"
            )
    return exponents


def _room(size: float, limit: float) -> int:
    """Return the largest exponent e with size 2^e < limit, near enough: within 2 of it, never beyond."""
    return int(np.frexp(limit)[1] - 1 - np.frexp(size)[1]) if size > 0 else 2000


def _finite(program: ConicProgram) -> None:
    """Raise a ProgramError where a number is not finite, or a cost is one that readers take for infinite."""
    for name, array in (("A", program.A.data), ("b", program.b), ("c", program.c), ("offset", program.offset)):
        if not np.all(np.isfinite(array)):
            raise ProgramError(f"{name} of the program has non-finite entries, which MPS cannot hold")
    worst = max(float(np.abs(program.c).max(initial=0.0)), abs(program.offset))
    if worst >= INFINITE:
        raise ProgramError(
            f"a cost of {worst:.1e} cannot be written in MPS: solvers read costs >= {INFINITE:g} as infinite; choose "
            "the format npz or cbf"
        )


def _names(names: list[str], size: int, prefix: str) -> list[str]:
    """Return the names if they can stand in a file of words, one for each row or column; else numbered ones."""
    words = all(name.isascii() and len(name.split()) == 1 and len(name) < 200 and name[0] not in "$*" for name in names)
    taken = set(names) | {OBJECTIVE, CONSTANT}
    return names if words and len(names) == size and len(taken) == size + 2 else [f"{prefix}{i}" for i in range(size)]


def _lines(program: ConicProgram) -> Iterator[str]:
    m, variables = program.A.shape
    exponents = scales(program)
    A = sparse.csc_array(program.A, copy=True)
    A.sum_duplicates()
    A.eliminate_zeros()
    data: Array = np.ldexp(A.data, exponents[A.indices])
    b = np.ldexp(program.b, exponents)
    rows = _names(program.row_names, m, "row")
    columns = _names(program.column_names, variables, "v")
    yield "* written by socicnn: min c'v s.t. A v = b (E), A v <= b (L), v free"
    scaled = np.flatnonzero(exponents)
    yield from (f"* row {rows[i]} is multiplied by 2^{exponents[i]}" for i in scaled.tolist())
    yield from ("NAME socicnn", "ROWS", f" N {OBJECTIVE}")
    yield from (f" {'E' if i < program.cones.zero else 'L'} {name}" for i, name in enumerate(rows))
    yield "COLUMNS"
    indices, values, ends = A.indices.tolist(), data.tolist(), A.indptr.tolist()
    for j, (name, cost) in enumerate(zip(columns, program.c.tolist(), strict=True)):
        if cost or ends[j] == ends[j + 1]:  # a column without entries is still named
            yield f" {name} {OBJECTIVE} {cost!r}"
        yield from (f" {name} {rows[indices[place]]} {values[place]!r}" for place in range(ends[j], ends[j + 1]))
    if program.offset:
        yield f" {CONSTANT} {OBJECTIVE} {float(program.offset)!r}"
    yield "RHS"
    yield from (f" rhs {rows[i]} {b[i].item()!r}" for i in np.flatnonzero(b).tolist())
    yield "BOUNDS"
    yield from (f" FR bounds {name}" for name in columns)
    if program.offset:
        yield f" FX bounds {CONSTANT} 1"
    yield "ENDATA"
