"""The sums that a certificate is made of: residuals of both problems, both objectives, and their data scales.

Part of the trusted core: it sees exported arrays, points and witnesses. NumPy and SciPy alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from socicnn._arrays import Array, IntArray
from verify._core.products import Split


class Arrays(NamedTuple):
    """A program's arrays, features first: one column per context, or one for all."""

    rows: tuple[Split, ...]  # [A | -B], a part for each run of rows
    columns: Split  # its transpose
    b: Array
    q: Array
    d: Array
    r: Array
    a: Array
    offset: Array
    t: IntArray
    heads: IntArray

    def context(self, part: slice | NDArray[np.intp]) -> Arrays:
        """Return the arrays of some contexts; those that all share stay."""
        pick = lambda array: array if array.shape[-1] == 1 else array[..., part]  # noqa: E731 (local shorthand)
        return self._replace(b=pick(self.b), q=pick(self.q), d=pick(self.d), r=pick(self.r), offset=pick(self.offset))

    def absolute(self) -> Arrays:
        """Return the absolute values."""
        sizes: dict[str, Any] = {name: np.abs(getattr(self, name)) for name in ("b", "q", "d", "r", "a", "offset")}
        rows = tuple(part.absolute() for part in self.rows)
        return self._replace(rows=rows, columns=self.columns.absolute(), **sizes)


class Point(NamedTuple):
    """Points and witnesses, features first: one column per point."""

    x: Array
    v: Array
    y: Array
    k: Array

    def take(self, where: NDArray[np.intp]) -> Point:
        """Return some of the points."""
        return Point(*(array[:, where] for array in self))

    def absolute(self) -> Point:
        """Return the absolute values."""
        return Point(*(np.abs(array) for array in self))


class Terms(NamedTuple):
    """What a witness amounts to."""

    lack: Iterator[Array]  # A v - B x - b of each run of rows, made when it is asked for: it is read in the cache
    stationarity: Array
    primal: Array
    dual: Array
    slope: Array
    offset: Array


def evaluate(arrays: Arrays, point: Point, sign: float) -> Terms:
    """Return A v - B x - b by runs, A'y + q, both objectives, d - B'y and r - b'y at every point.

    With sign = 1 and absolute values throughout, the same sums are the data scales.
    """
    _, columns, b, q, d, r, a, offset, t, heads = arrays
    x, v, y, k = point
    stacked = np.concatenate([v, x])
    if len(t):
        stacked[t] *= k  # t = k t'
    both = columns.times(y)
    stationarity, slope = both[: len(v)], both[len(v) :]
    stationarity += q
    primal = _dot(q, stacked[: len(v)])
    dual = _dot(b, y)
    if len(t):
        stationarity[t] = k * stationarity[t] + a * (y[heads] + y[heads + 1])
        dual = dual + np.einsum("ij,ij->j", k * offset, y[heads] + sign * y[heads + 1])
    offset = np.broadcast_to(sign * dual + r, x.shape[1:])
    affine = _dot(d, x)
    dual = offset + np.einsum("ij,ij->j", slope, x) + affine
    lack = _lack(arrays, point, stacked, sign)
    return Terms(lack, stationarity, primal + affine + r, dual, slope + d, offset)


def _lack(arrays: Arrays, point: Point, stacked: Array, sign: float) -> Iterator[Array]:
    """Yield A v - B x - b of each run of rows; stacked is (v, x), t = k t' in v."""
    stop = 0
    for part in arrays.rows:
        start, stop = stop, stop + part.shape[0]
        lack = part.times(stacked)
        lack += sign * arrays.b[start:stop]
        own = np.flatnonzero((arrays.heads >= start) & (arrays.heads < stop)) if len(arrays.t) else arrays.t
        if len(own):
            at, t, shift = arrays.heads[own] - start, arrays.t[own], sign * point.k[own] * arrays.offset[own]
            lack[at], lack[at + 1] = arrays.a[own] * point.v[t] + shift, arrays.a[own] * point.v[t] + sign * shift
        yield lack


def _dot(weights: Array, values: Array) -> Array:
    """Return the sum over rows of weights * values, the weights one column for all points or one per point."""
    if weights.shape[1] == 1:
        return weights[:, 0] @ values
    return np.einsum("ij,ij->j", weights, values)


def own_entries(rows: sparse.csr_array, variables: int) -> sparse.csr_array:
    """Return the sizes of entries of each variable, `(variables, m)`: the first two negative ones, rows that bound it.

    And the first two that are 1: the cones of a softplus unit.
    """
    columns = sparse.csc_array(rows)
    columns.sort_indices()
    stop = columns.indptr[variables]
    every = np.repeat(np.arange(columns.shape[1]), np.diff(columns.indptr))
    chosen = []
    for kind in (columns.data[:stop] < 0, columns.data[:stop] == 1.0):
        own = np.flatnonzero(kind)
        chosen.append(own[np.arange(len(own)) - np.searchsorted(every[own], every[own]) < 2])
    own = np.concatenate(chosen)
    column = every[own]
    shape = (variables, rows.shape[0])
    return sparse.csr_array((np.abs(columns.data[own]), (column, columns.indices[own])), shape=shape)
