"""The contract of a solver adapter: prepare once for a matrix A, then solve for many right-hand sides and costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal, final

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn._integers import is_number
from socicnn.conic._conic_data import ConicData
from socicnn.conic._residuals import Residuals, power
from socicnn.conic._solution import Solution
from socicnn.errors import MissingExtra, SolverError

ALMOST = 3e-3  # residual, relative to the data, above which a program counts as almost solved
ROUNDING = 2.0**-40  # of the largest entry of b: what its computation may leave
Verdict = Literal["optimal", "almost", "infeasible", "unbounded", "limit", "failed"]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a solver's package returned, in this project's signs: A v + s = b, A'y + c = 0, y in K*.

    Args:
        verdict: how it ended; `limit` is a time or iteration limit, `failed` a breakdown.
        detail: the words that complete "<solver> ...", without a full stop.
        v: primal point, or None.
        y: dual point, or None.
        seconds: time inside the solver.
    """

    verdict: Verdict
    detail: str
    v: Array | None
    y: Array | None
    seconds: float


class Engine(ABC):
    """A solver's package set up for one matrix A and one cone."""

    @abstractmethod
    def run(self, b: Array, c: Array) -> Answer:
        """Solve min c'v s.t. A v + s = b, s in K. A breakdown is an `Answer`, not an exception."""


class Solver(ABC):
    """A conic solver with its settings; a value, without state.

    Args:
        time_limit: seconds that one solve may take; None for no limit.
        settings: the solver's own settings, by its own names.
    """

    name: str
    label: str
    package: str

    def __init__(self, *, time_limit: float | None = None, **settings: Any) -> None:
        if time_limit is not None and not (is_number(time_limit) and time_limit > 0):
            raise SolverError(f"time_limit must be a positive number of seconds; received {time_limit!r}")
        self.time_limit = None if time_limit is None else float(time_limit)
        self.settings: Mapping[str, Any] = settings

    def __repr__(self) -> str:
        options = {"time_limit": self.time_limit, **self.settings}
        shown = ", ".join(f"{key}={value!r}" for key, value in options.items() if value is not None)
        return f"{type(self).__name__}({shown})"

    @final
    def prepare(self, program: ConicData) -> Prepared:
        """Set the solver up for `program`.

        Raises:
            MissingExtra: the solver's package is not installed.
            SolverError: the solver cannot take this kind of cone, or has no such setting.
        """
        for name, array in (("A", program.A.data), ("b", program.b), ("c", program.c)):
            if not np.all(np.isfinite(array)):
                raise SolverError(f"{name} of the program has non-finite entries; a solver needs finite ones")
        program = replace(program, A=sparse.csc_array(program.A, dtype=np.float64))
        engine = self.engine(program) if all(program.A.shape) else _Trivial(program)
        return Prepared(program, engine, self)

    @abstractmethod
    def engine(self, program: ConicData) -> Engine:
        """Set the package up for a program that has rows and variables."""

    @final
    def module(self) -> Any:
        """Import the solver's package."""
        try:
            return import_module(self.package)
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f"the solver {self.name} needs the package {self.package}, which is not installed; "
                f'run: pip install "socicnn[{self.name}]"'
            ) from error
        except ImportError as error:  # e.g. highspy after OR-Tools
            raise MissingExtra(
                f"the solver {self.name} cannot be used: the package {self.package} is installed, but cannot be loaded "
                f"here ({error}); choose another solver"
            ) from error


@final
class Prepared:
    """A solver set up for one matrix A and one cone; the vectors may change between solves.

    Args:
        program: the program whose A and cones stay.
        engine: the solver's package set up for it.
        solver: the solver, for its name.
    """

    def __init__(self, program: ConicData, engine: Engine, solver: Solver) -> None:
        self.program = program
        self._engine = engine
        self._solver = solver
        self._residuals = Residuals(program)

    def solve(self, b: Array | None = None, c: Array | None = None, offset: float | None = None) -> Solution:
        """Solve with the vectors given; those left out keep the values of the prepared program.

        min c'v s.t. A v + s = b, s in K is homogeneous in b and in c. Where the solver does not get through and the
        entries are far from 1, it is asked once more with b and c divided by powers of two near their largest entries.

        Args:
            b: right-hand side, shape `(m,)`.
            c: cost, shape `(variables,)`.
            offset: constant added to the value.

        Returns:
            The solution. A solver that fails raises nothing: `ok` is False and `status` says what happened.

        Raises:
            SolverError: a vector has the wrong length or a non-finite entry.
        """
        m, variables = self.program.A.shape
        b = self.program.b if b is None else _vectors("b", b, m)
        c = self.program.c if c is None else _vectors("c", c, variables)
        offset = self.program.offset if offset is None else float(offset)
        answer = self._checked(self._engine.run(b, c), b, c, offset)
        done = answer.verdict in ("optimal", "limit")
        size, price = (1.0, 1.0) if done else (power(b), power(c))
        remark = ""
        if not (_near_one(size) and _near_one(price)):
            scaled = self._engine.run(b / size, c / price)
            again = replace(
                scaled,
                v=None if scaled.v is None else scaled.v * size,
                y=None if scaled.y is None else scaled.y * price,
                seconds=answer.seconds + scaled.seconds,
            )
            again = self._checked(again, b, c, offset)
            if again.verdict == "optimal" or answer.verdict != "almost":
                remark = f", asked with b divided by {size:g} and c by {price:g}"
                answer = again
        if answer.verdict == "unbounded" and np.any(c):
            # an unbounded direction is not a point: a program that has no point either is infeasible, not unbounded
            feasible = self._engine.run(b, np.zeros_like(c))
            if feasible.verdict == "infeasible":
                answer, remark = (
                    replace(feasible, seconds=answer.seconds + feasible.seconds),
                    ", asked without the cost",
                )
            elif self.program.cones.exponential:  # a program without a point may have such directions too
                detail = (
                    "found a direction along which the cost falls; with exponential cones that may also mean that the "
                    "program is infeasible, so nothing is concluded"
                )
                answer = Answer("failed", detail, None, None, answer.seconds + feasible.seconds)
        v = np.full(variables, np.nan) if answer.v is None else answer.v
        y = np.full(m, np.nan) if answer.y is None else answer.y
        value = {"infeasible": np.inf, "unbounded": -np.inf}.get(answer.verdict, float(c @ v) + offset)
        return self._solution(replace(answer, v=v, y=y), self._residuals.slack(b, v), value, remark)

    def solve_each(self, b: Array, c: Array, tick: Callable[[], object] = lambda: None) -> list[Solution]:
        """Solve row after row of b and c, without an offset, and check all answers at once.

        An answer that does not stand is asked for again by `solve`.

        Args:
            b: right-hand sides, shape `(problems, m)`.
            c: costs, shape `(problems, variables)`.
            tick: called after each problem.

        Raises:
            SolverError: the vectors have the wrong shape or a non-finite entry.
        """
        m, variables = self.program.A.shape
        rows, costs = _vectors("b", b, m, 2), _vectors("c", c, variables, 2)
        answers = list[Answer]()
        for right, cost in zip(rows, costs, strict=True):
            answers.append(self._engine.run(right, cost))
            tick()
        solved = {i: answer for i, answer in enumerate(answers) if self._whole(answer)}
        if not solved:
            return [self.solve(right, cost, 0.0) for right, cost in zip(rows, costs, strict=True)]
        places = list(solved)
        b, c = rows[places].T, costs[places].T
        v, y = (np.stack([getattr(answer, name) for answer in solved.values()], axis=1) for name in ("v", "y"))
        worst = np.max(list(self._residuals.each(b, c, v, y).values()), axis=0)
        slacks, values = self._residuals.slack(b, v).T, np.einsum("ij,ij->j", c, v)
        checked = {
            i: self._solution(answer, slacks[k], float(values[k]))
            for k, (i, answer) in enumerate(solved.items())
            if worst[k] <= ALMOST
        }
        return [checked[i] if i in checked else self.solve(rows[i], costs[i], 0.0) for i in range(len(rows))]

    def _whole(self, answer: Answer) -> bool:
        """Return whether an answer is an optimum with whole, finite points."""
        sizes = ((answer.v, self.program.A.shape[1]), (answer.y, self.program.A.shape[0]))
        return answer.verdict == "optimal" and all(
            point is not None and np.shape(point) == (size,) and bool(np.isfinite(point).all()) for point, size in sizes
        )

    def _solution(self, answer: Answer, s: Array, value: float, remark: str = "") -> Solution:
        """Return an answer, with both points, as a solution."""
        assert answer.v is not None
        assert answer.y is not None
        return Solution(
            v=answer.v,
            s=s,
            y=answer.y,
            value=value,
            ok=answer.verdict == "optimal",
            status=f"{self._solver.label} {answer.detail}{remark}",
            seconds=answer.seconds,
            solver=self._solver.name,
        )

    def _checked(self, answer: Answer, b: Array, c: Array, offset: float) -> Answer:
        """Take back an optimum without a whole point, or whose own residuals are far above any solver's tolerance."""
        m, variables = self.program.A.shape
        for name, point, size in (("primal", answer.v, variables), ("dual", answer.y, m)):
            if point is not None and np.shape(point) != (size,):
                detail = f"failed: its {name} point has shape {np.shape(point)}, the program needs ({size},)"
                return Answer("failed", detail, None, None, answer.seconds)
            if answer.verdict == "optimal" and (point is None or not np.isfinite(point).all()):
                what = f"returned no {name} point" if point is None else f"its {name} point is not finite"
                return replace(answer, verdict="failed", detail=f"reports a solution, but {what}")
        if answer.verdict != "optimal" or answer.v is None or answer.y is None:
            return answer
        residuals = self._residuals(b, c, answer.v, answer.y, offset)
        name, worst = max(residuals.items(), key=lambda item: item[1])
        if worst <= ALMOST:
            return answer
        detail = f"reports a solution, but its {name} residual is {worst:.1e} of the data (almost solved)"
        return replace(answer, verdict="almost", detail=detail)


def residuals(program: ConicData, v: Array, y: Array, offset: float = 0.0) -> dict[str, float]:
    """Return how far (v, y) is from optimal, each relative to its data: what `Residuals` returns."""
    return Residuals(program)(program.b, program.c, v, y, offset)


class _Trivial(Engine):
    """A program without rows or without variables, which needs no solver."""

    def __init__(self, program: ConicData) -> None:
        self._shape = program.A.shape
        self._cones = program.cones

    def run(self, b: Array, c: Array) -> Answer:
        """Decide by hand: v = 0 and y = 0 are optimal where b in K and c = 0."""
        kind = "variables" if self._shape[1] == 0 else "rows"
        told = f"was not asked: the program has no {kind}"
        if self._cones.violation(b).max(initial=0.0) > ROUNDING * np.abs(b).max(initial=0.0):
            return Answer("infeasible", f"{told} and is infeasible, as b does not lie in K", None, None, 0.0)
        if np.any(c):
            return Answer("unbounded", f"{told} and is unbounded below, as c is not 0", None, None, 0.0)
        return Answer("optimal", told, np.zeros(self._shape[1]), np.zeros(self._shape[0]), 0.0)


def _vectors(name: str, values: Array, size: int, axes: int = 1) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != axes or values.shape[-1] != size:
        what = f"shape ({size},)" if axes == 1 else f"rows of length {size}"
        raise SolverError(f"{name} must have {what}, as in the prepared program; received {values.shape}")
    if not np.all(np.isfinite(values)):
        raise SolverError(f"{name} has non-finite entries; a solver needs finite ones")
    return values


def _near_one(magnitude: float) -> bool:
    return 1 / 16 <= magnitude <= 16


def sentence(verdict: Verdict, iterations: int, reason: str = "") -> str:
    """Return the words that complete "<solver> ..." for a verdict.

    >>> sentence("optimal", 12)
    'solved the program to its tolerances in 12 iterations'
    """
    count = f"{iterations} iteration{'' if iterations == 1 else 's'}"
    return {
        "optimal": f"solved the program to its tolerances in {count}",
        "almost": f"solved the program to looser tolerances than those asked for in {count} (almost solved)",
        "infeasible": f"found after {count} that the program is infeasible: no point satisfies its constraints",
        "unbounded": f"found after {count} that the program is unbounded below",
        "limit": f"stopped at its {reason} limit after {count}",
        "failed": f"failed after {count}: {reason}",
    }[verdict]
