"""Lengths of the tails of many second-order cones at once, rounded up."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from socicnn._arrays import Array, IntArray
from socicnn._margins import EPS, TINY
from socicnn.conic._cones import Cones

Number = TypeVar("Number", np.float64, np.int64, np.bool_)


def lengths(cones: Cones, s: Array) -> Array:
    """Return ||u|| of each cone's (s_0, u), rounded up; infinite or NaN where an entry is.

    Args:
        cones: the cones.
        s: entries of the rows, shape `(rows,)`.

    >>> lengths(Cones(0, 1, (3, 1)), np.array([9.0, 7.0, 3.0, -4.0, 1.0])).round(9).tolist()
    [5.0, 0.0]
    """
    sizes = np.asarray(cones.second_order, dtype=np.float64)
    near = norms(cones, s)
    return np.where(near > 0.0, near * (1.0 + 1.01 * (sizes + 16.0) * EPS) + TINY, near)


def norms(cones: Cones, s: Array) -> Array:
    """Return ||u|| of each cone's (s_0, u), rounded to the nearest; infinite or NaN where an entry is."""
    sizes = np.asarray(cones.second_order, dtype=np.int64)
    if not len(sizes):
        return np.zeros(0)
    parts = np.abs(s[cones.heads[0] : cones.exponential_start])
    starts = cones.heads - cones.heads[0]
    parts[starts] = 0.0
    largest = np.maximum.reduceat(parts, starts)
    usual = (largest > 0.0) & np.isfinite(largest)
    unit = np.where(usual, largest, 1.0)  # squares neither overflow nor underflow
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.add.reduceat((parts / np.repeat(unit, sizes)) ** 2, starts)
    return np.where(usual, unit * np.sqrt(np.where(usual, sums, 1.0)), largest)


def most_of(cones: Cones, s: Array) -> Array:
    """Return the largest entry of each cone."""
    return (
        np.maximum.reduceat(s[cones.heads[0] : cones.exponential_start], cones.heads - cones.heads[0])
        if cones.second_order
        else np.zeros(0)
    )


def spread(cones: Cones, each: NDArray[Number]) -> NDArray[Number]:
    """Return a value for each row of the cones from a value for each cone."""
    return np.repeat(each, np.asarray(cones.second_order, dtype=np.int64))


def tails(cones: Cones) -> IntArray:
    """Return the rows of the cones that are no heads."""
    rows = np.arange(cones.zero + cones.nonnegative, cones.exponential_start)
    return np.setdiff1d(rows, cones.heads, assume_unique=True)
