"""A claim about an optimum in a file: program, witness and bracket, as plain arrays that anybody can check."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

import numpy as np
from scipy import sparse

from socicnn._numpy_files import read_arrays
from socicnn._packing import Arrays, PackingError, integers, numbers, shaped, unpack_program
from socicnn.conic._conic_data import ConicData
from socicnn.errors import FileError, ProgramError
from verify._core.claim import digest
from verify._optimum.program import OptimumWitness, QuadraticProgram

FORMAT = "socicnn optimum 1"
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

    program: QuadraticProgram
    sign: float
    witness: OptimumWitness
    lo: float
    hi: float


def read(path: str | os.PathLike[str]) -> OptimumClaim:
    """Read a claim; nothing in it is believed yet.

    Raises:
        FileError: no such file, or not a valid file of this format.
    """
    arrays, place = read_arrays(path, "certificate file", "write it again with optimum.save"), os.fspath(path)
    if str(arrays.get("format")) != FORMAT:
        raise FileError(f"{place} is not a certificate of format '{FORMAT}'; write it with optimum.save")
    if str(arrays.pop("digest", "")) != digest(arrays):
        raise FileError(f"{place} was changed after it was written: its digest does not match")
    try:
        conic = unpack_program(arrays, ConicData, VECTORS, "program.")
        rows, n = conic.A.shape
        program = QuadraticProgram(conic, _matrix(arrays, n))
        shapes = {"v": (n,), "u": (n,), "y": (rows,), "empty": (rows,), "ray": (n,), "tight": (rows,)}
        parts = {name: shaped(numbers(arrays, name), name, shape) for name, shape in shapes.items()}
        parts["ray_tight"] = shaped(numbers(arrays, "ray_tight"), "ray_tight", (-1,))
        for name in ("tight", "ray_tight"):
            parts[name] = parts[name] != 0
        sign, lo, hi = (float(shaped(numbers(arrays, name), name, ())) for name in ("sign", "lo", "hi"))
        if sign not in (-1.0, 1.0) or not lo <= hi:
            raise PackingError("sign must be 1 or -1, and lo at most hi")
        for name, array in (("A", conic.A.data), ("b", conic.b), ("c", conic.c), ("P", program.P.data)):
            if not np.isfinite(array).all():
                raise PackingError(f"{name} has non-finite entries")
        return OptimumClaim(program, sign, OptimumWitness(**parts), lo, hi)
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, OverflowError, ProgramError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FileError(f"{place} is not a valid certificate file: {reason}") from None


def _matrix(arrays: Arrays, n: int) -> sparse.csr_array:
    """Return P."""
    entries = shaped(numbers(arrays, "P.entries"), "P.entries", (-1,))
    at = integers(arrays, "P.at", (2, len(entries)))
    if at.size and not (at.min() >= 0 and at.max() < n):
        raise PackingError(f"P has an entry outside its {n} rows and columns")
    return sparse.csr_array(sparse.coo_array((entries, (at[0], at[1])), shape=(n, n)))


def unpacked(witness: OptimumWitness) -> Arrays:
    """Return the arrays of a witness by name."""
    return {entry.name: np.asarray(getattr(witness, entry.name), dtype=np.float64) for entry in fields(OptimumWitness)}
