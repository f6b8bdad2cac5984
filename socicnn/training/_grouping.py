"""Which points share a context, so that a loss can compare them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from socicnn._arrays import Array, IntArray

ULPS = 8  # contexts that agree to this many units in the last place of a column's range are one


@dataclass(frozen=True, eq=False)
class Grouping:
    """How points are spread over contexts.

    Args:
        order: rows of each context, shape `(contexts, candidates)`; None unless each has equally many, two or more.
        layout: the same in words.
    """

    order: IntArray | None
    layout: str


def group(context: Array) -> Grouping:
    """Return the points of each context.

    Args:
        context: one row per point, shape `(points, p)`; entries within 8 roundings of their column's range are equal.

    >>> group(np.array([[1.0], [2.0], [1.0 + 2**-52], [2.0]])).order.tolist()
    [[0, 2], [1, 3]]
    """
    labels = np.stack([_labels(column) for column in context.T], axis=1)
    _, first, owner, counts = np.unique(labels, axis=0, return_index=True, return_inverse=True, return_counts=True)
    fewest, most = int(counts.min()), int(counts.max())
    if most < 2:
        return Grouping(None, "no context repeats")
    if fewest != most:
        return Grouping(None, f"contexts have unequal numbers of points, from {fewest} to {most}")
    order = np.argsort(owner.reshape(-1), kind="stable").reshape(len(first), -1)
    return Grouping(order, layout(*order.shape))


def layout(contexts: int, candidates: int) -> str:
    """Return in words how grouped points are spread over contexts."""
    return f"{contexts} contexts with {candidates} points each"


def _labels(column: Array) -> IntArray:
    """Number the values of a column, from the least."""
    order = np.argsort(column, kind="stable")
    sorted_values = column[order]
    tolerance = ULPS * np.finfo(np.float64).eps * (sorted_values[-1] - sorted_values[0])
    labels = np.empty(len(column), dtype=np.int64)
    labels[order] = np.concatenate([[0], np.cumsum(np.diff(sorted_values) > tolerance)])
    return labels
