"""HiGHS: a simplex method for linear programs, so for networks of ReLU units alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from typing import Any, final

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._conic_data import ConicData
from socicnn.conic.solvers._base import Answer, Engine, Solver, Verdict, sentence
from socicnn.errors import SolverError

LEAST = 1e-12  # entries up to this size are dropped by HiGHS: the least that it allows (its default is 1e-9)


@final
class Highs(Solver):
    """The simplex solver HiGHS; settings are its options. It takes linear programs alone.

    Source: Huangfu and Hall, Parallelizing the dual revised simplex method (Mathematical Programming Computation 2018).
    """

    name = "highs"
    label = "HiGHS"
    package = "highspy"

    def engine(self, program: ConicData) -> Engine:
        """Pass the matrix once; bounds and costs move afterwards, and the last basis is the next start."""
        if program.cones.nonlinear:
            raise SolverError(
                f"HiGHS solves linear programs; this one has {program.cones.nonlinear}; choose clarabel, ecos or scs"
            )
        highspy, solver = model(self, program)
        return _Engine(highspy, solver, program, self.time_limit)


def model(asked: Highs, program: ConicData) -> tuple[Any, Any]:
    """Return highspy and a model of it that holds a linear program.

    Args:
        asked: the solver with its options.
        program: without second-order cones.
    """
    highspy = asked.module()
    _greet(highspy)
    solver = highspy.Highs()
    options = {"output_flag": False, "small_matrix_value": LEAST, **asked.settings}
    for key, value in options.items():
        try:
            taken = solver.setOptionValue(key, value)
        except TypeError:
            taken = highspy.HighsStatus.kError
        if taken == highspy.HighsStatus.kError:
            raise SolverError(f"HiGHS does not take the option {key}={value!r}")
    least = solver.getOptionValue("small_matrix_value")[1]
    sizes = np.abs(program.A.data)
    dropped = sizes[(sizes > 0) & (sizes <= least)]
    if len(dropped):
        raise SolverError(
            f"HiGHS would drop {len(dropped)} entries of A of size at most {dropped.max():.1e} (its option "
            f"small_matrix_value is {least:g}) and solve another program; choose clarabel, ecos or scs"
        )
    if solver.passModel(linear_model(highspy, program)) == highspy.HighsStatus.kError:
        raise SolverError("HiGHS refused the program; entries of A beyond 1e15 are too large for it")
    return highspy, solver


@cache
def _greet(highspy: Any) -> None:
    """Make a first solver in silence: highspy 1.16 prints two lines then, before any option can be set."""
    with _silence():
        highspy.Highs()


@contextmanager
def _silence() -> Iterator[None]:
    """Send what C code writes to the standard output nowhere."""
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is no standard output
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def linear_model(highspy: Any, program: ConicData) -> Any:
    """Return a program without second-order cones as a HighsLp: equality rows A v = b, then rows A v <= b."""
    m, variables = program.A.shape
    A = sparse.csc_array(program.A)
    infinity = highspy.kHighsInf
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = variables, m
    lp.col_cost_, lp.offset_ = program.c, program.offset
    lp.col_lower_, lp.col_upper_ = np.full(variables, -infinity), np.full(variables, infinity)
    lp.row_lower_ = np.concatenate([program.b[: program.cones.zero], np.full(m - program.cones.zero, -infinity)])
    lp.row_upper_ = program.b
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = A.indptr, A.indices, A.data
    return lp


class _Engine(Engine):
    def __init__(self, highspy: Any, solver: Any, program: ConicData, time_limit: float | None) -> None:
        self._time_limit = time_limit
        self._highspy = highspy
        self._solver = solver
        self._zero = program.cones.zero
        self._rows = np.arange(program.A.shape[0], dtype=np.int32)
        self._columns = np.arange(program.A.shape[1], dtype=np.int32)

    def run(self, b: Array, c: Array) -> Answer:
        """Move the bounds and costs, then start from the last basis."""
        solver = self._solver
        lower = np.where(self._rows < self._zero, b, -self._highspy.kHighsInf)
        solver.changeRowsBounds(len(b), self._rows, lower, b)
        solver.changeColsCost(len(c), self._columns, c)
        status = self._highspy.HighsModelStatus
        if self._time_limit is not None:  # its clock runs on from solve to solve
            solver.setOptionValue("time_limit", solver.getRunTime() + self._time_limit)
        started = perf_counter()
        solver.run()
        if solver.getModelStatus() == status.kUnboundedOrInfeasible:  # presolve alone cannot say which of the two
            chosen = solver.getOptionValue("presolve")[1]
            solver.setOptionValue("presolve", "off")
            solver.run()
            solver.setOptionValue("presolve", chosen)
        seconds = perf_counter() - started
        ended = solver.getModelStatus()
        verdicts: dict[Any, tuple[Verdict, str]] = {
            status.kOptimal: ("optimal", ""),
            status.kInfeasible: ("infeasible", ""),
            status.kUnbounded: ("unbounded", ""),
            status.kTimeLimit: ("limit", "time"),
            status.kIterationLimit: ("limit", "iteration"),
        }
        verdict, reason = verdicts.get(ended, ("failed", f"it reports '{solver.modelStatusToString(ended)}'"))
        v = y = None
        if verdict == "optimal":
            solution = solver.getSolution()
            v, y = np.array(solution.col_value), -np.array(solution.row_dual)
        else:
            solver.clearSolver()  # do not warm-start from a failed basis
        iterations = max(int(solver.getInfo().simplex_iteration_count), 0)
        return Answer(verdict, sentence(verdict, iterations, reason), v, y, seconds)
