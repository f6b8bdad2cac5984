"""CVXPY constraints on one variable, and the same as rows G v + s = h, s in K, on v = [x | further variables].

The rows are CVXPY's own canonical form of the constraints. What is proven about a decision is proven for these rows:
that they describe the constraints is CVXPY's part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import BoolArray
from socicnn.conic._blocks import Rows
from socicnn.conic._cones import Cones
from socicnn.errors import ProgramError

FAR = 1e9  # a plane this many times further from the origin than the nearest others is kept from the solver at first


@dataclass(frozen=True, eq=False)
class Constraints:
    """CVXPY constraints on one variable x of n entries, and perhaps on further variables.

    Args:
        given: the constraints.
        x: the variable.
        rows: the same as rows on [x | further variables]; None if they need other than second-order cones.
    """

    given: list[Any]
    x: Any
    rows: Rows | None

    @classmethod
    def of(cls, constraints: Sequence[Any], n: int) -> Constraints:
        """Return constraints after finding their variable.

        Raises:
            ProgramError: these are no CVXPY constraints, there is no single variable of n entries, they are not
                convex, or their data hold NaN.
        """
        import cvxpy as cp

        given: list[Any] = list(constraints) if isinstance(constraints, list | tuple) else [constraints]
        if not given or not all(isinstance(one, cp.constraints.constraint.Constraint) for one in given):
            raise ProgramError(
                "the feasible set must be one of decision.sets or a list of CVXPY constraints; received "
                f"{type(constraints).__name__}"
            )
        variables = {variable.id: variable for one in given for variable in one.variables()}
        fitting = [variable for variable in variables.values() if variable.size == n]
        if len(fitting) != 1:
            raise ProgramError(
                f"the constraints must hold exactly one CVXPY variable of {n} entries, the x of the network; found "
                f"{len(fitting)} among {len(variables)} variables"
            )
        problem = cp.Problem(cp.Minimize(0), given)
        if not problem.is_dcp():
            bad = [str(one) for one in given if not one.is_dcp()]
            raise ProgramError(
                f"the constraints must be convex by CVXPY's rules (DCP); these are not: {'; '.join(bad)}"
            )
        return cls(given, fitting[0], _rows(given, fitting[0]))


def _rows(given: list[Any], x: Any) -> Rows | None:
    """Return the constraints on [x | further variables] in this project's rows; None if that is impossible."""
    import cvxpy as cp

    plain = cp.Variable(x.shape)  # without the attributes of x, so that it keeps its columns
    problem = cp.Problem(cp.Minimize(0), [*given, x == plain])
    if problem.is_mixed_integer():
        return None
    data = problem.get_problem_data(cp.CLARABEL)[0]
    dims = data["dims"]
    if dims.exp or dims.psd or dims.p3d or getattr(dims, "pnd", None):
        return None
    start = data["param_prob"].var_id_to_col[plain.id]
    columns = data["A"].shape[1]
    own = start + np.arange(x.size).reshape(x.shape, order="F").reshape(-1)  # CVXPY counts columns first, we rows
    order = np.concatenate([own, np.setdiff1d(np.arange(columns), own)])
    G = sparse.csr_array(sparse.csc_array(data["A"])[:, order])
    G.eliminate_zeros()
    rows = Rows(G, np.asarray(data["b"], dtype=np.float64), Cones(dims.zero, dims.nonneg, tuple(dims.soc)))
    return _finite(_without_copies(rows, x.size))


def _without_copies(rows: Rows, n: int) -> Rows:
    """Return the rows after v_k is put in place of x_j wherever they say x_j - v_k = 0 and x_j stands nowhere else."""
    G, zero = rows.G, rows.cones.zero
    columns = sparse.csc_array(G)
    uses = np.diff(columns.indptr)
    place = np.arange(G.shape[1])
    gone = []
    for i in range(zero):
        pair = slice(G.indptr[i], G.indptr[i + 1])
        if pair.stop - pair.start != 2 or rows.h[i] != 0.0 or float(G.data[pair].sum()) != 0.0:
            continue
        j, k = sorted(int(one) for one in G.indices[pair])
        if j < n <= k and uses[j] == 1 and place[k] == k:
            place[k] = j
            gone.append(i)
    if not gone:
        return rows
    left = np.concatenate([np.arange(n), n + np.flatnonzero(place[n:] == np.arange(n, len(place)))])
    index = np.full(len(place), -1)
    index[left] = np.arange(len(left))
    entries = sparse.coo_array(G[np.delete(np.arange(G.shape[0]), gone)])
    merged = sparse.coo_array(
        (entries.data, (entries.row, index[place[entries.col]])), shape=(entries.shape[0], len(left))
    )
    cones = Cones(zero - len(gone), rows.cones.nonnegative, rows.cones.second_order)
    return Rows(sparse.csr_array(merged), np.delete(rows.h, gone), cones)


def _finite(rows: Rows) -> Rows:
    """Return the rows without those that say x <= infinity."""
    G, h, cones = rows.G, rows.h, rows.cones
    inequality = _inequalities(cones)
    keep = ~(inequality & (h == np.inf))
    if not (np.isfinite(h[keep]).all() and np.isfinite(G.data).all()):
        raise ProgramError(
            "the constraints hold NaN, or an infinite bound that no point satisfies; give finite numbers "
            "(x <= infinity is allowed and says nothing)"
        )
    return some(Rows(G, np.where(keep, h, 0.0), cones), keep)


def near(rows: Rows) -> BoolArray:
    """Return which rows are not planes that are far away, shape `(rows,)`; x <= 1e15 beside x >= 0 harms a solver.

    A plane g'v <= h is far if h / ||g|| is at least 1e9 times the least distance of the others from the origin (or 1,
    if that is smaller). Fewer rows are a larger set: bounds over it hold; points must be checked with all rows.
    """
    length = np.sqrt(np.asarray((rows.G * rows.G).sum(axis=1)).reshape(-1))
    distance = np.divide(rows.h, length, out=np.zeros_like(rows.h), where=length > 0)
    nearest = np.min(np.abs(distance[distance != 0]), initial=1.0)
    return ~(_inequalities(rows.cones) & (distance >= FAR * nearest))


def some(rows: Rows, keep: BoolArray) -> Rows:
    """Return some of the inequalities, and everything else."""
    cones = Cones(rows.cones.zero, int(keep[_inequalities(rows.cones)].sum()), rows.cones.second_order)
    return Rows(sparse.csr_array(rows.G[np.flatnonzero(keep)]), rows.h[keep], cones)


def _inequalities(cones: Cones) -> BoolArray:
    places = np.arange(cones.rows)
    return (places >= cones.zero) & (places < cones.zero + cones.nonnegative)
