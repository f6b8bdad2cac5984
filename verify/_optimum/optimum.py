"""Prove the optimum of a CVXPY problem."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np

from socicnn._integers import is_number
from socicnn.conic.solvers import Solver, SolverName, make
from socicnn.errors import ProgramError
from verify._optimum.canonical import Form, canonical, whole_start
from verify._optimum.mixed import MixedProgram, TreeWitness
from verify._optimum.program import OptimumWitness, QuadraticProgram
from verify._optimum.prove import prove, prove_tree
from verify._optimum.result import Kind, ProvenOptimum
from verify._optimum.search import search
from verify._optimum.search_tree import planes_of, search_tree


def optimum(
    problem: Any,
    *,
    solver: SolverName | Literal["auto"] | Solver = "auto",
    form: Form = "auto",
    time_limit: float | None = None,
) -> ProvenOptimum:
    """Return lo <= optimal value <= hi of a problem, in real arithmetic; second-order and exponential cones included.

    The lower end is weak duality with multipliers that are feasible for sure; the upper end is the objective at a point
    that is. Both start from a solve of CVXPY's cone form; no word of a solver is part of the proof. That the cone form
    is the problem is CVXPY's part. If the problem was solved before, its value is compared with the bracket; where
    parameters have changed since, it is that of their values then.

    Variables may be integers or booleans: branch and bound splits the problem into cases, each of which has its own
    multipliers, and the least of their bounds is the lower end. The integers of an earlier solve are tried first.

    Args:
        problem: a `cvxpy.Problem`, networks inside or not, solved or not.
        solver: where the search for a proof begins: the name of a solver of cones, or a `Solver`. "auto" takes
            Clarabel, and with integers HiGHS as well, for linear programs with cutting planes, if it is installed.
        form: quadratic terms of the objective stay `quadratic`, or become `cones`; `auto` is the first, and the second
            if the matrix of the terms is not proven convex.
        time_limit: seconds that branch and bound may take; cases that are open then count with what is proven of them.

    Returns:
        The bracket. An end without a proof is infinite, and a sentence says why.

    Raises:
        ProgramError: the problem is not convex by CVXPY's rules, has other cones, or lacks values; or time_limit is not
            positive.
        MissingExtra: the solver is not installed.
        SolverError: the solver cannot take this kind of program (HiGHS and cones).

    >>> import cvxpy as cp
    >>> x = cp.Variable(2)
    >>> result = optimum(cp.Problem(cp.Minimize(x[0] + 2 * x[1]), [x >= 0, cp.sum(x) == 1]))
    >>> result.lo <= 1.0 <= result.hi, result.gap < 1e-9
    (True, True)
    """
    if form not in get_args(Form):
        raise ProgramError(f"form must be one of {', '.join(get_args(Form))}; received {form!r}")
    if time_limit is not None and not (is_number(time_limit) and time_limit > 0):
        raise ProgramError(f"time_limit must be a positive number of seconds; received {time_limit!r}")
    program, sign, notes = canonical(problem, quadratic=form != "cones")
    if form == "auto" and not _convex(program):
        program, sign, notes = canonical(problem, quadratic=False)
    chosen = make("clarabel" if solver == "auto" else solver)
    name = chosen.label
    witness: OptimumWitness | TreeWitness
    if isinstance(program, MixedProgram):
        start = None if problem.value is None else whole_start(problem, program)
        cuts = planes_of(program) if solver == "auto" else None
        witness, least, early = search_tree(program, chosen, cuts, start=start, time_limit=time_limit or np.inf)
        name = name if cuts is None else f"HiGHS and {name}"
        proof = prove_tree(program, witness)
        notes += (f"branch and bound was ended by {early}",) if early else ()
    else:
        witness, solution = search(program, chosen)
        proof, least = prove(program, witness), solution.value
    lo, hi = (proof.lo, proof.hi) if sign > 0 else (-proof.hi, -proof.lo)
    value = sign * least
    if problem.value is not None:
        stats = problem.solver_stats
        value, name = float(problem.value), getattr(stats, "solver_name", None) or "CVXPY"
    kind: Kind = proof.kind  # type: ignore[assignment]
    notes += (proof.reason,) if proof.reason else ()
    result = ProvenOptimum(lo, hi, value, proof.size, kind, name, notes, program, sign, witness)
    if problem.value is not None and problem.parameters() and not result.agreed:  # perhaps they have changed since
        return replace(result, solver=f"{name}, of the parameters that it was given,")
    return result


def _convex(program: QuadraticProgram | MixedProgram) -> bool:
    """Return whether P is convex for sure, up to what bounds of the variables absorb."""
    D = (program.relaxed if isinstance(program, MixedProgram) else program).curvature
    return D is not None and bool(np.all(D >= 0.0))
