"""ECOS: an interior-point method for second-order and exponential cones (GPL, so an optional extra)."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn.conic._cones import Cones
from socicnn.conic._conic_data import ConicData
from socicnn.conic.solvers._base import Answer, Engine, Solver, Verdict, sentence
from socicnn.errors import SolverError


@final
class Ecos(Solver):
    """The interior-point solver ECOS; settings are the keywords of `ecos.solve`. It has no time limit.

    Source: Domahidi, Chu and Boyd, ECOS: An SOCP solver for embedded systems (ECC 2013).
    """

    name = "ecos"
    label = "ECOS"
    package = "ecos"

    def engine(self, program: ConicData) -> Engine:
        """Split the rows into ECOS's form G v + s = h, A v = b once; each solve sets ECOS up again."""
        ecos = self.module()
        if self.time_limit is not None:
            raise SolverError("ECOS has no time limit; set max_iters instead, or choose clarabel")
        return _Engine(ecos, program, {"verbose": False, **self.settings})


class _Engine(Engine):
    def __init__(self, ecos: Any, program: ConicData, options: dict[str, Any]) -> None:
        self._ecos = ecos
        self._options = options
        self._zero = program.cones.zero
        cones = program.cones
        self._dims = {"l": cones.nonnegative, "q": list(cones.second_order), "e": cones.exponential}
        self._order = _ordered(cones)
        rows = sparse.csr_array(program.A)[self._order]
        # csc_matrix: the package calls a method that csc_array lacks
        self._A = sparse.csc_matrix(rows[: self._zero]) if self._zero else None
        self._G = sparse.csc_matrix(rows[self._zero :]) if self._zero < rows.shape[0] else None

    def run(self, b: Array, c: Array) -> Answer:
        """Solve; the package keeps nothing between calls."""
        b = b[self._order]
        equal = None if self._A is None else b[: self._zero].copy()
        other = None if self._G is None else b[self._zero :].copy()
        try:
            solution = self._ecos.solve(c.copy(), self._G, other, self._dims, self._A, equal, **self._options)
        except (TypeError, ValueError) as error:
            raise SolverError(f"ECOS does not take the settings {self._options}: {error}") from error
        info = solution["info"]
        verdict, reason = _VERDICTS.get(info["exitFlag"], ("failed", info["infostring"]))
        v, y = None, None
        if verdict in ("optimal", "almost", "limit"):
            v, y = solution["x"], np.concatenate([solution["y"], solution["z"]])[self._order]  # its own inverse
        iterations, seconds = int(info["iter"]), float(info["timing"]["runtime"])
        return Answer(verdict, sentence(verdict, iterations, reason), v, y, seconds)


def _ordered(cones: Cones) -> IntArray:
    """Return the rows in ECOS's order: the entries of an exponential cone are (x, s, y) there, and (x, y, s) here."""
    order = np.arange(cones.rows)
    tail = order[cones.exponential_start :].reshape(-1, 3)
    tail[:, 1:] = tail[:, :0:-1].copy()
    return order


_VERDICTS: dict[int, tuple[Verdict, str]] = {
    0: ("optimal", ""),
    10: ("almost", ""),
    1: ("infeasible", ""),
    11: ("infeasible", ""),
    2: ("unbounded", ""),
    12: ("unbounded", ""),
    -1: ("limit", "iteration"),
    -2: ("failed", "numerical breakdown"),
    -3: ("failed", "its iterates left the cone"),
}
