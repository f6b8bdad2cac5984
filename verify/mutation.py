"""Mutate programs, witnesses and compilers, and count what the verifier rejects and accepts.

A mutant of a program matters at a point where its proven bracket excludes the network's (no feasible point and no
bound counted as values +inf and -inf); one of a witness where it breaks feasibility or duality by far more than
rounding. There it must be rejected. Points that the brackets leave undecided, and mutants that matter at no point
tried, are counted and not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from socicnn.arrays import Array, BoolArray
from socicnn.compile import Witness, compile_net
from socicnn.conic.program import ValueProgram
from socicnn.frozen import FrozenNet
from verify.certificate import Checker
from verify.mutants import Mutant
from verify.program_proof import ProgramProver
from verify.proof import Bracket, Prover

BROKEN = 1e-9  # relative residual from which a witness is broken, a thousand times the tolerance of the core


@dataclass
class Row:
    """Counts of one kind of mutant.

    Args:
        mutants: how many.
        points: at how many points all of them together were tried.
        matter: points at which they matter.
        rejected: of those, rejected by the core.
        by_bracket: of those, rejected by the brackets alone: the difference is below the tolerance of the core.
        accepted: of those, accepted; 0 where the verifier is sound.
        undecided: points that the brackets leave undecided.
        harmless: mutants that matter at no point tried and were undecided at none.
    """

    mutants: int = 0
    points: int = 0
    matter: int = 0
    rejected: int = 0
    by_bracket: int = 0
    accepted: int = 0
    undecided: int = 0
    harmless: int = 0


class Table:
    """Rows of counts, by what was mutated, how and in which array; prints itself."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], Row] = {}
        self.honest_points = 0
        self.honest_rejected = 0
        self.accepted: list[str] = []
        self.harmless: list[str] = []
        self.undecided: list[str] = []

    @property
    def mutants(self) -> int:
        """Number of mutants tried."""
        return sum(row.mutants for row in self.rows.values())

    def __str__(self) -> str:
        names = [entry.name for entry in fields(Row)]
        lines = [("mutated", "how", "array", *(name.replace("_", " ") for name in names))]
        for key, row in sorted(self.rows.items()):
            lines.append((*key, *(str(getattr(row, name)) for name in names)))
        totals = [str(sum(getattr(row, name) for row in self.rows.values())) for name in names]
        lines.append(("all", "", "", *totals))
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = [
            "  ".join(c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        ]
        text.insert(1, "  ".join("-" * width for width in widths))
        text.append(f"honest: rejected at {self.honest_rejected} of {self.honest_points} points")
        for title, places in (("accepted", self.accepted), ("matters nowhere", self.harmless)):
            text += [f"{title}: {place}" for place in places[:20]]
            text += [f"{title}: and {len(places) - 20} more"] if len(places) > 20 else []
        text.append(
            f"undecided at some point: {len(self.undecided)} mutants"
            + "".join(f"\n  {place}" for place in self.undecided[:20])
        )
        return "\n".join(text)

    def add(self, net: FrozenNet, x: Array, mutants: Iterator[Mutant]) -> None:
        """Try mutants of one network at its points, the honest program first."""
        compiled = compile_net(net)
        honest = compiled.witness(x)
        forward, truth = net(x), Prover(net)(x)
        ok = Checker(compiled.program)(x, honest.v, honest.y, forward, honest.k, forward_scale=truth.scale).ok
        self.honest_points += len(x)
        self.honest_rejected += int((~(ok & ~_apart(ProgramProver(compiled.program)(x), truth))).sum())
        for mutant in mutants:
            self._judge(mutant, x, honest, forward, truth)

    def _judge(self, mutant: Mutant, x: Array, honest: Witness, forward: Array, truth: Bracket) -> None:
        own = honest if mutant.witness is None else mutant.witness
        ok = Checker(mutant.program)(x, own.v, own.y, forward, own.k, forward_scale=truth.scale).ok
        if mutant.what == "witness":
            matters = broken(mutant.program, x, own)
            undecided, apart = np.zeros(len(x), dtype=bool), np.zeros(len(x), dtype=bool)
        else:
            bracket = (ProgramProver(mutant.program) if mutant.net is None else Prover(mutant.net))(x)
            matters = apart = _apart(bracket, truth)
            undecided = ~apart & ~(np.isfinite(bracket.lo) & np.isfinite(bracket.hi))
        row = self.rows.setdefault((mutant.what, mutant.kind, mutant.array), Row())
        accepted = matters & ok & ~apart
        row.mutants += 1
        row.points += len(x)
        row.matter += int(matters.sum())
        row.rejected += int((matters & ~ok).sum())
        row.by_bracket += int((matters & ok & apart).sum())
        row.accepted += int(accepted.sum())
        row.undecided += int(undecided.sum())
        place = f"{mutant.what} {mutant.kind} {mutant.place}"
        if accepted.any():
            self.accepted.append(f"{place} at {int(accepted.sum())} points")
        if undecided.any():
            self.undecided.append(f"{place} at {int(undecided.sum())} points")
        elif not matters.any():
            row.harmless += 1
            self.harmless.append(place)


def _apart(first: Bracket, second: Bracket) -> BoolArray:
    return np.asarray((first.lo > second.hi) | (first.hi < second.lo))


def broken(program: ValueProgram, x: Array, witness: Witness) -> BoolArray:
    """Tell where a witness breaks feasibility, duality or the gap, by dense sums in extended precision."""
    wide = np.longdouble
    failed = np.zeros(len(x), dtype=bool)
    for i, point in enumerate(x):
        instance = program if program.contexts is None else program[i]
        instance = instance.rescaled(witness.k[i]) if len(program.lifts) else instance
        A, v, y = instance.A.toarray().astype(wide), witness.v[i].astype(wide), witness.y[i].astype(wide)
        right = instance.b.astype(wide) + instance.B.toarray().astype(wide) @ point.astype(wide)
        s, scale = right - A @ v, 1 + np.abs(right) + np.abs(A) @ np.abs(v)
        dual, dual_scale = A.T @ y + instance.q, 1 + np.abs(instance.q) + np.abs(A.T) @ np.abs(y)
        gap = instance.q @ v + right @ y
        worst = [np.abs(gap) / (1 + np.abs(instance.q) @ np.abs(v) + np.abs(right) @ np.abs(y))]
        worst.append(np.max(np.abs(dual) / dual_scale, initial=0))
        cones, start = instance.cones, instance.cones.zero + instance.cones.nonnegative
        worst.append(np.max(np.abs(s[: cones.zero]) / scale[: cones.zero], initial=0))
        linear = slice(cones.zero, start)
        worst.append(np.max(-s[linear] / scale[linear], initial=0))
        worst.append(np.max(-y[linear] / (1 + np.abs(y[linear])), initial=0))
        for size in cones.second_order:
            rows = slice(start, start + size)
            lack = np.linalg.norm(s[rows][1:].astype(float)) - s[start]
            worst.append(lack / np.linalg.norm(scale[rows].astype(float)))
            worst.append((np.linalg.norm(y[rows][1:].astype(float)) - y[start]) / (1 + np.abs(y[start])))
            start += size
        failed[i] = not max(float(w) for w in worst) <= BROKEN or not all(np.isfinite(float(w)) for w in worst)
    return failed
