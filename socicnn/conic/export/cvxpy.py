"""A value-function program inside somebody's CVXPY problem.

f(x) = min_v q'v + d'x + r  s.t.  A v + s = b + B x, s in K   becomes an expression and a list of constraints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import cvxpy as cp
import numpy as np
from cvxpy.atoms.affine.reshape import reshape
from cvxpy.atoms.max import max as largest
from cvxpy.reductions.dcp2cone.canonicalizers import CANON_METHODS
from scipy import sparse

from socicnn.arrays import Array, IntArray
from socicnn.conic.program import ValueProgram
from socicnn.errors import ProgramError


@final
class NetworkCost(largest):
    """The cost of a network: to CVXPY the largest entry of the vector [q'v + d'x + r], so convex and never affine.

    An affine expression would let `Maximize(cost)` and `cost >= 5` pass and be wrong, because v may lie above the
    least feasible point. `value` is the network's own value at `x.value`, also where a constraint `cost <= 5` leaves
    q'v + d'x + r above it.
    """

    _x: Any = None
    _forward: Callable[[Array], float] | None = None

    @classmethod
    def of(cls, affine: Any, x: Any, forward: Callable[[Array], float] | None) -> NetworkCost:
        """Return the cost with q'v + d'x + r, of shape `(1,)`, at x; `forward` gives f at a point of shape `(n,)`."""
        cost = cls(affine)
        cost._x, cost._forward = x, forward
        return cost

    def _value_impl(self) -> Any:
        if self._forward is None:  # a copy that a reduction made
            return super()._value_impl()
        point = self._x.value
        return None if point is None else self._forward(np.asarray(point))


CANON_METHODS.setdefault(NetworkCost, CANON_METHODS[largest])  # CVXPY looks an atom's reduction up by its exact type


def to_cvxpy(
    program: ValueProgram,
    x: Any,
    shape: tuple[int, ...] | None = None,
    forward: Callable[[Array], float] | None = None,
) -> tuple[cp.Expression, list[cp.Constraint]]:
    """Return the value function as a convex expression and its constraints.

    One constraint for the equalities, one for the inequalities, one `cp.SOC` for all cones of the same size. The cones
    are explicit, so they are there also where x is a Parameter or a number.

    Args:
        program: the program of one context.
        x: an affine CVXPY expression of shape `(n,)`, `(n, 1)` or `shape`.
        shape: shape of x as an image or a sequence.
        forward: f at a point of shape `(n,)`, for `cost.value`; q'v + d'x + r if omitted.

    Raises:
        ProgramError: x is not affine, or has another shape.
    """
    program.check_single("to_cvxpy")
    x = flat(x, program.in_features, shape)
    v = cp.Variable(program.A.shape[1]) if program.A.shape[1] else None
    A, B, cones = sparse.csr_array(program.A), program.B, program.cones

    def slack(rows: Any) -> Any:
        """Return s = b + B x - A v at some rows; a part without entries is left out."""
        s = cp.Constant(program.b[rows])
        if B[rows].nnz:
            s = s + B[rows] @ x
        if v is not None and A[rows].nnz:
            s = s - A[rows] @ v
        return s

    constraints: list[cp.Constraint] = []
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
    # sparse rows: where x or v is unbounded a dense row with zeros makes CVXPY's bounds 0 * inf
    affine = sparse.csr_array(program.d[None, :]) @ x + float(program.r)
    if v is not None:
        affine = affine + sparse.csr_array(program.q[None, :]) @ v
    return NetworkCost.of(affine, x, forward), constraints


def flat(x: Any, n: int, shape: tuple[int, ...] | None = None) -> Any:
    """Return a CVXPY expression of x as a vector of length n, in row-major order.

    Raises:
        ProgramError: x is not a CVXPY expression, not affine, or has another shape.
    """
    if not isinstance(x, cp.Expression):
        raise ProgramError(
            f"x must be a CVXPY Variable, Parameter or affine expression; received {type(x).__name__}: "
            "for the value at a number call the network, or solve value_program(network).at(x)"
        )
    if not x.is_affine() or x.is_complex():
        raise ProgramError(
            f"x must be real and affine in the problem's variables; received a {x.curvature.lower()} expression: "
            "give the inner expression a Variable of its own and constrain it"
        )
    allowed = [(n,), (n, 1)] + ([tuple(shape)] if shape else []) + ([()] if n == 1 else [])
    if x.shape not in allowed:
        wanted = " or ".join(map(str, dict.fromkeys(allowed)))
        raise ProgramError(f"x must have shape {wanted}; received {x.shape}")
    return x if x.shape == (n,) else reshape(x, (n,), order="C")
