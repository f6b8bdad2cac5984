"""How far a vector is from a product cone K, or from its dual cone K*."""

import numpy as np

from socicnn._arrays import Array, IntArray


def violation(s: Array, zero: int, heads: IntArray, starts: tuple[int, int], *, dual: bool) -> Array:
    """Return how far each row or cone of s is from K: |s_i|, max(0, -s_i), max(0, ||u|| - s_0), and `exponential`.

    Args:
        s: vector of shape `(m,)`, or several, one per column.
        zero: number of equality rows.
        heads: head of each second-order cone.
        starts: first row of the second-order cones, and of the exponential ones.
        dual: measure the distance from K* instead, where the rows of the zero cone are free.

    Returns:
        The same shape; at the head of a second-order cone, zero at its other rows; at each row of an exponential cone.

    >>> violation(np.array([-0.5, 1.0, 3.0, 4.0]), 0, np.array([1]), (1, 4), dual=False)
    array([0.5, 4. , 0. , 0. ])
    """
    cut, end = starts
    excess = np.zeros_like(s)
    if not dual:
        excess[:zero] = np.abs(s[:zero])
    excess[zero:cut] = np.maximum(-s[zero:cut], 0.0)
    if len(heads):
        squares = s[cut:end] ** 2
        squares[heads - cut] = 0.0
        excess[heads] = np.maximum(np.sqrt(np.add.reduceat(squares, heads - cut)) - s[heads], 0.0)
    cones = np.moveaxis(s[end:].reshape(-1, 3, *s.shape[1:]), 1, -1)
    excess[end:] = np.repeat(exponential(cones.reshape(-1, 3), dual=dual).reshape(cones.shape[:-1]), 3, axis=0)
    return excess


def exponential(points: Array, *, dual: bool) -> Array:
    """Return an upper bound of the distance of points from Kexp, or from Kexp*: 0 inside, and there alone.

    Kexp is the closure of {(x, y, s) : y > 0, y exp(x / y) <= s}, Kexp* that of {(u, v, w) : u < 0, v >= u (1 + log(w /
    -u))}. It is the shortest of three ways: up in s (w), back in x (up in v), and to the face y = 0 (u = 0).

    Args:
        points: shape `(count, 3)`.
        dual: measure the distance from Kexp*.

    >>> exponential(np.array([[0.0, 1.0, 0.75], [1.0, 1.0, 3.0], [-1.0, 0.0, 0.0]]), dual=False)
    array([0.25, 0.  , 0.  ])
    """
    if dual:  # (u, v, w) is in Kexp* where (u - v, -u, w) is in Kexp
        u, v, w = points.T
        x, y, s = u - v, -u, w
        face = np.stack([u, np.minimum(v, 0.0), np.minimum(w, 0.0)])
    else:
        x, y, s = points.T
        face = np.stack([np.maximum(x, 0.0), y, np.minimum(s, 0.0)])
    with np.errstate(all="ignore"):  # what overflows is a long way, and what is NaN none
        up = y * np.exp(x / y) - s
        back = x - y * np.log(s / y)
    away = np.sqrt((face**2).sum(axis=0))
    inside = np.fmin(np.maximum(up, 0.0), np.where(s > 0, np.maximum(back, 0.0), np.inf))
    return np.where(np.isnan(points).any(axis=1), np.nan, np.where(y > 0, np.fmin(inside, away), away))
