"""The true optimum of a task through CVXPY: one program with the context's numbers as parameters, compiled once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cvxpy as cp
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from socicnn.arrays import Array, as_float64
from socicnn.errors import MissingExtra, ModelError, SolverError

if TYPE_CHECKING:
    from decision.tasks.task import Task

# Tight settings, tried first, and looser ones. Clarabel rarely meets 1e-10 by its own account,
# but its answer there has a tenth of the Frank-Wolfe gap of the one at its default of 1e-8.
_SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "clarabel": ({"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}, {}),
    "ecos": ({"abstol": 1e-9, "reltol": 1e-9, "feastol": 1e-9}, {}),
    "scs": tuple({"eps_abs": eps, "eps_rel": eps, "max_iters": 100_000} for eps in (1e-8, 1e-6)),
}
# An answer is taken by itself up to this Frank-Wolfe gap, relative to 1 + |F|; F is then far nearer to the optimum,
# because the gap is of first order in the error of x and F of second.
_CERTIFIED = 1e-4


@dataclass(frozen=True, eq=False)
class _Program:
    """The compiled program: g, s, beta are CVXPY parameters; the constant of the quadratic is left out."""

    problem: cp.Problem
    x: cp.Variable
    g: cp.Parameter
    s: tuple[cp.Parameter, ...]
    beta: tuple[cp.Parameter, ...]


class Optimiser:
    """Solves a task's program for context after context, and judges the answers by the true cost.

    min_x  quad/2 ||w x||^2 + g'x + sum beta't   s.t.   atom(A x - s) <= t,   x in X,      g = c - quad w^2 m

    A solver's status is not asked. An answer counts by its Frank-Wolfe gap on the true cost; where that is large, as at
    a norm's kink, whose gradient proves nothing, a second run must come to the same cost.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._programs: dict[str, _Program] = {}  # one a solver: CVXPY keeps the compiled form of the last solver only

    def solve(
        self, context: Any, solver: str, cross_check: str | None, tolerance: float, progress: bool, settings: Any
    ) -> tuple[Tensor, Tensor]:
        """Return what `Task.optimum` promises."""
        task = self._task
        theta = torch.as_tensor(as_float64(context))
        if theta.ndim != 2 or theta.shape[1] != task.context_features or not theta.isfinite().all():
            raise ModelError(
                f"context must be finite, of shape (contexts, {task.context_features}); received {tuple(theta.shape)}"
            )
        for name in {solver, cross_check} - {None}:
            _require(str(name))
        tight, plain = _SETTINGS[solver]
        bar = tqdm(total=len(theta), desc=f"optimum of {task.name}", disable=not progress)
        with bar:
            x, F = self._run(theta, solver, ({**tight, **settings}, {**plain, **settings}), bar)
        if cross_check is not None:
            self._compare(theta, F, solver, self._run(theta, cross_check, _SETTINGS[cross_check])[1], tolerance)
            return x, F
        doubtful = (task.gap(x, theta) > _CERTIFIED * (1 + F.abs())).nonzero()[:, 0]
        if len(doubtful):
            again = self._run(theta[doubtful], solver, (plain,))[1]
            self._compare(theta[doubtful], F[doubtful], solver, again, tolerance, doubtful)
        return x, F

    def _run(
        self, theta: Tensor, solver: str, attempts: tuple[dict[str, Any], ...], bar: Any = None
    ) -> tuple[Tensor, Tensor]:
        x = np.empty((len(theta), self._task.in_features))
        for i, row in enumerate(theta):
            x[i] = self._solve_one(row, solver, attempts)
            if bar is not None:
                bar.update()
        members = self._task.feasible_set.project(torch.tensor(x))
        return members, self._task.cost(members, theta)

    def _compare(
        self, theta: Tensor, F: Tensor, solver: str, other: Tensor, tolerance: float, index: Tensor | None = None
    ) -> None:
        difference = (F - other).abs() / (1 + F.abs())
        if bool((difference <= tolerance).all()):
            return
        worst = int(difference.argmax())
        at = worst if index is None else int(index[worst])
        raise SolverError(
            f"two answers for the optimum of {self._task.name} at context {at} differ by "
            f"{float(difference[worst]):.1e} (relative; {solver} found {float(F[worst]):.9g}); try another solver or "
            "raise `tolerance`"
        )

    def _solve_one(self, theta: Tensor, solver: str, attempts: tuple[dict[str, Any], ...]) -> Array:
        if solver not in self._programs:
            self._programs[solver] = self._compile()
        program, task = self._programs[solver], self._task
        program.g.value = (task.linear(theta) - task.quad * task.w**2 * task.center(theta)).numpy()
        for block, s, beta in zip(task.blocks, program.s, program.beta, strict=True):
            s.value, beta.value = block.offset(theta).numpy(), block.weight(theta).numpy()
        status = ""
        for settings in attempts:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # CVXPY's word about accuracy: the true cost judges that
                    program.problem.solve(solver=solver.upper(), warm_start=False, **settings)
            except cp.SolverError as error:
                status = str(error)
            else:
                status = str(program.problem.status)
                if program.x.value is not None and np.isfinite(program.x.value).all():
                    return as_float64(program.x.value)
        raise SolverError(f"{solver} did not solve {task.name}: {status}; try another solver or looser settings")

    def _compile(self) -> _Program:
        task = self._task
        x, g = cp.Variable(task.in_features), cp.Parameter(task.in_features)
        objective = 0.5 * task.quad * cp.sum_squares(cp.multiply(task.w.numpy(), x)) + g @ x
        constraints = task.feasible_set.constraints(x)
        offsets, weights = [], []
        for block in task.blocks:
            s, beta = cp.Parameter(block.offset.size), cp.Parameter(block.weight.size, nonneg=True)
            t = cp.Variable(block.weight.size)
            constraints.append(task.atom.expression(block.A.numpy() @ x - s) <= t)
            objective = objective + beta @ t
            offsets.append(s)
            weights.append(beta)
        problem = cp.Problem(cp.Minimize(objective), constraints)
        assert problem.is_dcp(dpp=True), "the program must be compiled once for all contexts"
        return _Program(problem, x, g, tuple(offsets), tuple(weights))


def _require(solver: str) -> None:
    if solver not in _SETTINGS:
        raise ModelError(f"unknown solver {solver!r} for the true optimum; choose one of {', '.join(_SETTINGS)}")
    if solver.upper() not in cp.installed_solvers():
        raise MissingExtra(f"{solver} is not installed; install it with `pip install 'socicnn[{solver}]'`")
