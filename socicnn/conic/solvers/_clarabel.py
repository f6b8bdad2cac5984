"""Clarabel, the default: an interior-point method for linear, second-order and exponential cones."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._conic_data import ConicData
from socicnn.conic.solvers._base import Answer, Engine, Solver, Verdict, sentence
from socicnn.errors import SolverError


@final
class Clarabel(Solver):
    """The interior-point solver Clarabel; settings are the fields of its `DefaultSettings`.

    Source: Goulart and Chen, Clarabel: An interior-point solver for conic programs with quadratic objectives (2024).
    """

    name = "clarabel"
    label = "Clarabel"
    package = "clarabel"

    def engine(self, program: ConicData) -> Engine:
        """Set Clarabel up; b and c are updated in place afterwards, which was faster than another set-up."""
        return self.quadratic_engine(program, sparse.csc_matrix((program.A.shape[1], program.A.shape[1])))

    def quadratic_engine(self, program: ConicData, P: Any) -> Engine:
        """Set Clarabel up for min v'Pv / 2 + c'v; P is symmetric, a sparse matrix."""
        clarabel = self.module()
        options = clarabel.DefaultSettings()
        options.verbose = False
        options.presolve_enable = False  # presolve forbids updates
        if self.time_limit is not None:
            options.time_limit = self.time_limit
        for key, value in self.settings.items():
            if not hasattr(options, key):
                raise SolverError(f"Clarabel has no setting '{key}'; its settings are the fields of DefaultSettings")
            try:
                setattr(options, key, value)
            except (TypeError, ValueError, OverflowError) as error:
                raise SolverError(f"Clarabel does not take {key}={value!r}: {error}") from error
        return _Engine(clarabel, program, sparse.csc_matrix(sparse.triu(P)), options)


class _Engine(Engine):
    def __init__(self, clarabel: Any, program: ConicData, P: Any, options: Any) -> None:
        cones = program.cones
        kinds = [clarabel.ZeroConeT(cones.zero)] if cones.zero else []
        kinds += [clarabel.NonnegativeConeT(cones.nonnegative)] if cones.nonnegative else []
        kinds += [clarabel.SecondOrderConeT(size) for size in cones.second_order]
        kinds += [clarabel.ExponentialConeT()] * cones.exponential  # entries (x, y, s), as here
        A = sparse.csc_matrix(program.A)
        try:
            self._solver = clarabel.DefaultSolver(P, program.c, A, program.b, kinds, options)
        except BaseException as error:  # its panics are not Exceptions
            raise SolverError(f"Clarabel refused the program or its settings: {error}") from error

    def run(self, b: Array, c: Array) -> Answer:
        """Move b and c, then solve."""
        self._solver.update(b=b, q=c)
        solution = self._solver.solve()
        status = str(solution.status)
        verdict, reason = _VERDICTS.get(status, ("failed", f"it reports {status}"))
        has_point = verdict in ("optimal", "almost", "limit") or status == "InsufficientProgress"
        v, y = (np.array(solution.x), np.array(solution.z)) if has_point else (None, None)
        return Answer(verdict, sentence(verdict, solution.iterations, reason), v, y, solution.solve_time)


_VERDICTS: dict[str, tuple[Verdict, str]] = {
    "Solved": ("optimal", ""),
    "AlmostSolved": ("almost", ""),
    "PrimalInfeasible": ("infeasible", ""),
    "AlmostPrimalInfeasible": ("infeasible", ""),
    "DualInfeasible": ("unbounded", ""),
    "AlmostDualInfeasible": ("unbounded", ""),
    "MaxIterations": ("limit", "iteration"),
    "MaxTime": ("limit", "time"),
    "InsufficientProgress": ("failed", "it made no more progress"),
    "NumericalError": ("failed", "numerical breakdown"),
}
