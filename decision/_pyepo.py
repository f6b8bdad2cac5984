"""Optimisation models of PyEPO as sets, and sets as models of PyEPO.

PyEPO minimises or maximises c'x for predicted c. A model of it is read as rows {x : A x <= b, E x = f, l <= x <= u},
of a portfolio as {x >= 0, sum x = 1, x'S x <= risk}. The other way round, a set becomes a model whose solver is
`decide` with the affine function c'x, so that every answer is certified.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from decision._options import RTOL
from decision.sets import ConicSet, Ellipsoid, FeasibleSet, Intersection, Polytope, Simplex
from socicnn._arrays import Array
from socicnn.errors import MissingExtra, ProgramError


class PyepoProblem(NamedTuple):
    """A model of PyEPO in the terms of `decide`.

    Args:
        feasible_set: the set, without the demand of whole numbers.
        integer: entries that must be whole, for `decide(..., integer=...)`.
        sign: 1 if the model minimises c'x, -1 if it maximises it; sign c'x is what `decide` minimises.
    """

    feasible_set: FeasibleSet | ConicSet
    integer: tuple[int, ...]
    sign: float


def from_pyepo(model: Any) -> PyepoProblem:
    """Return a PyEPO model's set, its whole entries and its sense.

    Read are models of OR-Tools' linear solvers (shortest path, knapsack and your own subclasses of `optOrtModel`),
    problems of PyEPO's modelling language without quadratic terms, compiled for any solver, portfolios of any solver,
    and what `to_pyepo` returns. Cuts of `addConstr` are among the rows. x has the entries of the model's solution, the
    predicted costs belong to the first of them.

    Args:
        model: an `optModel`.

    Raises:
        ProgramError: another model; or what a set and c'x do not hold: a quadratic term, known costs beside c'x,
            predicted costs of other entries than the first, variables of the solver that are not in the solution, a
            subclass that builds its rows itself (of OR-Tools' solvers they are read), a singular covariance.
    """
    sign = float(getattr(model, "modelSense", 1))
    if hasattr(model, "feasible_set"):
        return PyepoProblem(model.feasible_set, tuple(model.integer), sign)
    if hasattr(model, "problem"):
        _refuse_own_rows(model)
        return _of_problem(model, sign)
    if hasattr(model, "covariance"):
        _refuse_own_rows(model)
        return PyepoProblem(_portfolio(model), (), sign)
    if hasattr(getattr(model, "_model", None), "constraints") and hasattr(model, "_vars_list"):
        return _of_linear_solver(model, sign)
    raise ProgramError(
        f"no rows can be read from a {type(model).__name__}; read are models of OR-Tools' linear solvers, problems of "
        "PyEPO's modelling language and portfolios: write the set of another one as a Polytope"
    )


def to_pyepo(
    feasible_set: FeasibleSet | ConicSet,
    *,
    integer: Sequence[int] = (),
    maximise: bool = False,
    rtol: float = RTOL,
) -> Any:
    """Return a PyEPO `optModel` over a set, whose solutions are those of `decide`.

    Simplices, boxes, budgets and other sets with a linear oracle answer by it, exactly. Losses and metrics of PyEPO
    take the model like its own. `addConstr` and `relax` work.

    Args:
        feasible_set: a set that does not move with the context.
        integer: entries of x that must be whole, as in `decide`.
        maximise: whether c'x is maximised.
        rtol: relative accuracy that `decide` has to certify; a solution that is not certified raises SolverError.

    Raises:
        MissingExtra: PyEPO is not installed.
        ProgramError: the set moves with the context, or entries that it does not have.
    """
    try:
        from decision._pyepo_model import SetModel
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "pyepo":
            raise
        raise MissingExtra("models of PyEPO need the package pyepo: pip install 'socicnn[pyepo]'") from None
    return SetModel(feasible_set, integer=tuple(integer), maximise=maximise, rtol=rtol)


class _Table:
    """Rows low <= a'x <= high, gathered one after the other."""

    def __init__(self) -> None:
        self._a: list[Any] = []
        self._ends: list[tuple[Array, Array]] = []

    def add(self, a: Any, low: Any, high: Any) -> None:
        """Add rows; an infinite end is no bound."""
        matrix = sparse.csr_array(np.atleast_2d(a) if not sparse.issparse(a) else a)
        ends = [np.broadcast_to(np.asarray(end, dtype=np.float64), (matrix.shape[0],)) for end in (low, high)]
        self._a.append(matrix)
        self._ends.append((ends[0], ends[1]))

    def polytope(self, lower: Array, upper: Array) -> Polytope:
        """Return the polytope of the rows and bounds."""
        A = sparse.csr_array(sparse.vstack(self._a)) if self._a else sparse.csr_array((0, len(lower)))
        low, high = (np.concatenate([ends[k] for ends in self._ends] or [np.zeros(0)]) for k in (0, 1))
        equal = low == high
        above, below = np.isfinite(high) & ~equal, np.isfinite(low) & ~equal
        inequalities = sparse.vstack([A[above], -A[below]]), np.concatenate([high[above], -low[below]])
        parts = {"A": inequalities[0], "b": inequalities[1]} if (above | below).any() else {}
        parts |= {"E": A[equal], "f": low[equal]} if equal.any() else {}
        return Polytope(**parts, lower=lower, upper=upper)


def _cuts(model: Any, table: _Table) -> _Table:
    """Add what `addConstr` added."""
    for coefficients, right in model._extra_constrs:
        table.add(np.asarray(coefficients, dtype=np.float64), -np.inf, float(right))
    return table


def _refuse_own_rows(model: Any) -> None:
    """Refuse a subclass that builds its solver's model itself: rows that it adds there are not seen here."""
    made = getattr(type(model), "_getModel", None)
    if made is not None and made.__module__.partition(".")[0] != "pyepo":
        raise ProgramError(
            f"{type(model).__name__} builds its rows itself, in _getModel, where they are not read; write its set with "
            "a Polytope, of a portfolio as an Intersection of a Simplex, an Ellipsoid and a Polytope"
        )


def _of_problem(model: Any, sign: float) -> PyepoProblem:
    """Return a compiled problem of the modelling language; its rows are those that it was written in."""
    problem, table = model.problem, _Table()
    if problem.obj_Q is not None:
        raise ProgramError("a quadratic cost beside c'x is not read; write it as a network, and decide over the rows")
    if np.any(problem.fixed_cost):
        raise ProgramError(
            "the problem has known costs beside the predicted c'x, which no set holds; write it without them, and add "
            f"them to the coefficients that `decide` gets: {np.asarray(problem.fixed_cost).tolist()[:8]}"
        )
    if not np.array_equal(problem.c_pred_index, np.arange(len(problem.c_pred_index))):
        raise ProgramError(
            f"the predicted costs belong to the entries {np.asarray(problem.c_pred_index).tolist()[:8]} of x; write "
            "the problem with a variable of its own for them, so that they belong to the first entries in order"
        )
    for quadratic, A, sense, b in problem.constrs:
        if quadratic is not None:
            raise ProgramError("a quadratic constraint is not read; write the set with an Ellipsoid or a Ball")
        table.add(A, b if sense != "<=" else -np.inf, b if sense != ">=" else np.inf)
    kinds = [kind.value for kind in problem.var_type]
    binary = np.array([kind == "B" for kind in kinds])
    lower = np.where(binary, np.maximum(problem.var_lb, 0.0), problem.var_lb)
    upper = np.where(binary, np.minimum(problem.var_ub, 1.0), problem.var_ub)
    integer = tuple(place for place, kind in enumerate(kinds) if kind != "C")
    return PyepoProblem(_cuts(model, table).polytope(lower, upper), integer, sign)


def _of_linear_solver(model: Any, sign: float) -> PyepoProblem:
    """Return a model of OR-Tools' linear solvers; its rows are those that the solver holds, cuts among them."""
    variables, far = model._vars_list, model._model.infinity()
    if model._model.NumVariables() != len(variables):
        raise ProgramError(
            f"the solver has {model._model.NumVariables()} variables, the model's solution {len(variables)}: the rows "
            "of the others would be lost; return all of them from _getModel, with a cost of 0"
        )
    table = _Table()
    for row in model._model.constraints():
        entries = [row.GetCoefficient(variable) for variable in variables]
        table.add(entries, _finite(row.lb(), far), _finite(row.ub(), far))
    lower, upper = (
        np.array([_finite(end, far) for end in ends])
        for ends in ([variable.lb() for variable in variables], [variable.ub() for variable in variables])
    )
    integer = tuple(place for place, variable in enumerate(variables) if variable.integer())
    return PyepoProblem(table.polytope(lower, upper), integer, sign)


def _finite(end: float, far: float) -> float:
    """Return an end of a row as it is, or infinity if the solver means that."""
    return float(np.copysign(np.inf, end)) if abs(end) >= far else end


def _portfolio(model: Any) -> Intersection:
    """Return {x >= 0, sum x = 1, x'S x <= risk}, with the Cholesky factor S = L L'."""
    S = np.asarray(model.covariance, dtype=np.float64)
    try:
        L = np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        raise ProgramError("the portfolio has a singular covariance; add a small multiple of the identity") from None
    sets: list[FeasibleSet | ConicSet] = [
        Simplex(len(S)),
        Ellipsoid(np.linalg.inv(L.T), radius=np.sqrt(float(model.risk_level))),
    ]
    if model._extra_constrs:
        sets.append(_cuts(model, _Table()).polytope(np.full(len(S), -np.inf), np.full(len(S), np.inf)))
    return Intersection(sets)
