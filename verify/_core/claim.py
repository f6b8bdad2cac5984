"""A claim from a file: network, program, points, witness and bracket, as plain arrays that anybody can check.

One `.npz` without code in it, which `certificate.save` writes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

import numpy as np

from socicnn._arrays import Array
from socicnn._numpy_files import read_arrays
from socicnn._packing import Arrays, PackingError, numbers, shaped, unpack_net, unpack_program
from socicnn.conic._data import ValueData
from socicnn.errors import FileError, ModelError, ProgramError
from socicnn.frozen._network import ConvexNet

FORMAT = "socicnn claim 1"
PROGRAM = ("b", "q", "d", "r")  # vectors of the program
_WORDS = ("format", "digest", *(f"program.{name}{part}" for name in ("rows", "columns") for part in ("", ".names")))


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

    net: ConvexNet
    program: ValueData
    x: Array
    forward: Array
    v: Array
    y: Array
    k: Array
    lo: Array
    hi: Array


def read(path: str | os.PathLike[str]) -> Claim:
    """Read a claim; nothing in it is believed yet.

    Raises:
        FileError: no such file, or not a valid file of this format.
        ModelError: the network in it is not convex, not finite or of mismatched shapes.
        ProgramError: the shapes of the program in it disagree.
    """
    arrays, place = read_arrays(path, "certificate file", "write it again with certificate.save"), os.fspath(path)
    if str(arrays.get("format")) != FORMAT:
        raise FileError(f"{place} is not a certificate of format '{FORMAT}'; write it with certificate.save")
    words = [name for name, array in arrays.items() if name not in _WORDS and array.dtype.kind not in "fiu"]
    if words:
        raise FileError(f"{place} is not a valid certificate file: {words[0]} holds no real numbers")
    if str(arrays.pop("digest", "")) != digest(arrays):
        raise FileError(f"{place} was changed after it was written: its digest does not match")
    try:
        net = ConvexNet(**unpack_net(arrays, "net."))
        program = unpack_program(arrays, ValueData, PROGRAM, "program.")
        for name in ("row", "column"):
            if arrays[f"program.{name}s.names"].tolist() != getattr(program, f"{name}_names"):
                raise PackingError(f"the names of the {name}s are not those of their blocks")
        return Claim(net, program, **_points(arrays, program))
    except (ModelError, ProgramError):
        raise
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FileError(f"{place} is not a valid certificate file: {reason}") from None


def _points(arrays: Arrays, program: ValueData) -> dict[str, Array]:
    """Return points, values and witnesses, equally many of each."""
    (m, variables), n = program.A.shape, program.in_features
    count = numbers(arrays, "forward").size
    if count == 0:
        raise PackingError("it claims nothing: it has no points")
    widths = {"x": (n,), "v": (variables,), "y": (m,), "k": (len(program.lifts),), "forward": (), "lo": (), "hi": ()}
    return {name: shaped(numbers(arrays, name), name, (count, *width)) for name, width in widths.items()}


def digest(arrays: Arrays) -> str:
    """Return SHA-256 over names, types, shapes and contents: damage is told from a claim that is false."""
    hashed = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        hashed.update(f"{name} {array.dtype.str} {np.shape(arrays[name])}".encode())
        hashed.update(array.tobytes())
    return hashed.hexdigest()
