"""What was proven about the optimum of a problem."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from scipy import sparse

from socicnn._files import replacing
from socicnn._numpy_files import digest
from socicnn._packed import pack_program
from socicnn._results import Result, Row
from socicnn.errors import ProgramError
from verify._optimum.claim import FORMAT, MIXED, VECTORS, OptimumClaim, unpacked
from verify._optimum.mixed import MixedProgram, TreeWitness
from verify._optimum.program import OptimumWitness, QuadraticProgram

UNDERFLOW = 2.0**-900  # sums of what is added for products below the smallest float stay below it
Kind = Literal["bracket", "infeasible", "unbounded"]


@final
@dataclass(frozen=True, eq=False, repr=False)
class ProvenOptimum(Result):
    """lo <= optimal value <= hi in real arithmetic, for the cone form that CVXPY makes of the problem.

    Args:
        lo: the lower end, in the units and with the sign of the problem's objective.
        hi: the upper end.
        value: what the solver said; it is not part of the proof.
        scale: sum of the absolute values of the terms of the objective at the feasible point.
        kind: `bracket`; or `infeasible` or `unbounded`, which is proven, and both ends are the same infinity.
        solver: whose word the value is.
        notes: what ended the search early, and why an end is infinite, if that is not proven.
        program: the program in cone form, which is minimised.
        sign: -1 if the problem is a maximisation, else 1.
        witness: what proves the bracket.
    """

    lo: float
    hi: float
    value: float
    scale: float
    kind: Kind
    solver: str
    notes: tuple[str, ...]
    program: QuadraticProgram | MixedProgram
    sign: float
    witness: OptimumWitness | TreeWitness

    @property
    def ok(self) -> bool:
        """Whether the optimum is known: both ends are finite, or it is proven that there is none."""
        return self.kind != "bracket" or bool(np.isfinite(self.lo) and np.isfinite(self.hi))

    @property
    def gap(self) -> float:
        """Hi - lo, in the units of the objective; 0 if infeasibility or unboundedness is proven."""
        return 0.0 if self.kind != "bracket" else float(np.nextafter(self.hi - self.lo, np.inf))

    @property
    def max_gap(self) -> float:
        """The same as `gap`."""
        return self.gap

    @property
    def relative_gap(self) -> float:
        """Gap / scale; 0 if the gap is no more than what underflow may leave, for instance of the cost 0."""
        if self.gap <= UNDERFLOW:
            return 0.0
        return self.gap / self.scale if self.scale > 0 else np.inf

    @property
    def agreed(self) -> bool:
        """Whether the solver's value lies in the bracket, widened by 1e-6 of the scale."""
        if self.kind != "bracket":
            return self.value == self.lo
        room = 1e-6 * self.scale
        return bool(self.lo - room <= self.value <= self.hi + room)

    def summary(self) -> str:
        """Return the bracket, and what is to be said about the solver's value."""
        if self.kind != "bracket":
            what = {"infeasible": "no point satisfies the constraints", "unbounded": "the objective has no bound"}
            head = f"{self.kind}, which is proven: {what[self.kind]}"
        else:
            width = f", width {self.gap:.1e}" if self.ok else ""
            head = f"optimal value in [{self.lo:.12g}, {self.hi:.12g}]{width}"
        if isinstance(self.witness, TreeWitness):
            head += f", by {self.witness.leaves} {'case' if self.witness.leaves == 1 else 'cases'}"
        lines = [head, *self.notes]
        if not self.agreed:
            lines.append(f"{self.solver} says {self.value:.12g}, which is outside")
        return "\n".join(lines)

    def table(self) -> tuple[Row, tuple[Row, ...]]:
        """Return the ends and the solver's value."""
        rows = (("lo", self.lo), ("hi", self.hi), ("gap", self.gap), (f"value ({self.solver})", self.value))
        return ("", "optimum"), rows

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the claim to a file that anybody can check: `python -m verify.check FILE`.

        It holds the program in cone form, the witness and the bracket, widened by a thousandth of its own width and
        1e-14 of the scale so that a machine that sums in another order proves it too.

        Raises:
            ProgramError: nothing is proven.
            FileError: the folder does not exist.
        """
        if np.isinf(self.lo) and np.isinf(self.hi) and self.kind == "bracket":
            raise ProgramError("nothing is proven about this optimum, so there is nothing to claim")
        lo, hi = self.lo, self.hi
        if self.kind == "bracket":
            room = (1e-3 * self.gap if self.ok else 0.0) + 1e-14 * self.scale
            lo, hi = lo - room, hi + room
        write(path, OptimumClaim(self.program, self.sign, self.witness, lo, hi))


def write(path: str | os.PathLike[str], claim: OptimumClaim) -> None:
    """Write a claim; the file appears whole or not at all.

    Raises:
        FileError: the folder does not exist.
    """
    P = sparse.coo_array(claim.program.P)
    arrays: dict[str, Any] = pack_program(claim.program.conic, VECTORS, "program.") | unpacked(claim.witness)
    arrays |= {"P.entries": P.data, "P.at": np.stack([P.row, P.col]).astype(np.int64)}
    arrays |= {name: np.asarray(getattr(claim, name)) for name in ("sign", "lo", "hi")}
    arrays["format"] = np.asarray(FORMAT)
    if isinstance(claim.program, MixedProgram):
        arrays["format"] = np.asarray(MIXED)
        arrays |= {name: getattr(claim.program, name) for name in ("integers", "lower", "upper")}
    arrays["digest"] = np.asarray(digest(arrays))
    with replacing(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
