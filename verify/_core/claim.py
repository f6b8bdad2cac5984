"""A claim from a file: network, program, points, witness and bracket, as plain arrays that anybody can check.

One `.npz` without code in it, which `certificate.save` writes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from socicnn._arrays import Array
from socicnn._numpy_files import digest
from socicnn._packing import unpack_net
from socicnn._plain_arrays import Arrays, PackingError, numbers, shaped, unpack_program
from socicnn.conic._data import ValueData
from socicnn.errors import FileError, ModelError, ProgramError
from socicnn.frozen._network import ConvexNet

FORMAT = "socicnn claim 1"
PROGRAM = ("b", "q", "d", "r")  # vectors of the program
_WORDS = ("format", "digest", *(f"program.{name}{part}" for name in ("rows", "columns") for part in ("", ".names")))


@dataclass(frozen=True, eq=False)
class Claim:
    """That f(x) = forward, and lo <= f(x) <= hi, with the witness that proves it."""

    net: ConvexNet
    program: ValueData
    x: Array  # points, shape `(N, n)`
    forward: Array  # claimed values, shape `(N,)`
    v: Array  # primal points, shape `(N, variables)`
    y: Array  # dual points, shape `(N, m)`
    k: Array  # scales of the lifts, shape `(N, quadratics)`
    lo: Array  # claimed lower bounds in real arithmetic, shape `(N,)`
    hi: Array  # claimed upper bounds, shape `(N,)`


def parse(arrays: Arrays, place: str) -> Claim:
    """Return the claim in the arrays of the file `place`; nothing in it is believed yet.

    Raises:
        FileError: not a valid file of this format.
        ModelError: the network in it is not convex, not finite or of mismatched shapes.
        ProgramError: the shapes of the program in it disagree.
    """
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
    points = {name: shaped(numbers(arrays, name), name, (count, *width)) for name, width in widths.items()}
    if not np.isfinite(points["x"]).all():
        raise PackingError("x has non-finite entries")
    return points
