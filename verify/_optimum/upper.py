"""An upper end: the cost of a point that satisfies the constraints in real arithmetic.

The equalities, and inequalities that are said to be tight, hold at a point of a small box (`enclosure`); the other
inequalities and the cones hold in the whole box, by their slack.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray
from socicnn._margins import EPS, TINY, relative_margin
from socicnn.conic._rows import Rows
from verify._optimum.enclosure import Enclosure, enclose
from verify._optimum.exact import residual
from verify._optimum.program import QuadraticProgram


@dataclass(frozen=True, eq=False)
class UpperEnd:
    """An upper end, +infinity with a reason where there is none.

    Args:
        value: the bound.
        size: sum of the absolute values of the terms of the cost.
        reason: one sentence, or nothing.
    """

    value: float
    size: float = 0.0
    reason: str = ""


def upper_end(program: QuadraticProgram, v: Array, tight: BoolArray) -> UpperEnd:
    """Return the proven cost of a feasible point next to v.

    Args:
        program: the program.
        v: a point, shape `(variables,)`.
        tight: the inequalities that are solved as equalities, shape `(rows,)`.

    Raises:
        ContradictionError: the equalities and tight inequalities contradict each other.
    """
    if not np.isfinite(v).all():
        return UpperEnd(np.inf, reason="no point is known")
    rows = program.rows
    equal = tight.copy()
    equal[: rows.cones.zero] = True
    equal[rows.cones.zero + rows.cones.nonnegative :] = False
    v, fixed, left = _pinned(rows, v, equal)
    room = np.where(fixed, 0.0, _room(rows, v, equal))
    box = enclose(sparse.csr_array(rows.G[left]), rows.h[left], v, room)
    if box is None:
        return UpperEnd(np.inf, reason="its equalities have no enclosed solution")
    wrong = _outside(rows, box, equal)
    if wrong:
        return UpperEnd(np.inf, reason=wrong)
    value, size = _cost(program, box)
    return UpperEnd(value, size) if np.isfinite(value) else UpperEnd(np.inf, reason="its cost overflows")


def _pinned(rows: Rows, v: Array, equal: BoolArray) -> tuple[Array, BoolArray, BoolArray]:
    """Return v with coordinates that one equation fixes at a float, which they are, and the other equations."""
    v, fixed, left = v.copy(), np.zeros(len(v), dtype=bool), equal.copy()
    G = rows.G
    for i in np.flatnonzero(equal & (np.diff(G.indptr) == 1)):
        j, g, h = int(G.indices[G.indptr[i]]), float(G.data[G.indptr[i]]), float(rows.h[i])
        if g == 0.0:
            continue
        with np.errstate(over="ignore"):
            value = float(np.float64(h) / g)
        row = sparse.csr_array([[g]])
        exact = np.isfinite(value) and residual(row, np.array([value]), np.array([h]))[0][0] == 0.0
        if exact and (not fixed[j] or v[j] == value):
            v[j], fixed[j], left[i] = value, True, False
    return v, fixed, left


def _room(rows: Rows, v: Array, equal: BoolArray) -> Array:
    """Return how far each coordinate may move: to its nearest single bound, or by its own size."""
    scale = float(np.abs(v).max(initial=0.0)) or 1.0
    room = np.maximum(np.abs(v), 1e-3 * scale)
    G, cones = rows.G, rows.cones
    single = np.flatnonzero((np.diff(G.indptr) == 1) & ~equal)
    for i in single[(single >= cones.zero) & (single < cones.zero + cones.nonnegative)]:
        j, g = int(G.indices[G.indptr[i]]), float(G.data[G.indptr[i]])
        if g != 0.0:
            room[j] = min(room[j], max((rows.h[i] - g * v[j]) / abs(g), 0.0))
    return room


def _outside(rows: Rows, box: Enclosure, equal: BoolArray) -> str:
    """Return why some row is not proven to hold in the whole box, or nothing."""
    cones = rows.cones
    s, error = residual(rows.G, box.centre, rows.h)
    spread = abs(rows.G) @ box.radius
    reach = error + spread * (1.0 + relative_margin(rows.G.shape[1])) + np.where(spread > 0, TINY, 0.0)
    reach *= 1.0 + 4 * EPS
    cut = cones.zero + cones.nonnegative
    inequality = np.arange(len(s)) < cut
    bad = inequality & ~equal & ~(s >= reach)
    if bad.any():
        return f"inequality {int(np.argmax(bad)) - cones.zero} has no slack (no interior near the optimum)"
    for number, (head, size) in enumerate(zip(cones.heads, cones.second_order, strict=True)):
        tail = np.abs(s[head + 1 : head + size]) + reach[head + 1 : head + size]
        if not s[head] * (1.0 - 4 * EPS) - reach[head] >= length(tail):
            return f"cone {number} has no slack (no interior near the optimum)"
    return ""


def length(tail: Array) -> float:
    """Return ||tail||, rounded up."""
    largest = float(np.abs(tail).max(initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        return largest
    return largest * float(np.linalg.norm(tail / largest)) * (1.0 + relative_margin(len(tail) + 8)) + TINY


def _cost(program: QuadraticProgram, box: Enclosure) -> tuple[float, float]:
    """Return the largest cost in the box, rounded up, and the size of its terms."""
    conic, P, v, radius = program.conic, program.P, box.centre, box.radius
    slope = P @ v
    absolute = abs(P)
    sizes = absolute @ np.abs(v)
    value = conic.offset + float(conic.c @ v) + 0.5 * float(slope @ v)
    size = abs(conic.offset) + float(np.abs(conic.c) @ np.abs(v)) + 0.5 * float(sizes @ np.abs(v))
    spread = float((np.abs(conic.c + slope) + 0.5 * (absolute @ radius)) @ radius)
    margin = relative_margin(4 * len(v) + 16)
    spread += margin * float((np.abs(conic.c) + sizes + absolute @ radius) @ radius)
    return value + (spread + 2 * margin * size) * (1.0 + margin) + TINY * (size > 0 or spread > 0), size
