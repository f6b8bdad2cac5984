"""The cone form of the atom: f(x) = min_v q'v + d'x + r  s.t.  A v + s = b + B x, s in K."""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np
from cvxpy.atoms.affine.reshape import reshape
from scipy import sparse

from socicnn._arrays import IntArray
from socicnn._compile import Piece
from socicnn.conic._program import ValueProgram


def canonicalise(program: ValueProgram, x: Any, pieces: dict[Piece, Any]) -> tuple[cp.Expression, list[cp.Constraint]]:
    """Return q'v + d'x + r and the constraints that tie v to x.

    One constraint for the equalities, one for the inequalities, one `cp.SOC` for all cones of the same size, and one
    `cp.ExpCone` for all exponential cones.

    Args:
        program: its A, B and K; whatever stands in its vectors is not read.
        x: an affine expression of shape `(n,)`.
        pieces: b, q, d and r as arrays, or as CVXPY expressions without variables where the context moves them.
    """
    constraints: list[cp.Constraint] = []
    if x.parameters() and isinstance(pieces["d"], cp.Expression):
        copied = cp.Variable(x.shape)  # d'x would be a product of two Parameters, which DPP does not know
        constraints.append(copied == x)
        x = copied
    v = cp.Variable(program.A.shape[1]) if program.A.shape[1] else None
    A, B, cones = sparse.csr_array(program.A), program.B, program.cones

    def slack(rows: Any) -> Any:
        """Return s = b + B x - A v at some rows; a part without entries is left out."""
        s = pieces["b"][rows]
        s = s if isinstance(s, cp.Expression) else cp.Constant(s)
        if B[rows].nnz:
            s = s + B[rows] @ x
        if v is not None and A[rows].nnz:
            s = s - A[rows] @ v
        return s

    if cones.zero:
        constraints.append(slack(np.arange(cones.zero)) == 0)
    sizes = np.asarray(cones.second_order, dtype=np.int64)
    half_lines = np.concatenate([np.arange(cones.zero, cones.zero + cones.nonnegative), cones.heads[sizes == 1]])
    if len(half_lines):
        constraints.append(slack(half_lines) >= 0)
    for size in np.unique(sizes[sizes > 1]):
        heads: IntArray = cones.heads[sizes == size]
        body = (heads[:, None] + np.arange(1, size)).reshape(-1)
        columns = reshape(slack(body), (int(size) - 1, len(heads)), order="F")
        constraints.append(cp.SOC(slack(heads), columns))
    if cones.exponential:
        places = np.arange(cones.exponential_start, cones.rows)
        constraints.append(cp.ExpCone(*(slack(places[entry::3]) for entry in range(3))))
    cost = _product(pieces["d"], x) + pieces["r"]
    if v is not None:
        cost = cost + _product(pieces["q"], v)
    return reshape(cost, (), order="F"), constraints


def _product(vector: Any, variable: Any) -> Any:
    """Return vector'variable, of shape `(1,)`."""
    if isinstance(vector, cp.Expression):
        return reshape(vector, (1, vector.size), order="F") @ variable
    # a sparse row: where the variable is unbounded a dense row with zeros makes CVXPY's bounds 0 * inf
    return sparse.csr_array(vector[None, :]) @ variable
