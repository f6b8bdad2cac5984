"""A solver for programs whose data are far from 1, at tolerances that leave a decision certified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from socicnn._arrays import Array
from socicnn.conic._program import ConicProgram
from socicnn.conic._residuals import power as power
from socicnn.conic._solution import Solution
from socicnn.conic.solvers import Solver
from socicnn.conic.solvers._clarabel import Clarabel

TIGHT = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}
# below these it is "almost solved"; the proof decides what that is worth
REDUCED = {"reduced_tol_gap_abs": 1e-7, "reduced_tol_gap_rel": 1e-7, "reduced_tol_feas": 1e-7}


def tight(solver: Solver) -> Solver:
    """Return Clarabel with tolerances of 1e-11 in place of those that were left at 1e-8; other solvers as they are."""
    if type(solver) is not Clarabel:
        return solver
    return Clarabel(time_limit=solver.time_limit, **{**TIGHT, **REDUCED, **solver.settings})


def steadier(solver: Solver) -> Solver:
    """Return Clarabel with more regularisation, for programs with dependent rows; other solvers as they are."""
    if type(solver) is not Clarabel:
        return solver
    return Clarabel(time_limit=solver.time_limit, **{"static_regularization_constant": 1e-7, **solver.settings})


class Scaled:
    """A solver set up for one program, given b and c divided by powers of two next to their largest entries.

    min c'v s.t. A v + s = b, s in K is homogeneous in b and in c, while the tolerances of solvers are not: they are
    absolute where the data are small.

    Args:
        solver: the solver.
        program: the program whose A and cones stay.
    """

    def __init__(self, solver: Solver, program: ConicProgram) -> None:
        self.program = program
        self._prepared = solver.prepare(program)

    def solve(self, b: Array, c: Array, offset: float) -> Solution:
        """Solve with these vectors."""
        size, price = power(b), power(c)
        return _unscaled(self._prepared.solve(b / size, c / price, 0.0), size, price, offset)

    def solve_each(
        self, b: Array, c: Array, offset: Array, tick: Callable[[], object] = lambda: None
    ) -> list[Solution]:
        """Solve with each row of b and c, shapes `(problems, m)` and `(problems, variables)`.

        Args:
            b: right-hand sides.
            c: costs.
            offset: constants added to the values, shape `(problems,)`.
            tick: called after each problem.
        """
        size, price = ([power(row) for row in rows] for rows in (b, c))
        solved = self._prepared.solve_each(b / np.array(size)[:, None], c / np.array(price)[:, None], tick)
        return [_unscaled(*some) for some in zip(solved, size, price, offset.tolist(), strict=True)]


def _unscaled(solution: Solution, size: float, price: float, offset: float) -> Solution:
    """Return a solution in the units of the program."""
    value = solution.value * size * price + offset
    return replace(solution, v=solution.v * size, s=solution.s * size, y=solution.y * price, value=value)
