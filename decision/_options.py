"""What seldom changes between calls of `decide`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, final

import torch

from socicnn._integers import as_integer
from socicnn.conic.solvers import Solver, SolverName

MethodName = Literal["auto", "interior_point", "central_path", "projected_gradient", "exact"]


@final
@dataclass(frozen=True)
class DecideOptions:
    """Options of `decide`.

    Args:
        max_iterations: iterations of one context at most; defaults to each method's own limit.
        solver: name of the solver of the exact way, or a `Solver`.
        settings: the solver's settings, by its own names.
        device: where to compute; defaults to the CPU.
        progress: whether the exact way shows a progress bar.

    Raises:
        ModelError: max_iterations is not an integer >= 1.
    """

    max_iterations: int | None = None
    solver: SolverName | Solver = "clarabel"
    settings: dict[str, Any] | None = None
    device: torch.device | str | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        """Check the number of iterations."""
        if self.max_iterations is not None:
            object.__setattr__(self, "max_iterations", as_integer("max_iterations", self.max_iterations))
