"""The true optimum of a task: CVXPY's answers, judged by the true cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from decision._parametric import SETTINGS, Coefficients, ParametricProgram, others_than, require
from socicnn._arrays import as_float64
from socicnn.errors import ModelError, SolverError

if TYPE_CHECKING:
    from decision.tasks._task import Task

# An answer is taken by itself up to this Frank-Wolfe gap, relative to 1 + |F|; F is then far nearer to the optimum,
# because the gap is of first order in the error of x and F of second.
_CERTIFIED = 1e-4


class Optimiser:
    """Solves a task's program for context after context.

    An answer counts by its Frank-Wolfe gap on the true cost; where that is large, as at a norm's kink, whose gradient
    proves nothing, a second run must come to the same cost.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._program = ParametricProgram(
            f"the optimum of {task.name}",
            task.feasible_set,
            [(task.atom, as_float64(block.A)) for block in task.blocks],
            r=as_float64(task.quad**0.5 * task.w),
        )

    def solve(
        self, context: Any, solver: str, cross_check: str | None, tolerance: float, progress: bool, settings: Any
    ) -> tuple[Tensor, Tensor]:
        """Return what `Task.optimum` promises."""
        task = self._task
        theta = torch.tensor(as_float64(context, "context"))
        if theta.ndim != 2 or theta.shape[1] != task.context_features or not theta.isfinite().all():
            raise ModelError(
                f"context must be finite, of shape (contexts, {task.context_features}); received {tuple(theta.shape)}"
            )
        for name in {solver, cross_check} - {None}:
            require(str(name))
        tight, plain = SETTINGS[solver]
        # a second solver that checks must not be the first as well
        others = others_than(solver) if cross_check is None and not settings else []
        with tqdm(total=len(theta), desc=f"optimum of {task.name}", disable=not progress) as bar:
            x, F = self._run(theta, solver, ({**tight, **settings}, {**plain, **settings}), bar.update, others=others)
        if cross_check is not None:
            self._compare(F, solver, self._run(theta, cross_check, SETTINGS[cross_check])[1], tolerance)
            return x, F
        doubtful = (task.gap(x, theta) > _CERTIFIED * (1 + F.abs())).nonzero()[:, 0]
        if len(doubtful):
            again = self._run(theta[doubtful], solver, (plain,), others=others[::-1])[1]
            self._compare(F[doubtful], solver, again, tolerance, doubtful)
        return x, F

    def _run(
        self,
        theta: Tensor,
        solver: str,
        attempts: tuple[dict[str, Any], ...],
        tick: Any = None,
        *,
        others: Sequence[str] = (),
    ) -> tuple[Tensor, Tensor]:
        task = self._task
        coefficients = Coefficients(
            g=as_float64(task.linear(theta) - task.quad * task.w**2 * task.centre(theta)),
            s=tuple(as_float64(block.offset(theta)) for block in task.blocks),
            beta=tuple(as_float64(block.weight(theta)) for block in task.blocks),
        )
        x = torch.tensor(self._program.solve(coefficients, solver, attempts, tick, others=others))
        members = task.feasible_set.project(x)
        return members, task.cost(members, theta)

    def _compare(self, F: Tensor, solver: str, other: Tensor, tolerance: float, index: Tensor | None = None) -> None:
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
