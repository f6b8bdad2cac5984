"""Rows that are a simplex, a box or a budget, which have exact oracles and a batched search."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from decision.sets._base import FeasibleSet
from decision.sets._box import Box
from decision.sets._budget import Budget
from decision.sets._simplex import Simplex
from socicnn._arrays import Array
from socicnn.conic._rows import Rows


def recognised(rows: Rows) -> FeasibleSet | None:
    """Return the set that linear rows describe, None if it is no simplex, box or budget.

    >>> from decision.sets import Simplex
    >>> recognised(Simplex(3).rows())
    Simplex(n=3)
    """
    if rows.cones.second_order:
        return None
    split = _bounds(rows)
    if split is None:
        return None
    lower, upper, rest = split
    n = len(lower)
    if not len(rest):
        return Box(n, lower, upper) if np.isfinite(lower).all() and np.isfinite(upper).all() else None
    if len(rest) != 1 or (lower != 0.0).any():
        return None
    row, equality = rest[0], rest[0] < rows.cones.zero
    entries = rows.G[[row]].toarray()[0]
    scale = entries[0]
    if scale == 0.0 or (entries != scale).any() or (not equality and scale < 0):
        return None
    total = _exact_quotient(rows.h[row], scale)
    if total is None or total < 0.0:
        return None
    if equality and total == 1.0 and (upper >= 1.0).all():
        return Simplex(n)
    capped = (upper == 1.0).all() or (total <= 1.0 and (upper >= 1.0).all())
    if not capped or (equality and total > n):
        return None
    return Budget(n, total, equality=bool(equality))


def _bounds(rows: Rows) -> tuple[Array, Array, list[int]] | None:
    """Return the bounds that rows with one entry give, exactly, and the other rows; None if rounding moved one."""
    G, zero = rows.G, rows.cones.zero
    n = G.shape[1]
    lower, upper, rest = np.full(n, -np.inf), np.full(n, np.inf), []
    for i in range(len(rows.h)):
        entries = slice(G.indptr[i], G.indptr[i + 1])
        columns, values = G.indices[entries], G.data[entries]
        columns, values = columns[values != 0.0], values[values != 0.0]
        if len(columns) != 1:
            rest.append(i)
            continue
        j, g = int(columns[0]), float(values[0])
        end = _exact_quotient(rows.h[i], g)
        if end is None:
            return None
        if g > 0 or i < zero:
            upper[j] = min(upper[j], end)
        if g < 0 or i < zero:
            lower[j] = max(lower[j], end)
    return (lower + 0.0, upper + 0.0, rest) if (lower <= upper).all() else None


def _exact_quotient(h: float, g: float) -> float | None:
    """Return h / g, None if float64 cannot hold it: a float product that gives h again does not show that it can."""
    with np.errstate(over="ignore"):
        end = float(np.float64(h) / g)
    return end if np.isfinite(end) and Fraction(end) * Fraction(float(g)) == Fraction(float(h)) else None
