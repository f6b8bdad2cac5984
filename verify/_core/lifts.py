"""The rotated cones of the quadratics: which lifts are exact, and which scales k a point allows.

Part of the trusted core. t = k t' maps the program onto itself for every k > 0, but the terms of the dual objective
grow with k^2, and so would a tolerance. So the claimant does not choose k: it lies next to ||p||, p = A_m x + e_m.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray, IntArray

FACTOR = 4.0  # how far k may lie from the power of two next to ||p||
LARGEST = 500.0  # k is at most 2^500 and at least 2^-500, so that k^2 is a number


class Scales:
    """Which scales k a point allows: within a factor of four of the power of two next to ||p||, or of 1 where p = 0."""

    def __init__(self, B: sparse.csr_array, heads: IntArray, sizes: IntArray) -> None:
        """Take the matrix of x, and head and rows of each rotated cone; p starts two rows below the head."""
        lengths = np.maximum(sizes - 2, 0)
        self._starts = np.cumsum(lengths) - lengths
        self._lengths = lengths
        self._rows = np.repeat(heads + 2 - self._starts, lengths) + np.arange(int(lengths.sum()))
        self._B = B[self._rows]

    def allowed(self, x: Array, b: Array, k: Array) -> BoolArray:
        """Tell at which points every k is one that x allows; one column per point, or one b for all points."""
        ok = np.asarray((np.isfinite(k) & (k > 0)).all(axis=0))
        if not len(k):
            return ok
        p = self._B @ x + b[self._rows]
        length = self._norms(np.abs(p))
        near = _power_of_two(length)
        inside = ((k >= near / FACTOR) & (k <= near * FACTOR)).all(axis=0)
        if not inside.all():  # where rounding decides whether p is 0, every length that p may have allows its own k
            sizes = abs(self._B) @ np.abs(x) + np.abs(b[self._rows])
            spread = self._norms(np.broadcast_to((self._B.shape[1] + 8) * 2.0**-52 * sizes, p.shape))
            least, most = _power_of_two(np.maximum(length - spread, 0.0)), _power_of_two(length + spread)
            vanishes = length <= spread
            small = vanishes & (((k >= 1 / FACTOR) & (k <= FACTOR)) | (k <= most * FACTOR))
            inside = (small | ((k >= least / FACTOR) & (k <= most * FACTOR))).all(axis=0)
        return np.asarray(ok & inside)

    def _norms(self, p: Array) -> Array:
        """Return the 2-norm of the rows of each p, the largest entry divided out before it is squared."""
        norms = np.zeros((len(self._starts), p.shape[1]))
        some = self._lengths > 0
        if some.any():
            largest = np.maximum.reduceat(p, self._starts[some], axis=0)
            divisor = np.repeat(largest, self._lengths[some], axis=0)
            unit = np.divide(p, divisor, out=np.zeros_like(p), where=divisor > 0)
            norms[some] = largest * np.sqrt(np.add.reduceat(unit**2, self._starts[some], axis=0))
        return norms


def _power_of_two(length: Array) -> Array:
    """Return the power of two next to each length, 1 for 0; NaN stays NaN."""
    exponent = np.round(np.log2(length, out=np.zeros_like(length), where=length != 0))
    return np.exp2(np.clip(exponent, -LARGEST, LARGEST))


def lifts_exact(rows: sparse.csr_array, b: Array, t: IntArray, heads: IntArray) -> bool:
    """Tell whether each declared lift is what makes t = k t' exact: rows (a t, a t) and offsets (h, -h), nothing else.

    Then s_0 + s_1 and s_0 - s_1 scale by 1/k and k, which maps the second-order cone onto itself.
    """
    if not len(t):
        return True
    places = ((t, rows.shape[1]), (heads, rows.shape[0] - 1))  # the row below a head is a lift's too
    if any(len(set(at.tolist())) < len(t) or at.min() < 0 or at.max() >= size for at, size in places):
        return False
    part = rows[np.concatenate([heads, heads + 1])]
    alone = bool((np.diff(part.indptr) == 1).all()) and bool((part.indices == np.tile(t, 2)).all())
    equal = alone and bool((part.data[: len(t)] == part.data[len(t) :]).all())
    return equal and bool((b[heads] == -b[heads + 1]).all())
