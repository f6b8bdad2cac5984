"""What the arrays of a program say about the sign and the direction of its value; no claim is false.

A claim rests on the signs of stored entries, or on a comparison that is rounded against it. It may be missing where it
is true. All variables of a network's program but log-sum-exps are non-negative, and so are their costs q.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, entries
from socicnn._compile import Compiled
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
    if any(block.kind == "logsumexp" for block in program.columns):  # such a variable may be negative
        return False
    linear = not d.any() or (x_nonneg and bool((d >= 0).all())) or (x_nonpos and bool((d <= 0).all()))
    return linear and bool(np.all(program.r >= 0))


def increasing(program: ValueProgram, *, x_nonneg: bool) -> bool:
    """Return whether the value is non-decreasing in every coordinate.

    It is where d >= 0, no entry of B loosens an inequality or an exponential cone, and every row b + B x of a
    second-order cone moves away from zero: for x >= 0 where the row and its offset have one sign.
    """
    return _away(program, program.b, known=x_nonneg) and bool((program.d >= 0).all() and (_linear(program) <= 0).all())


def decreasing(program: ValueProgram, *, x_nonpos: bool) -> bool:
    """Return whether the value is non-increasing in every coordinate: the mirror image of `increasing`."""
    return _away(program, -program.b, known=x_nonpos) and bool((program.d <= 0).all() and (_linear(program) >= 0).all())


def covered(compiled: Compiled, way: int) -> bool:
    """Return whether v makes up for what the units can fall by, so that f moves the way of every coordinate.

    It does where way v >= w'N_L, with N_k = max(W_k N_{k-1} - way U_k, 0): z_k + N_k way x increases. Sums of h terms
    >= 0 are rounded up by h + 4 units in the last place.

    Args:
        compiled: a network with one context, and its program.
        way: 1 for non-decreasing, -1 for non-increasing.
    """
    net = compiled.net
    if (
        not net.layers
        or compiled.quadratics
        or compiled.norms
        or compiled.exponentials
        or any(layer.inner for layer in net.layers)
    ):
        return False
    rises: list[Any] = [way * layer.U for layer in net.layers]
    weights: list[Any] = [layer.W for layer in net.layers[1:]]
    sizes = np.abs(np.concatenate([entries(part) for part in [*rises, *weights, net.output.w]]))
    if sizes.any() and sizes[sizes > 0].min() ** (len(rises) + 1) < 1e-290:
        return False  # products underflow
    fall = _positive(-rises[0])
    for rise, W in zip(rises[1:], weights, strict=True):
        fall = _positive((W @ fall) * _up(W.shape[1]) - rise) * _up(1)
    total = (net.output.w[0] @ fall) * _up(net.output.w.size)
    return bool((way * net.output.v[0] >= np.asarray(total).reshape(-1)).all())


def _positive(matrix: Any) -> Any:
    """Return max(M, 0) without rounding, dense or sparse."""
    return (abs(matrix) + matrix) / 2


def _up(terms: int) -> float:
    return 1 + (terms + 4) * float(np.finfo(np.float64).eps)


def _linear(program: ValueProgram) -> Array:
    """Return the entries of B in inequalities, and those in exponential cones, x >= ..., with the other sign."""
    inequalities, cones = program.B[: _first_cone_row(program)], program.B[program.cones.exponential_start :]
    return np.concatenate([inequalities.data, -cones.data])


def _first_cone_row(program: ValueProgram) -> int:
    return program.cones.zero + program.cones.nonnegative


def _away(program: ValueProgram, b: Array, *, known: bool) -> bool:
    """Return whether each row of B in a cone and its entry of b are all >= 0, or all <= 0; no where x has no sign."""
    if program.cones.zero:
        return False
    if not program.cones.second_order:
        return True
    rows = slice(_first_cone_row(program), program.cones.exponential_start)
    B = sparse.csr_array(program.B[rows])
    least, most = (np.asarray(part.toarray()).reshape(-1) for part in (B.min(axis=1), B.max(axis=1)))
    offset = b[..., rows]
    return known and bool((((least >= 0) & (offset >= 0)) | ((most <= 0) & (offset <= 0))).all())
