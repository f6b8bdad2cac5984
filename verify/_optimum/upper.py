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
    """Return v with coordinates that equations fix at floats, which they are, and the other equations.

    An equation fixes the one coordinate that is not fixed yet, if its residual is then exactly 0.
    """
    v, fixed, left = v.copy(), np.zeros(len(v), dtype=bool), equal.copy()
    G = rows.G
    again = True
    while again:
        again = False
        open_columns = np.asarray((abs(G) > 0) @ (~fixed).astype(np.float64))
        for i in np.flatnonzero(left & (open_columns <= 1)):
            part = slice(G.indptr[i], G.indptr[i + 1])
            columns, entries, h = G.indices[part], G.data[part], float(rows.h[i])
            unknown = np.flatnonzero(~fixed[columns] & (entries != 0.0))
            if not len(columns) or len(unknown) > 1:
                continue
            row, point = sparse.csr_array(entries[None]), v[columns]
            if len(unknown):
                point[unknown] = 0.0
                with np.errstate(over="ignore", invalid="ignore"):
                    point[unknown] = residual(row, point, np.array([h]))[0] / entries[unknown]
            if not np.isfinite(point).all() or residual(row, point, np.array([h]))[0][0] != 0.0:
                continue
            left[i] = False
            if len(unknown):
                v[columns[unknown]], fixed[columns[unknown]], again = point[unknown], True, True
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
