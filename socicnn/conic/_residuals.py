"""How far a primal and a dual point are from optimal, for many vectors b and c of one matrix."""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._conic_data import ConicData


class Residuals:
    """Holds a program's matrix, its transpose and their absolute values, by rows.

    Args:
        program: the program; its A and cones are used.
    """

    def __init__(self, program: ConicData) -> None:
        self._cones = program.cones
        self._rows, self._columns = sparse.csr_array(program.A), sparse.csr_array(program.A.T)
        self._row_sizes, self._column_sizes = abs(self._rows), abs(self._columns)

    def slack(self, b: Array, v: Array) -> Array:
        """Return s = b - A v, of one problem or of one per column."""
        return b - self._rows @ v

    def __call__(self, b: Array, c: Array, v: Array, y: Array, offset: float = 0.0) -> dict[str, float]:
        """Return what `each` returns for one problem."""
        return {name: float(worst) for name, worst in self.each(b, c, v, y, offset).items()}

    def each(self, b: Array, c: Array, v: Array, y: Array, offset: float = 0.0) -> dict[str, Array]:
        """Return how far (v, y) is from optimal, each relative to its data.

        primal: violation of s = b - A v in K, against 1 + max(|A| |v| + |b|). dual: A'y + c and the violation of y in
        K*, against 1 + max(|A|'|y| + |c|). value: what these let c'v differ from the optimal value, to first order,
        violation(s)'|y| + |s|'violation(y) + |v|'|A'y + c| + |s'y|, against 1 + |c'v + offset|.

        Args:
            b: right-hand side, shape `(m,)`; or of several problems, one per column.
            c: cost, shape `(variables,)`; the same.
            v: primal point, shape `(variables,)`; the same.
            y: dual point, shape `(m,)`; the same.
            offset: constant added to the value.
        """
        s = self.slack(b, v)
        primal, dual = self._cones.violation(s), self._cones.violation(y, dual=True)
        stationarity = np.abs(self._columns @ y + c)
        size = 1.0 + _largest(self._row_sizes @ np.abs(v) + np.abs(b))
        price = 1.0 + _largest(self._column_sizes @ np.abs(y) + np.abs(c))
        error = _dot(primal, np.abs(y)) + _dot(np.abs(s), dual) + _dot(np.abs(v), stationarity) + np.abs(_dot(s, y))
        return {
            "primal": _largest(primal) / size,
            "dual": np.maximum(_largest(stationarity), _largest(dual)) / price,
            "value": error / (1.0 + np.abs(_dot(c, v) + offset)),
        }


def _largest(values: Array) -> Array:
    """Return the largest entry of each column, 0 if there is none."""
    return np.asarray(values.max(axis=0, initial=0.0))


def _dot(first: Array, second: Array) -> Array:
    """Return the products of columns."""
    return np.asarray(np.einsum("i...,i...->...", first, second))


def power(vector: Array) -> float:
    """Return the power of two next to the largest entry, 1 for a zero vector; dividing by it is exact."""
    largest = float(np.abs(vector).max(initial=0.0))
    return 2.0 ** round(min(max(math.log2(largest), -500.0), 500.0)) if largest > 0 else 1.0
