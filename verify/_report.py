"""What a verification found, as values, as a table and as an exception."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from socicnn._arrays import Array, BoolArray
from socicnn._results import Result, Row
from socicnn.errors import VerificationError


@dataclass(frozen=True)
class Check:
    """One line of a report."""

    name: str  # the metric
    worst: float  # its worst residual, measured by its tolerance
    tolerance: float | None  # what that residual was compared with; None for a metric that is not judged
    where: int | None  # index of the point, or None for a check of the whole program
    ok: bool | None  # the verdict; None for a metric that is not judged
    detail: str = ""  # a sentence, where numbers do not say it

    def exceeds(self, other: Check) -> bool:
        """Tell whether its residual is larger than another, each measured by its tolerance; NaN is largest."""
        own, its = (1.0 if check.tolerance is None else check.tolerance for check in (self, other))
        return not np.isnan(other.worst) and not self.worst * its <= other.worst * own

    def row(self) -> Row:
        """Return its line of the table: name, worst residual, its tolerance, the point and the verdict."""
        tolerance = "-" if self.tolerance is None else f"{self.tolerance:.1e}"
        where = "program" if self.where is None else f"point {self.where}"
        verdict = {True: "ok", False: "FAILED", None: "-"}[self.ok]
        return self.name, f"{self.worst:.1e}", tolerance, where, verdict


def worst(checks: dict[str, Check], residuals: dict[str, Array], tolerances: dict[str, Array], first: int) -> None:
    """Keep in `checks`, of each metric, the residual at the points from `first` on that is largest by its tolerance.

    A metric without a tolerance is not judged.
    """
    for name, residual in residuals.items():
        limit = tolerances.get(name)
        with np.errstate(all="ignore"):
            size = residual if limit is None else np.where(residual <= 0, 0.0, residual / limit)
        at = int(np.argmax(size))  # the first NaN where there is one
        value, allowed = float(residual[at]) + 0.0, None if limit is None else float(limit[at])
        check = Check(name, value, allowed, first + at, None if allowed is None else value <= allowed)
        if name not in checks or check.exceeds(checks[name]):
            checks[name] = check


@dataclass(frozen=True, eq=False, repr=False)
class Report(Result):
    """The verdict on a proof that a network equals its program: what `verify.check` returns."""

    checks: tuple[Check, ...]  # the proof, one entry per metric, in the order of the table
    forward: Array  # the network's value at each point, shape `(count,)`
    value: Array  # the primal objective at each point
    dual: Array  # the dual objective at each point
    passed: BoolArray  # whether the certificate holds, at each point
    residuals: dict[str, float]  # name of a metric -> its worst value
    lo: Array | None = None  # proven lower bound at each point
    hi: Array | None = None  # proven upper bound at each point
    sizes: dict[str, int] = field(default_factory=dict)  # variables, rows, cones and nonzeros of the program
    fingerprint: str | None = None  # SHA-256 of the network, `FrozenNet.fingerprint`

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

    def raise_if_failed(self) -> None:
        """Raise if a check of the proof failed.

        Raises:
            VerificationError: its sentence names the first failed check, the point, and by how much it failed.
        """
        failed = [check for check in self.checks if check.ok is False]
        for first in failed[:1]:
            how = f" is {first.worst:.3g}, more than its tolerance {first.tolerance:.3g}"
            place = "" if first.where is None else f" at point {first.where}"
            what = f"{first.name}{place}" + (f": {first.detail}" if first.detail else how)
            others = f" ({len(failed) - 1} more checks failed)" if len(failed) > 1 else ""
            raise VerificationError(f"the check of {what}{others}")

    def summary(self) -> str:
        """Return the verdict, the table of the checks, and what else is known, line by line."""
        failed = [f"{check.name}: {check.detail}" for check in self.checks if check.detail and check.ok is False]
        return "\n".join([self._verdict(), "", *self._lines(), "", *failed, *self._notes()])

    def table(self) -> tuple[Row, list[Row]]:
        """Return the checks: name, worst residual, its tolerance, the point and the verdict."""
        return ("check", "worst", "tolerance", "where", "verdict"), [check.row() for check in self.checks]

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
        """Return what else is known, line by line."""
        notes = []
        if len(self.forward):
            low, high = float(np.min(self.forward)), float(np.max(self.forward))
            notes.append(f"value {low:.6g}" if len(self.forward) == 1 else f"values from {low:.6g} to {high:.6g}")
        if self.lo is not None and self.hi is not None:
            width = float(np.max(self.hi - self.lo))
            notes.append(f"proven: lo <= f(x) <= hi in real arithmetic, hi - lo at most {width:.1e}")
        if self.fingerprint is not None:
            notes.append(f"network: SHA-256 {self.fingerprint}")
        return notes

    def to_json(self, *, indent: int | None = None, sort_keys: bool = False) -> str:
        """Return the report as JSON, with these options of `json.dumps`; what is not finite becomes a string."""
        from verify._report_json import to_json

        return to_json(self, indent, sort_keys)
