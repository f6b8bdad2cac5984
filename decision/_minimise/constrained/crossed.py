"""Points next to a set without interior, moved into it: the constraints that they cross are held with equality.

With c_i the held constraints and J their gradients, v moves by the least-norm solution of J dv = -c. What it crosses
then is held too. A point that misses the set by a solver's tolerance crosses what is tight near by, which all hold with
equality at a point near by; so few passes do.
"""

from __future__ import annotations

import numpy as np

from socicnn._arrays import Array
from socicnn.conic._rows import Rows

PASSES = 8
DEPENDENT = 1e-11  # singular values, relative to the largest, that count as zero


def onto_crossed(rows: Rows, norms: Array, v: Array) -> Array:
    """Return a point next to v that crosses less of h - G v in K; v itself if it crosses nothing.

    Args:
        rows: the set.
        norms: lengths of its rows, by which they are divided, shape `(rows,)`.
        v: the point, shape `(variables,)`.
    """
    cones = rows.cones
    held = np.zeros(cones.zero + cones.nonnegative + len(cones.second_order), dtype=bool)
    for _ in range(PASSES):
        c, J = _constraints(rows, norms, v)
        held[: cones.zero] = True
        held |= c > 0.0
        if not (np.abs(c[: cones.zero]).any() or (c > 0.0).any()):
            break
        v = v - np.linalg.lstsq(J[held], c[held], rcond=DEPENDENT)[0]
    return v


def _constraints(rows: Rows, norms: Array, v: Array) -> tuple[Array, Array]:
    """Return each constraint, at most zero where it holds, and its gradient: rows, then ||u|| - t of cones."""
    cones = rows.cones
    G, h = rows.G.toarray() / norms[:, None], rows.h / norms
    s = h - G @ v
    linear = cones.zero + cones.nonnegative
    values, slopes = [-s[:linear]], [G[:linear]]
    for head, size in zip(cones.heads.tolist(), cones.second_order, strict=True):
        t, u = s[head], s[head + 1 : head + size]
        length = float(np.linalg.norm(u))
        values.append(np.array([length - t]))
        slopes.append((G[head] - (u / length if length > 0 else u) @ G[head + 1 : head + size])[None])
    return np.concatenate(values), np.vstack(slopes)
