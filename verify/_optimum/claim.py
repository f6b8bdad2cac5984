"""A claim about an optimum in a file: program, witness and bracket, as plain arrays that anybody can check."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

import numpy as np
from scipy import sparse

from socicnn._numpy_files import digest, read_arrays
from socicnn._plain_arrays import Arrays, PackingError, integers, numbers, shaped, unpack_program
from socicnn.conic._conic_data import ConicData
from socicnn.errors import FileError, ProgramError
from verify._optimum.mixed import MixedProgram, TreeWitness
from verify._optimum.program import OptimumWitness, QuadraticProgram

FORMAT = "socicnn optimum 1"
MIXED = "socicnn optimum with integers 1"
VECTORS = ("b", "c", "offset")  # of the program


@dataclass(frozen=True, eq=False)
class OptimumClaim:
    """That the optimal value lies in [lo, hi].

    Args:
        program: the program, which is minimised.
        sign: -1 if the user's problem is a maximisation, whose values are those of the program times -1; else 1.
        witness: what proves it.
        lo: the lower end of the user's problem.
        hi: the upper end.
    """

    program: QuadraticProgram | MixedProgram
    sign: float
    witness: OptimumWitness | TreeWitness
    lo: float
    hi: float


def read(path: str | os.PathLike[str]) -> OptimumClaim:
    """Read a claim; nothing in it is believed yet.

    Raises:
        FileError: no such file, or not a valid file of this format.
    """
    arrays, place = read_arrays(path, "certificate file", "write it again with optimum.save"), os.fspath(path)
    form = str(arrays.get("format"))
    if form not in (FORMAT, MIXED):
        raise FileError(f"{place} is not a certificate of format '{FORMAT}' or '{MIXED}'; write it with optimum.save")
    if str(arrays.pop("digest", "")) != digest(arrays):
        raise FileError(f"{place} was changed after it was written: its digest does not match")
    try:
        conic = unpack_program(arrays, ConicData, VECTORS, "program.")
        rows, n = conic.A.shape
        program = QuadraticProgram(conic, _matrix(arrays, n))
        sign, lo, hi = (float(shaped(numbers(arrays, name), name, ())) for name in ("sign", "lo", "hi"))
        if sign not in (-1.0, 1.0) or not lo <= hi:
            raise PackingError("sign must be 1 or -1, and lo at most hi")
        for name, array in (("A", conic.A.data), ("b", conic.b), ("c", conic.c), ("P", program.P.data)):
            if not np.isfinite(array).all():
                raise PackingError(f"{name} has non-finite entries")
        if form == MIXED:
            return OptimumClaim(_mixed(arrays, program), sign, _tree(arrays, n), lo, hi)
        return OptimumClaim(program, sign, _witness(arrays, rows, n), lo, hi)
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, OverflowError, ProgramError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FileError(f"{place} is not a valid certificate file: {reason}") from None


def _witness(arrays: Arrays, rows: int, n: int) -> OptimumWitness:
    """Return the witness of a program without integers."""
    shapes = {"v": (n,), "u": (n,), "y": (rows,), "empty": (rows,), "ray": (n,), "tight": (rows,), "ray_tight": (-1,)}
    parts = {name: shaped(numbers(arrays, name), name, shape) for name, shape in shapes.items()}
    for name in ("tight", "ray_tight"):
        parts[name] = parts[name] != 0
    return OptimumWitness(**parts)


def _mixed(arrays: Arrays, relaxed: QuadraticProgram) -> MixedProgram:
    """Return a program with integers."""
    columns = np.asarray(shaped(integers(arrays, "integers", (-1,)), "integers", (-1,)))
    lower, upper = (shaped(numbers(arrays, name), name, (len(columns),)) for name in ("lower", "upper"))
    n = relaxed.conic.A.shape[1]
    if not ((np.diff(columns) > 0).all() and (columns >= 0).all() and (columns < n).all()):
        raise PackingError(f"integers must be increasing numbers of the {n} variables")
    if not ((np.isinf(lower) | (lower == np.floor(lower))) & (np.isinf(upper) | (upper == np.floor(upper)))).all():
        raise PackingError("bounds of integers must be whole or infinite")
    return MixedProgram(relaxed, columns, lower, upper)


def _tree(arrays: Arrays, n: int) -> TreeWitness:
    """Return the witness of a program with integers."""
    split = integers(arrays, "split", (-1,))
    parts = {name: shaped(numbers(arrays, name), name, (-1,)) for name in ("y", "u", "tight")}
    at, v = (shaped(numbers(arrays, name), name, shape) for name, shape in (("at", split.shape), ("v", (n,))))
    return TreeWitness(split, at, parts["y"], parts["u"], v, parts["tight"] != 0)


def _matrix(arrays: Arrays, n: int) -> sparse.csr_array:
    """Return P."""
    entries = shaped(numbers(arrays, "P.entries"), "P.entries", (-1,))
    at = integers(arrays, "P.at", (2, len(entries)))
    if at.size and not (at.min() >= 0 and at.max() < n):
        raise PackingError(f"P has an entry outside its {n} rows and columns")
    P = sparse.csr_array(sparse.coo_array((entries, (at[0], at[1])), shape=(n, n)))
    if P.nnz and abs(P - P.T).max() != 0.0:  # slopes of the cost are P v
        raise PackingError("P must be symmetric")
    return P


def unpacked(witness: OptimumWitness | TreeWitness) -> Arrays:
    """Return the arrays of a witness by name."""
    parts = {entry.name: np.asarray(getattr(witness, entry.name)) for entry in fields(witness)}
    return {name: part if name == "split" else part.astype(np.float64) for name, part in parts.items()}
