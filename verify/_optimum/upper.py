"""An upper end: the cost of a point that satisfies the constraints in real arithmetic.

The equalities, and inequalities that are said to be tight, hold at a point of a small box (`enclosure`); the other
inequalities and the cones hold in the whole box, by their slack.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray
from socicnn._margins import EPS, TINY, relative_margin
from socicnn.conic._rows import Rows
from verify._optimum.dependent import LITTLE
from verify._optimum.enclosure import Enclosure, enclose
from verify._optimum.exact import ContradictionError, residual
from verify._optimum.exponential import primal_inside
from verify._optimum.lengths import lengths
from verify._optimum.pinned import pinned
from verify._optimum.program import QuadraticProgram
from verify._optimum.ranks import WORK

MOST_EXACT = 10_000  # entries of a cone's rows up to which fractions are worth their time
UNSOLVED = "its equalities have no enclosed solution"


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


def upper_end(program: QuadraticProgram, v: Array, tight: BoolArray, most: int = LITTLE) -> UpperEnd:
    """Return the proven cost of a feasible point next to v.

    Args:
        program: the program.
        v: a point, shape `(variables,)`.
        tight: the inequalities that are solved as equalities, shape `(rows,)`.
        most: products that the proof may take that some of these rows follow from others.

    Raises:
        ContradictionError: the equalities and tight inequalities contradict each other.
    """
    if not np.isfinite(v).all():
        return UpperEnd(np.inf, reason="no point is known")
    rows = program.rows
    equal = tight.copy()
    equal[: rows.cones.zero] = True
    equal[rows.cones.zero + rows.cones.nonnegative :] = False
    at = np.flatnonzero(equal)
    M, f = sparse.csr_array(rows.G[at]), rows.h[at]
    v, fixed, left = pinned(M, f, v, np.zeros(len(v), dtype=bool))
    room = np.where(fixed, 0.0, _room(rows, v, equal))
    work = most if tight.any() else WORK  # dependent equalities have to be removed, tight rows may be another guess
    box = enclose(sparse.csr_array(M[left]), f[left], v, room, work=work)
    if box is None:
        return UpperEnd(np.inf, reason=UNSOLVED)
    wrong = _outside(rows, box, equal)
    if wrong:
        return UpperEnd(np.inf, reason=wrong)
    value, size = _cost(program, box)
    return UpperEnd(value, size) if np.isfinite(value) else UpperEnd(np.inf, reason="its cost overflows")


def sure_end(program: QuadraticProgram, v: Array, tight: BoolArray, most: int = LITTLE) -> UpperEnd:
    """Return what `upper_end` does, and no end where the equalities and tight inequalities contradict each other."""
    try:
        return upper_end(program, v, tight, most)
    except ContradictionError:
        return UpperEnd(np.inf, reason="the equalities and tight inequalities contradict each other")


def _room(rows: Rows, v: Array, equal: BoolArray) -> Array:
    """Return how far each coordinate may move: to its nearest single bound, or by its own size."""
    scale = float(np.abs(v).max(initial=0.0)) or 1.0
    room = np.maximum(np.abs(v), 1e-3 * scale)
    G, cones = rows.G, rows.cones
    single = np.flatnonzero((np.diff(G.indptr) == 1) & ~equal)
    single = single[(single >= cones.zero) & (single < cones.zero + cones.nonnegative)]
    single = single[G.data[G.indptr[single]] != 0.0]
    j, g = G.indices[G.indptr[single]], G.data[G.indptr[single]]
    np.minimum.at(room, j, np.maximum((rows.h[single] - g * v[j]) / np.abs(g), 0.0))
    if cones.exponential:  # bounds of exponentials may be tiny, and may move by no more
        heads = np.arange(cones.exponential_start + 2, len(rows.h), 3)
        j = G.indices[G.indptr[heads[np.diff(G.indptr)[heads] == 1]]]
        room[j] = np.minimum(room[j], np.abs(v[j]))
    return room


def _outside(rows: Rows, box: Enclosure, equal: BoolArray) -> str:
    """Return why some row is not proven to hold in the whole box, or nothing."""
    cones = rows.cones
    s, error = residual(rows.G, box.centre, rows.h)
    spread = rows.absolute @ box.radius
    reach = error + spread * (1.0 + relative_margin(rows.G.shape[1])) + np.where(spread > 0, TINY, 0.0)
    reach *= 1.0 + 4 * EPS
    cut = cones.zero + cones.nonnegative
    inequality = np.arange(len(s)) < cut
    bad = inequality & ~equal & ~(s >= reach)
    if bad.any():
        return f"inequality {int(np.argmax(bad)) - cones.zero} has no slack (no interior near the optimum)"
    heads = cones.heads
    room = s[heads] * (1.0 - 4 * EPS) - reach[heads]
    bad = ~(room >= lengths(cones, np.abs(s) + reach))
    bad[bad] = [not _on_boundary(rows, k, box.centre, box.radius) for k in np.flatnonzero(bad).tolist()]
    if cones.exponential:
        reach = np.where(np.diff(rows.G.indptr) == 0, 0.0, reach)  # entries of rows without variables are exact
        bad = np.append(bad, ~primal_inside(cones, s, reach))
    return f"cone {int(np.argmax(bad))} has no slack (no interior near the optimum)" if bad.any() else ""


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


def _on_boundary(rows: Rows, cone: int, v: Array, radius: Array) -> bool:
    """Return whether s_0 >= ||u|| of a second-order cone at v, in exact arithmetic.

    Whole numbers lie on the boundary of cones, e.g. 5 = ||(3, 4)||, where floats that are rounded up see no slack.
    `radius` is how far v may be from the true point: the answer is no if the cone moves.
    """
    head, size = int(rows.cones.heads[cone]), rows.cones.second_order[cone]
    G = sparse.csr_array(rows.G[head : head + size])
    if G.nnz > MOST_EXACT or radius[G.indices[G.data != 0.0]].any():
        return False
    h = rows.h[head : head + size]
    if not (np.isfinite(h).all() and np.isfinite(G.data).all()):
        return False
    s = [Fraction(value) for value in h.tolist()]
    for i, j, entry in zip(np.repeat(np.arange(size), np.diff(G.indptr)), G.indices, G.data.tolist(), strict=True):
        s[i] -= Fraction(entry) * Fraction(float(v[j]))
    return s[0] >= 0 and s[0] ** 2 >= sum(u * u for u in s[1:])
