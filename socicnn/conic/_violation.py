"""How far a vector is from a product cone K, or from its dual cone K*."""

import numpy as np

from socicnn._arrays import Array, IntArray


def violation(s: Array, zero: int, cut: int, heads: IntArray, *, dual: bool) -> Array:
    """Return how far each row or cone of s is from K: |s_i|, max(0, -s_i), and max(0, ||u|| - s_0) at each head.

    Args:
        s: vector of shape `(m,)`.
        zero: number of equality rows.
        cut: number of rows before the second-order cones.
        heads: head of each of these.
        dual: measure the distance from K* instead, where the rows of the zero cone are free.

    Returns:
        Shape `(m,)`, zero at the rows of a second-order cone that are not its head.

    >>> violation(np.array([-0.5, 1.0, 3.0, 4.0]), 0, 1, np.array([1]), dual=False)
    array([0.5, 4. , 0. , 0. ])
    """
    excess = np.zeros_like(s)
    if not dual:
        excess[:zero] = np.abs(s[:zero])
    excess[zero:cut] = np.maximum(-s[zero:cut], 0.0)
    if len(heads):
        squares = s[cut:] ** 2
        squares[heads - cut] = 0.0
        excess[heads] = np.maximum(np.sqrt(np.add.reduceat(squares, heads - cut)) - s[heads], 0.0)
    return excess
