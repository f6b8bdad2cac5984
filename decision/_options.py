"""What seldom changes between calls of `decide`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, final

import torch

from socicnn._integers import as_integer
from socicnn._registry import choose
from socicnn.conic.solvers import SOLVERS, Solver, SolverName
from socicnn.errors import ModelError, SolverError

RTOL = 1e-6  # of the library, the command and every method
MethodName = Literal["auto", "interior_point", "central_path", "projected_gradient", "exact"]


@final
@dataclass(frozen=True)
class DecideOptions:
    """Options of `decide`.

    Args:
        max_iterations: iterations of one context at most; defaults to each method's own limit.
        solver: name of the solver of the exact way, or a `Solver`. "auto" takes HiGHS for two or more contexts of a
            network of ReLU units over simplices, boxes, budgets and their products, if highspy is installed and
            `settings` are omitted. It takes Clarabel otherwise, and for contexts that HiGHS leaves uncertified.
        settings: the solver's settings, by its own names; of "auto" those of Clarabel.
        device: where to compute; defaults to the CPU.
        progress: whether the exact way shows a progress bar.
        jobs: processes that share batches of more than 256 contexts, each on one thread; 1 for none. Start-up takes
            seconds. The decisions are the same as those of one job on one thread.
        integer: entries of x, by number, that must be whole. Branch and bound then splits the set into cases, whose
            bounds are all proven; about 30 integers take seconds per context.

    Raises:
        ModelError: max_iterations or jobs is not an integer >= 1, or integer is not a sequence of integers >= 0.
        SolverError: the solver's name is unknown.
    """

    max_iterations: int | None = None
    solver: SolverName | Literal["auto"] | Solver = "auto"
    settings: dict[str, Any] | None = None
    device: torch.device | str | None = None
    progress: bool = False
    jobs: int = 1
    integer: Sequence[int] = ()

    def __post_init__(self) -> None:
        """Check the counts and the solver."""
        object.__setattr__(self, "jobs", as_integer("jobs", self.jobs))
        entries = tuple(as_integer("integer", entry, 0) for entry in _sequence(self.integer))
        object.__setattr__(self, "integer", entries)
        if self.max_iterations is not None:
            object.__setattr__(self, "max_iterations", as_integer("max_iterations", self.max_iterations))
        if not isinstance(self.solver, Solver):
            name: Any = self.solver
            name = name.lower() if isinstance(name, str) else name
            object.__setattr__(self, "solver", choose("solver", name, ("auto", *SOLVERS), error=SolverError))


class DecideKeywords(TypedDict, total=False):
    """What `decide` takes by keyword beside its arguments, for editors; all but jobs and integer are deprecated."""

    jobs: int
    integer: Sequence[int]
    gap: float
    max_iterations: int | None
    solver: SolverName | Literal["auto"] | Solver
    settings: dict[str, Any] | None
    device: torch.device | str | None
    progress: bool


def _sequence(integer: Any) -> list[Any]:
    """Return the entries that must be whole as a list."""
    if isinstance(integer, str) or not isinstance(integer, Iterable):
        raise ModelError(f"integer must be a sequence of entries of x, e.g. [0, 3]; received {integer!r}")
    return list(integer)
