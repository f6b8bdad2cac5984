"""A CVXPY problem as arrays: CVXPY's own cone form, which is trusted.

What is proven about an optimum is proven for these arrays: that they describe the problem is CVXPY's part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._cones import Cones
from socicnn.conic._conic_data import ConicData
from socicnn.errors import ProgramError
from verify._optimum.altered import altered
from verify._optimum.mixed import MixedProgram
from verify._optimum.program import QuadraticProgram
from verify._optimum.unvalued import lacking, unvalued

Form = Literal["auto", "quadratic", "cones"]


def canonical(problem: Any, *, quadratic: bool) -> tuple[QuadraticProgram | MixedProgram, float, tuple[str, ...]]:
    """Return min v'Pv / 2 + c'v + offset s.t. A v + s = b, s in K, the sign of the problem's objective, and notes.

    If variables are integers or booleans, the program says so.

    Args:
        problem: a `cvxpy.Problem`.
        quadratic: leave quadratic terms of the objective in P; otherwise they become cones.

    Raises:
        ProgramError: it is not a convex problem, has no variables, parameters without values or other cones, its
            data are not finite, or the cone form is another problem (see `altered`).
    """
    import cvxpy as cp

    if not isinstance(problem, cp.Problem):
        raise ProgramError(f"optimum takes a cvxpy.Problem; received {type(problem).__name__}")
    empty = lacking(problem)
    if empty:
        raise ProgramError(f"parameters without a value: {', '.join(empty)}; set them first")
    if not problem.variables():
        raise ProgramError("the problem has no variables: nothing is minimised; read problem.objective.value")
    try:
        solver = _relaxing() if problem.is_mixed_integer() else cp.CLARABEL
        with unvalued(problem):
            data, _, inverse = problem.get_problem_data(solver, solver_opts={"use_quad_obj": quadratic})
    except (cp.error.SolverError, cp.error.DCPError, ValueError) as error:
        if not problem.is_dcp():
            wrong = "the problem must be convex by CVXPY's rules (DCP); problem.is_dcp() is False"
            raise ProgramError(wrong) from error
        raise ProgramError(f"CVXPY cannot write the problem in cone form: {error}") from error
    dims = data["dims"]
    other = [name for name in ("psd", "p3d", "pnd") if getattr(dims, name, None)]
    if other:
        raise ProgramError(
            "optimum takes linear and quadratic problems and those of second-order and exponential cones; this one "
            f"needs other cones ({', '.join(other)})"
        )
    matrix = sparse.csc_array(data["A"], dtype=np.float64)
    matrix.eliminate_zeros()
    n = matrix.shape[1]
    P = sparse.csr_array((n, n)) if data.get("P") is None else _symmetric(sparse.csr_array(data["P"]))
    vectors: dict[str, Array] = {name: np.asarray(data[name], dtype=np.float64).reshape(-1) for name in ("b", "c")}
    offset = float(inverse[-1][cp.settings.OFFSET])
    cones = Cones(int(dims.zero), int(dims.nonneg), tuple(map(int, dims.soc)), int(dims.exp))
    matrix, vectors["b"], cones = _without_infinite(matrix, vectors["b"], cones)
    for name, array in (("A", matrix.data), ("P", P.data), *vectors.items(), ("the constant", np.array(offset))):
        if not np.isfinite(array).all():
            raise ProgramError(
                f"{name} of the problem has non-finite entries; check its constants and parameters (only upper bounds "
                "may be +inf, and lower bounds -inf)"
            )
    sign = -1.0 if isinstance(problem.objective, cp.Maximize) else 1.0
    program = QuadraticProgram(ConicData(matrix, vectors["b"], vectors["c"], offset, cones), P)
    note = altered(problem, quadratic=quadratic)
    stacked = data["param_prob"].x  # CVXPY may add booleans: FiniteSet, of which is_mixed_integer() knows nothing
    mixed = _mixed(program, stacked) if stacked.integer_idx or stacked.boolean_idx else program
    return mixed, sign, (note,) if note else ()


def _without_infinite(A: sparse.csc_array, b: Array, cones: Cones) -> tuple[sparse.csc_array, Array, Cones]:
    """Return the rows without inequalities a'v <= infinity, which hold everywhere."""
    planes = np.arange(len(b)) - cones.zero
    idle = (b == np.inf) & (planes >= 0) & (planes < cones.nonnegative)
    if not idle.any():
        return A, b, cones
    left = replace(cones, nonnegative=cones.nonnegative - int(idle.sum()))
    return sparse.csc_array(sparse.csr_array(A)[~idle]), b[~idle], left


def _relaxing() -> Any:
    """Return a solver for CVXPY that takes integers; it only writes the data."""
    from cvxpy.reductions.solvers.conic_solvers.clarabel_conif import CLARABEL

    class Relaxing(CLARABEL):
        MIP_CAPABLE = True
        MI_SUPPORTED_CONSTRAINTS = CLARABEL.SUPPORTED_CONSTRAINTS

        def name(self) -> str:
            return "SOCICNN_RELAXING"

    return Relaxing()


def _mixed(program: QuadraticProgram, x: Any) -> MixedProgram:
    """Return a program with the integers and booleans among CVXPY's stacked variables."""
    integer, boolean = ([int(at[0]) for at in part] for part in (x.integer_idx, x.boolean_idx))
    columns = np.unique(np.asarray([*integer, *boolean], dtype=np.int64))
    binary = np.isin(columns, boolean)
    return MixedProgram(program, columns, np.where(binary, 0.0, -np.inf), np.where(binary, 1.0, np.inf))


def whole_start(problem: Any, mixed: MixedProgram) -> Array | None:
    """Return the integers that the last solve of a problem gave to a mixed program, None if it gave none."""
    with unvalued(problem):
        data = problem.get_problem_data(_relaxing())[0]["param_prob"]
    v = np.full(mixed.conic.A.shape[1], np.nan)
    for variable in problem.variables():
        at = data.var_id_to_col.get(variable.id)
        if at is not None and variable.value is not None:
            v[at : at + variable.size] = np.asarray(variable.value, dtype=np.float64).reshape(-1, order="F")
    start: Array = v[mixed.integers]
    return start if np.isfinite(start).all() else None


def _symmetric(P: sparse.csr_array) -> sparse.csr_array:
    """Return the symmetric matrix of the same quadratic form: CVXPY leaves P as the user gave it, nearly symmetric."""
    if P.nnz and abs(P - P.T).max() != 0.0:
        P = sparse.csr_array((P + P.T) / 2.0)
    P.eliminate_zeros()
    return P
