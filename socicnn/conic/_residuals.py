"""How far a primal and a dual point are from optimal, for many vectors b and c of one matrix."""

from __future__ import annotations

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
        """Return s = b - A v."""
        return b - self._rows @ v

    def __call__(self, b: Array, c: Array, v: Array, y: Array, offset: float = 0.0) -> dict[str, float]:
        """Return how far (v, y) is from optimal, each relative to its data.

        primal: violation of s = b - A v in K, against 1 + max(|A| |v| + |b|). dual: A'y + c and the violation of y in
        K*, against 1 + max(|A|'|y| + |c|). value: what these let c'v differ from the optimal value, to first order,
        violation(s)'|y| + |s|'violation(y) + |v|'|A'y + c| + |s'y|, against 1 + |c'v + offset|.

        Args:
            b: right-hand side, shape `(m,)`.
            c: cost, shape `(variables,)`.
            v: primal point, shape `(variables,)`.
            y: dual point, shape `(m,)`.
            offset: constant added to the value.
        """
        s = self.slack(b, v)
        primal, dual = self._cones.violation(s), self._cones.violation(y, dual=True)
        stationarity = np.abs(self._columns @ y + c)
        size = 1.0 + (self._row_sizes @ np.abs(v) + np.abs(b)).max(initial=0.0)
        price = 1.0 + (self._column_sizes @ np.abs(y) + np.abs(c)).max(initial=0.0)
        error = primal @ np.abs(y) + np.abs(s) @ dual + np.abs(v) @ stationarity + abs(s @ y)
        return {
            "primal": float(primal.max(initial=0.0) / size),
            "dual": float(max(stationarity.max(initial=0.0), dual.max(initial=0.0)) / price),
            "value": float(error / (1.0 + abs(float(c @ v) + offset))),
        }
