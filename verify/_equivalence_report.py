"""What `verify.equivalence` found: the proof, and apart from it what solvers returned."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

from socicnn._arrays import Array, BoolArray, IntArray
from socicnn._results import Result
from socicnn.errors import VerificationError
from verify._report import Report


@dataclass(frozen=True, eq=False, repr=False)
class EquivalenceReport(Report):
    """The verdict of `verify.equivalence`: a `Report`, with what solvers returned and how long it took.

    Args:
        checks: the proof, one entry per metric, in the order of the table.
        forward: the network's value at each point, shape `(count,)`.
        value: the primal objective at each point.
        dual: the dual objective at each point.
        passed: whether the certificate holds, at each point.
        residuals: name of a metric -> its worst value.
        lo: proven lower bound at each point, with `proof=True`; else None.
        hi: proven upper bound at each point, with `proof=True`; else None.
        sizes: variables, rows, cones and nonzeros of the program.
        fingerprint: SHA-256 of the network, `FrozenNet.fingerprint`.
        solvers: name -> what that solver returned; not part of the proof.
        times: seconds: forward, certificate and solver.
    """

    solvers: dict[str, SolverReport] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)

    @property
    def gaps(self) -> Array:
        """Primal minus dual objective; deprecated, use `gap`."""
        warnings.warn("Report.gaps is now Report.gap", DeprecationWarning, stacklevel=2)
        return self.gap

    @property
    def agreed(self) -> bool:
        """Whether every solver solved every point that it was shown, and agrees with the network's value there."""
        return not self._apart()

    def raise_if_failed(self, *, solvers: bool = False) -> None:
        """Raise if a check of the proof failed.

        Args:
            solvers: also raise if a solver failed or disagrees.

        Raises:
            VerificationError: its sentence names the first failed check, the point, and by how much it failed.
        """
        super().raise_if_failed()
        for solver in self._apart() if solvers else ():
            raise VerificationError(f"the proof holds, but a solver does not agree: {solver.status}")

    def _apart(self) -> list[SolverReport]:
        """Return what the solvers returned that failed or disagree."""
        return [solver for solver in self.solvers.values() if not (solver.ok and solver.solved.all())]

    def _notes(self) -> list[str]:
        notes = [f"{name}, not part of the proof: {solver.status}" for name, solver in self.solvers.items()]
        notes += super()._notes()
        if self.times:
            notes.append("seconds: " + ", ".join(f"{name} {value:.3g}" for name, value in self.times.items()))
        return notes


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
