"""What a verification found, as values, as a table and as an exception."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from socicnn._arrays import Array, BoolArray
from socicnn._results import Result, Row
from socicnn.errors import VerificationError

if TYPE_CHECKING:
    from verify._solver_report import SolverReport


@dataclass(frozen=True)
class Check:
    """One line of a report.

    Args:
        name: the metric.
        worst: its worst residual, measured by its tolerance.
        tolerance: what that residual was compared with; None for a metric that is not judged.
        where: index of the point, or None for a check of the whole program.
        ok: the verdict; None for a metric that is not judged.
        detail: a sentence, where numbers do not say it.
    """

    name: str
    worst: float
    tolerance: float | None
    where: int | None
    ok: bool | None
    detail: str = ""


def worst(checks: dict[str, Check], residuals: dict[str, Array], tolerances: dict[str, Array], first: int) -> None:
    """Keep in `checks`, of each metric, the residual that is largest measured by its tolerance.

    Args:
        checks: what was kept so far; changed in place.
        residuals: name -> residual at each point.
        tolerances: name -> its tolerance; a metric without one is not judged.
        first: index of the first of these points.
    """
    for name, residual in residuals.items():
        limit = tolerances.get(name)
        with np.errstate(all="ignore"):
            size = residual if limit is None else np.where(residual <= 0, 0.0, residual / limit)
        at = int(np.argmax(size))  # the first NaN where there is one
        value, allowed = float(residual[at]) + 0.0, None if limit is None else float(limit[at])
        old = checks.get(name)
        if old is None or _exceeds(value, allowed, old):
            checks[name] = Check(name, value, allowed, first + at, None if allowed is None else value <= allowed)


def _exceeds(value: float, allowed: float | None, old: Check) -> bool:
    """Tell whether a residual is larger than an earlier one, each measured by its tolerance; NaN is largest."""
    if np.isnan(old.worst):
        return False
    if allowed is None or old.tolerance is None:
        return not value <= old.worst
    return not value * old.tolerance <= old.worst * allowed


@dataclass(frozen=True, eq=False, repr=False)
class Report(Result):
    """The verdict of `verify.equivalence`.

    Args:
        checks: the proof, one entry per metric, in the order of the table.
        forward: the network's value at each point, shape `(count,)`.
        value: the primal objective at each point.
        dual: the dual objective at each point.
        passed: whether the certificate holds, at each point.
        residuals: name of a metric -> its worst value.
        solvers: name -> what that solver returned; not part of the proof.
        lo: proven lower bound at each point, with `proof=True`; else None.
        hi: proven upper bound at each point, with `proof=True`; else None.
        sizes: variables, rows, cones and nonzeros of the program.
        times: seconds: forward, certificate and solver.
        fingerprint: SHA-256 of the network, `FrozenNet.fingerprint`.
    """

    checks: tuple[Check, ...]
    forward: Array
    value: Array
    dual: Array
    passed: BoolArray
    residuals: dict[str, float]
    solvers: dict[str, SolverReport] = field(default_factory=dict)
    lo: Array | None = None
    hi: Array | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    fingerprint: str | None = None

    @property
    def ok(self) -> bool:
        """Whether every check of the proof passed, whatever the solvers say."""
        return all(check.ok is not False for check in self.checks)

    @property
    def gap(self) -> Array:
        """Primal minus dual objective, in the units of f, shape `(count,)`."""
        return self.value - self.dual

    @property
    def max_gap(self) -> float:
        """Largest |gap|; NaN if one is NaN, 0 without points."""
        return float(np.max(np.abs(self.gap), initial=0.0))

    @property
    def gaps(self) -> Array:
        """Primal minus dual objective; deprecated, use `gap`."""
        warnings.warn("Report.gaps is now Report.gap", DeprecationWarning, stacklevel=2)
        return self.gap

    @property
    def agreed(self) -> bool:
        """Whether every solver solved every point that it was shown, and agrees with the network's value there."""
        return all(solver.ok and bool(solver.solved.all()) for solver in self.solvers.values())

    def raise_if_failed(self, *, solvers: bool = False) -> None:
        """Raise if a check of the proof failed.

        Args:
            solvers: also raise if a solver failed or disagrees.

        Raises:
            VerificationError: its sentence names the first failed check, the point, and by how much it failed.
        """
        failed = [check for check in self.checks if check.ok is False]
        if not failed:
            apart = [] if not solvers else [s for s in self.solvers.values() if not (s.ok and s.solved.all())]
            if apart:
                raise VerificationError(f"the proof holds, but a solver does not agree: {apart[0].status}")
            return
        first = failed[0]
        place = "" if first.where is None else f" at point {first.where}"
        if first.detail:
            what = f"{first.name}{place}: {first.detail}"
        else:
            what = f"{first.name}{place} is {first.worst:.3g}, more than its tolerance {first.tolerance:.3g}"
        others = f" ({len(failed) - 1} more checks failed)" if len(failed) > 1 else ""
        raise VerificationError(f"the check of {what}{others}")

    def summary(self) -> str:
        """Return the verdict, the table of the checks, and what else is known, line by line."""
        return "\n".join([self._verdict(), "", *self._lines(), "", *self._notes()])

    def table(self) -> tuple[Row, list[Row]]:
        """Return the checks: name, worst residual, its tolerance, the point and the verdict."""
        rows: list[Row] = []
        for check in self.checks:
            tolerance = "-" if check.tolerance is None else f"{check.tolerance:.1e}"
            where = "program" if check.where is None else f"point {check.where}"
            verdict = {True: "ok", False: "FAILED", None: "-"}[check.ok]
            rows.append((check.name, f"{check.worst:.1e}", tolerance, where, verdict))
        return ("check", "worst", "tolerance", "where", "verdict"), rows

    def _verdict(self) -> str:
        count = len(self.forward)
        head = f"{'PASSED' if self.ok else 'FAILED'}: network = program at {count} point{'' if count == 1 else 's'}"
        sizes = ", ".join(f"{value} {name}" for name, value in self.sizes.items())
        return f"{head} ({sizes})" if sizes else head

    def _lines(self) -> list[str]:
        """Return the table as text, in columns."""
        head, body = self.table()
        rows = [[str(cell) for cell in row] for row in (head, *body)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        form = "  ".join(f"{{:{side}{width}}}" for side, width in zip("<>><<", widths, strict=True))
        lines = [form.format(*row).rstrip() for row in rows]
        return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]

    def _notes(self) -> list[str]:
        notes = [f"{check.name}: {check.detail}" for check in self.checks if check.detail and check.ok is False]
        notes += [f"{name}, not part of the proof: {solver.status}" for name, solver in self.solvers.items()]
        if len(self.forward):
            low, high = float(np.min(self.forward)), float(np.max(self.forward))
            notes.append(f"value {low:.6g}" if len(self.forward) == 1 else f"values from {low:.6g} to {high:.6g}")
        if self.lo is not None and self.hi is not None:
            width = float(np.max(self.hi - self.lo))
            notes.append(f"proven: lo <= f(x) <= hi in real arithmetic, hi - lo at most {width:.1e}")
        if self.fingerprint is not None:
            notes.append(f"network: SHA-256 {self.fingerprint}")
        if self.times:
            notes.append("seconds: " + ", ".join(f"{name} {value:.3g}" for name, value in self.times.items()))
        return notes

    def to_json(self, *, indent: int | None = None, sort_keys: bool = False) -> str:
        """Return the report as JSON; a number that is not finite becomes a string.

        Args:
            indent: spaces per level; None for one line.
            sort_keys: whether keys are sorted.
        """
        from verify._report_json import to_json

        return to_json(self, indent, sort_keys)
