"""SCS: a first-order splitting method, of moderate accuracy, for large programs."""

from __future__ import annotations

from typing import Any, final

from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._conic_data import ConicData
from socicnn.conic.solvers._base import Answer, Engine, Solver, Verdict, sentence
from socicnn.errors import SolverError


@final
class Scs(Solver):
    """The splitting solver SCS; settings are the keywords of `scs.SCS`, and `eps` sets both of its tolerances.

    Every solve sets it up again: its update of b and c keeps the penalty that it adapted to the points before, so that
    answers came to depend on their order, and one reported as solved was off by 5 %.

    Source: O'Donoghue, Chu, Parikh and Boyd, Conic optimization via operator splitting and homogeneous self-dual
    embedding (JOTA 2016).
    """

    name = "scs"
    label = "SCS"
    package = "scs"

    def engine(self, program: ConicData) -> Engine:
        """Keep the matrix, the cones and the settings."""
        scs = self.module()
        options = dict(self.settings)
        if "eps" in options:
            eps = options.pop("eps")
            options = {"eps_abs": eps, "eps_rel": eps, **options}
        if self.time_limit is not None:
            options["time_limit_secs"] = self.time_limit
        return _Engine(scs, program, {"verbose": False, **options})


class _Engine(Engine):
    def __init__(self, scs: Any, program: ConicData, options: dict[str, Any]) -> None:
        cones = program.cones
        self._scs = scs
        self._A = sparse.csc_matrix(program.A)
        sizes = {"z": cones.zero, "l": cones.nonnegative, "q": list(cones.second_order)}
        self._cones = {**sizes, "ep": cones.exponential}  # entries (x, y, s), as here
        self._options = options

    def run(self, b: Array, c: Array) -> Answer:
        """Factorise and solve from zero."""
        try:
            solution = self._scs.SCS({"A": self._A, "b": b, "c": c}, self._cones, **self._options).solve(
                warm_start=False
            )
        except (TypeError, ValueError) as error:
            raise SolverError(f"SCS refused the program or its settings {self._options}: {error}") from error
        info = solution["info"]
        status = str(info["status"])
        verdict, reason = _VERDICTS.get(info["status_val"], ("failed", f"it reports '{status}'"))
        if verdict == "almost":  # SCS says inaccurate only when a limit stopped it
            reason = "time" if "time" in status else "iteration"
            detail = sentence("limit", info["iter"], reason) + " (almost solved)"
        else:
            detail = sentence(verdict, info["iter"], reason)
        v, y = (solution["x"], solution["y"]) if verdict in ("optimal", "almost") else (None, None)
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
