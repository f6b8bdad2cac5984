"""What a solver returned, reported next to a proof."""

from __future__ import annotations

from dataclasses import dataclass

from socicnn._arrays import Array, BoolArray, IntArray
from socicnn._results import Result


@dataclass(frozen=True, eq=False, repr=False)
class SolverReport(Result):
    """What one solver returned at the points that it was shown; no part of the proof.

    Args:
        status: one sentence: how many points it solved, how far it is off, and how the first failure ended.
        value: its objective at each point, shape `(count,)`; NaN where it failed.
        error: worst |value - forward|; NaN if it solved no point.
        seconds: time of each solve, shape `(count,)`.
        points: index of each point, shape `(count,)`.
        errors: |value - forward| at each point.
        allowed: what each error is compared with: 1e-6 (SCS at its default 1e-3) times 1 + |f|, or times 1 + the
            solver's own objective, without the constant, where that is larger.
        solved: whether the solver reports success, at each point.
        residuals: violations of its primal and dual points, worst over the points: name -> residual.
    """

    status: str
    value: Array
    error: float
    seconds: Array
    points: IntArray
    errors: Array
    allowed: Array
    solved: BoolArray
    residuals: dict[str, float]

    @property
    def ok(self) -> bool:
        """Whether it agrees at every point that it solved; a failure of the solver says nothing about the network."""
        return bool((self.errors[self.solved] <= self.allowed[self.solved]).all())

    def summary(self) -> str:
        """Return the status."""
        return self.status
