"""Solvers by name; each package is imported only when its solver is used."""

from __future__ import annotations

from typing import Any, Literal

from socicnn._registry import Registry
from socicnn.conic.solvers._base import Prepared, Solver
from socicnn.conic.solvers._clarabel import Clarabel
from socicnn.conic.solvers._ecos import Ecos
from socicnn.conic.solvers._highs import Highs
from socicnn.conic.solvers._scs import Scs
from socicnn.errors import SolverError

SOLVERS: Registry[type[Solver]] = Registry(
    "solver", {solver.name: solver for solver in (Clarabel, Ecos, Scs, Highs)}, error=SolverError
)

SolverName = Literal["clarabel", "ecos", "scs", "highs"]

__all__ = ["SOLVERS", "Clarabel", "Ecos", "Highs", "Prepared", "Scs", "Solver", "SolverName", "make"]


def make(solver: SolverName | Solver, *, time_limit: float | None = None, **settings: Any) -> Solver:
    """Return the solver of that name with these settings; a `Solver` is returned as it is.

    Args:
        solver: `clarabel`, `ecos`, `scs`, `highs`, or a `Solver`.
        time_limit: seconds that one solve may take; None for no limit.
        settings: the solver's own settings, by its own names.

    Raises:
        SolverError: the name is unknown, or settings were given for a `Solver`.

    >>> make("scs", eps=1e-9)
    Scs(eps=1e-09)
    """
    if isinstance(solver, Solver):
        taken = sorted([*settings, *(["time_limit"] if time_limit is not None else [])])
        if taken:
            raise SolverError(f"{solver!r} has its settings already; leave out {', '.join(taken)}")
        return solver
    return SOLVERS[solver.lower() if isinstance(solver, str) else solver](time_limit=time_limit, **settings)
