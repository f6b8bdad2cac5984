"""SCS: a first-order splitting method, of moderate accuracy, for large programs."""

from __future__ import annotations

from typing import Any, final

from scipy import sparse

from socicnn.arrays import Array
from socicnn.conic.program import ConicProgram
from socicnn.conic.solvers.base import Answer, Engine, Solver, Verdict, sentence
from socicnn.errors import SolverError


@final
class Scs(Solver):
    """The splitting solver SCS; settings are the keywords of `scs.SCS`, and `eps` sets both of its tolerances.

    Every solve starts from zero, so that an answer does not depend on the points solved before; a start from the
    last solution saved no iterations at the points of a batch.

    Source: O'Donoghue, Chu, Parikh and Boyd, Conic optimization via operator splitting and homogeneous self-dual
    embedding (JOTA 2016).
    """

    name = "scs"
    label = "SCS"
    package = "scs"

    def engine(self, program: ConicProgram) -> Engine:
        """Factorise once; b and c are updated in place afterwards."""
        scs = self.module()
        options = dict(self.settings)
        if "eps" in options:
            eps = options.pop("eps")
            options = {"eps_abs": eps, "eps_rel": eps, **options}
        if self.time_limit is not None:
            options["time_limit_secs"] = self.time_limit
        cones = program.cones
        kinds = {"z": cones.zero, "l": cones.nonnegative, "q": list(cones.second_order)}
        data = {"A": sparse.csc_matrix(program.A), "b": program.b, "c": program.c}
        try:
            return _Engine(scs.SCS(data, kinds, **{"verbose": False, **options}))
        except (TypeError, ValueError) as error:
            raise SolverError(f"SCS refused the program or its settings {options}: {error}") from error


class _Engine(Engine):
    def __init__(self, solver: Any) -> None:
        self._solver = solver

    def run(self, b: Array, c: Array) -> Answer:
        """Move b and c, then solve from zero."""
        self._solver.update(b, c)
        found = self._solver.solve(warm_start=False)
        info = found["info"]
        status = str(info["status"])
        verdict, reason = _VERDICTS.get(info["status_val"], ("failed", f"it reports '{status}'"))
        if verdict == "almost":  # SCS says inaccurate only when a limit stopped it
            reason = "time" if "time" in status else "iteration"
            detail = sentence("limit", info["iter"], reason) + " (almost solved)"
        else:
            detail = sentence(verdict, info["iter"], reason)
        v, y = (found["x"], found["y"]) if verdict in ("optimal", "almost") else (None, None)
        return Answer(verdict, detail, v, y, (info["setup_time"] + info["solve_time"]) / 1e3)


_VERDICTS: dict[int, tuple[Verdict, str]] = {
    1: ("optimal", ""),
    2: ("almost", ""),
    -1: ("unbounded", ""),
    -2: ("infeasible", ""),
    -6: ("unbounded", ""),
    -7: ("infeasible", ""),
    -4: ("failed", "its factorisation or its data broke down"),
}
