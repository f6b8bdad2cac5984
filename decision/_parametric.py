"""A convex program with a context's numbers as CVXPY parameters: compiled once, solved for context after context.

min_x  1/2 ||r x||^2 + g'x + sum_k beta_k't_k     s.t.   atom_k(A_k x - s_k) <= t_k,   x in X
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cvxpy as cp
import numpy as np

from decision._atoms import Atom
from decision.sets import FeasibleSet
from socicnn._arrays import Array
from socicnn._registry import choose
from socicnn.errors import MissingExtra, SolverError

ParametricSolver = Literal["clarabel", "ecos", "scs"]

# Tight settings, tried first, and looser ones. Clarabel rarely meets 1e-10 by its own account, but its answer there has
# 10 % of the Frank-Wolfe gap of the one at its default of 1e-8.
SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "clarabel": ({"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}, {}),
    "ecos": ({"abstol": 1e-9, "reltol": 1e-9, "feastol": 1e-9}, {}),
    "scs": tuple({"eps_abs": eps, "eps_rel": eps, "max_iters": 100_000} for eps in (1e-8, 1e-6)),
}


def require(solver: str) -> None:
    """Check that a solver is known and installed.

    Raises:
        ModelError: its name is unknown.
        MissingExtra: it is not installed.
    """
    choose("solver", solver, SETTINGS)
    if solver.upper() not in cp.installed_solvers():
        raise MissingExtra(f"{solver} is not installed; install it with `pip install 'socicnn[{solver}]'`")


def others_than(solver: str) -> list[str]:
    """Return the other solvers that are installed."""
    return [name for name in SETTINGS if name != solver and name.upper() in cp.installed_solvers()]


@dataclass(frozen=True, eq=False)
class Coefficients:
    """The numbers of the program, one row per context.

    Args:
        g: linear cost, shape `(contexts, n)`.
        s: offsets of each block, shape `(contexts, rows)`.
        beta: weights >= 0 of each block, shape `(contexts, rows)` if its atom is elementwise, else `(contexts, 1)`.
        r: scales of the quadratic, shape `(contexts, n)`; None if they do not depend on the context.
    """

    g: Array
    s: tuple[Array, ...]
    beta: tuple[Array, ...]
    r: Array | None = None


@dataclass(frozen=True, eq=False)
class _Compiled:
    problem: cp.Problem
    x: cp.Variable
    g: cp.Parameter
    s: tuple[cp.Parameter, ...]
    beta: tuple[cp.Parameter, ...]
    r: cp.Parameter | None


class ParametricProgram:
    """The program of a set and blocks of atoms; its parameters are those of `Coefficients`.

    Args:
        name: what it minimises, for messages.
        feasible_set: the set X.
        blocks: atom and matrix A, shape `(rows, n)`, of each block.
        r: scales of the quadratic, shape `(n,)`, or None if each context has its own.
    """

    def __init__(
        self, name: str, feasible_set: FeasibleSet, blocks: Sequence[tuple[Atom, Array]], r: Array | None
    ) -> None:
        self._name, self._set, self._blocks, self._r = name, feasible_set, tuple(blocks), r
        self._compiled: dict[str, _Compiled] = {}  # one per solver: CVXPY keeps the compiled form of the last one only

    def solve(
        self,
        coefficients: Coefficients,
        solver: str,
        attempts: Sequence[dict[str, Any]],
        tick: Callable[[], Any] | None = None,
        *,
        others: Sequence[str] = (),
        failures: dict[int, str] | None = None,
    ) -> Array:
        """Return the solver's x for each context, shape `(contexts, n)`.

        An answer that the solver itself calls inaccurate is returned too, because at the tight settings most are: judge
        the answers by the function that was to be minimised.

        Args:
            coefficients: the numbers.
            solver: a name of `SETTINGS`.
            attempts: settings to try in turn until one ends at a solution.
            tick: called after each context.
            others: further solvers for a context that the first cannot solve, in their order; see `others_than`.
            failures: receives the message of each context that has no solution, whose x is NaN; if omitted, the first
                such context raises.

        Raises:
            SolverError: no attempt ended at a solution.
        """
        require(solver)
        tried: list[tuple[str, Sequence[dict[str, Any]]]] = [(solver, attempts)]
        tried += [(name, SETTINGS[name]) for name in others]
        x = np.empty_like(coefficients.g)
        for i in range(len(x)):
            try:
                x[i] = self._solve_one(coefficients, i, tried)
            except SolverError as error:
                if failures is None:
                    raise
                x[i], failures[i] = np.nan, str(error)
            if tick is not None:
                tick()
        return x

    def _solve_one(
        self, coefficients: Coefficients, i: int, tried: Sequence[tuple[str, Sequence[dict[str, Any]]]]
    ) -> Any:
        """Return x of context i by the first solver that has one; raise the error of the first solver if none has."""
        errors: list[SolverError] = []
        for solver, attempts in tried:
            try:
                return self._attempt(self._at(coefficients, i, solver), solver, attempts)
            except SolverError as error:
                errors.append(error)
        raise errors[0]

    def _at(self, coefficients: Coefficients, i: int, solver: str) -> _Compiled:
        """Return the program compiled for a solver, with the numbers of context i."""
        if solver not in self._compiled:
            self._compiled[solver] = self._compile()
        program = self._compiled[solver]
        program.g.value = coefficients.g[i]
        if program.r is not None and coefficients.r is not None:
            program.r.value = coefficients.r[i]
        for s, beta, s_value, beta_value in zip(
            program.s, program.beta, coefficients.s, coefficients.beta, strict=True
        ):
            s.value, beta.value = s_value[i], beta_value[i]
        return program

    def _attempt(self, program: _Compiled, solver: str, attempts: Sequence[dict[str, Any]]) -> Any:
        status = ""
        for settings in attempts:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # CVXPY's word about accuracy: the caller judges that
                    program.problem.solve(solver=solver.upper(), warm_start=False, **settings)
            except cp.SolverError as error:
                status = str(error)
            else:
                status = str(program.problem.status)
                if status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
                    return program.x.value
        raise SolverError(f"{solver} did not solve {self._name}: {status}; try another solver or looser settings")

    def _compile(self) -> _Compiled:
        n = self._set.n
        x, g = cp.Variable(n), cp.Parameter(n)
        r = cp.Parameter(n, nonneg=True) if self._r is None else None
        objective = 0.5 * cp.sum_squares(cp.multiply(self._r if r is None else r, x)) + g @ x
        constraints = self._set.constraints(x)
        offsets, weights = [], []
        for atom, A in self._blocks:
            size = len(A) if atom.elementwise else 1
            s, beta, t = cp.Parameter(len(A)), cp.Parameter(size, nonneg=True), cp.Variable(size)
            constraints.append(atom.expression(A @ x - s) <= t)
            objective = objective + beta @ t
            offsets.append(s)
            weights.append(beta)
        problem = cp.Problem(cp.Minimize(objective), constraints)
        assert problem.is_dcp(dpp=True), "the program must be compiled once for all contexts"
        return _Compiled(problem, x, g, tuple(offsets), tuple(weights), r)
