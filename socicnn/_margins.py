"""What float64 can do to a sum of products, and sums over the layouts in which networks keep their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from socicnn._arrays import Array

EPS = 2.0**-53
TINY = 2.0**-1000  # past every underflow


def relative_margin(terms: int) -> float:
    """Return g(m) = 1.01 (m + 4) 2^-53: a float64 sum of m products is within g(m) sum |product| of its real value.

    In whatever order it is taken (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1).
    """
    return 1.01 * (terms + 4) * EPS


def column(vector: Any) -> Array:
    """Return a vector, or a stack of one per context, as columns."""
    return np.atleast_2d(vector).T


def group_sums(values: Array, group: int) -> Array:
    """Return the sums over consecutive groups of rows."""
    return values.reshape(-1, group, values.shape[-1]).sum(axis=1)


def dot_each(first: Array, second: Array) -> Array:
    """Return first'second of each column, the second broadcast."""
    return np.einsum("ij,ij->j", first, np.broadcast_to(second, first.shape))
