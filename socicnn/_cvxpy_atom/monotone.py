"""What the arrays of a program say about the sign and the direction of its value; every comparison is exact.

Nothing is rounded: a claim rests on the signs of stored entries alone. It may be missing where it is true. All
variables of a network's program are non-negative, and so are their costs q.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._program import ValueProgram


def never_negative(program: ValueProgram, *, x_nonneg: bool, x_nonpos: bool) -> bool:
    """Return whether d'x + r >= 0 for every x of that sign.

    >>> from socicnn._compile import value_program
    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> program = value_program(FrozenNet([Layer(None, [[1.0, -1.0]], [0.0])], Output([2.0], [0.0, 0.5], 1.0)))
    >>> never_negative(program, x_nonneg=False, x_nonpos=False), never_negative(program, x_nonneg=True, x_nonpos=False)
    (False, True)
    """
    d = program.d
    linear = not d.any() or (x_nonneg and bool((d >= 0).all())) or (x_nonpos and bool((d <= 0).all()))
    return linear and bool(np.all(program.r >= 0))


def increasing(program: ValueProgram, *, x_nonneg: bool) -> bool:
    """Return whether the value is non-decreasing in every coordinate.

    It is where d >= 0, no entry of B loosens an inequality, and every row b + B x of a cone moves away from zero: for
    x >= 0 where the row and its offset have one sign.
    """
    return _away(program, program.b, known=x_nonneg) and bool((program.d >= 0).all() and (_linear(program) <= 0).all())


def decreasing(program: ValueProgram, *, x_nonpos: bool) -> bool:
    """Return whether the value is non-increasing in every coordinate: the mirror image of `increasing`."""
    return _away(program, -program.b, known=x_nonpos) and bool((program.d <= 0).all() and (_linear(program) >= 0).all())


def _linear(program: ValueProgram) -> Array:
    """Return the entries of B in inequalities."""
    return np.asarray(program.B[: _first_cone_row(program)].data, dtype=np.float64)


def _first_cone_row(program: ValueProgram) -> int:
    return program.cones.zero + program.cones.nonnegative


def _away(program: ValueProgram, b: Array, *, known: bool) -> bool:
    """Return whether each row of B in a cone and its entry of b are all >= 0, or all <= 0; no where x has no sign."""
    if program.cones.zero:
        return False
    if not program.cones.second_order:
        return True
    start = _first_cone_row(program)
    B = sparse.csr_array(program.B[start:])
    least, most = (np.asarray(part.toarray()).reshape(-1) for part in (B.min(axis=1), B.max(axis=1)))
    offset = b[..., start:]
    return known and bool((((least >= 0) & (offset >= 0)) | ((most <= 0) & (offset <= 0))).all())
