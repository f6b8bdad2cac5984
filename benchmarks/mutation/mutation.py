"""Mutate programs, witnesses and compilers, and count what the verifier rejects and accepts.

A mutant of a program matters at a point where its proven bracket excludes the network's (no feasible point and no
bound counted as values +inf and -inf); one of a witness where it breaks feasibility or duality by far more than
rounding, or where its cut lies above the network. There it must be rejected. Points that are left undecided, and
mutants that matter at no point tried, are counted and not judged.

A program without a feasible point by less than any tolerance, such as z <= 0 for a softplus unit that is next to 0,
passes the core, which compares residuals; there `verify.certify` is asked, which brackets its value.

A mutant is accepted where it matters if every check passes although its value, or its cut, leaves the network's
bracket widened by the tolerance, by S of network and x alone. Those that leave the bracket by less are told apart by
brackets only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from benchmarks.mutation.batches import batches, stacked_nets, stacked_programs
from benchmarks.mutation.mutants import Mutant
from socicnn._arrays import Array, BoolArray
from socicnn._compile import Compiled, Witness, compile_net
from socicnn.conic._program import ValueProgram
from socicnn.frozen import FrozenNet
from verify._certify import certify
from verify._core.checker import Checker
from verify._proof.network import Bracket, Prover
from verify._proof.program import ProgramProver

BROKEN = 1e-9  # relative residual from which a witness is broken, a thousand times the tolerance of the core
WHOLE = 1e-12  # and up to which it is as good as the honest one
SHARP = 1e-9  # relative width up to which brackets that overlap say that two values are the same
LISTED = 20  # places printed of each kind


@dataclass
class Row:
    """Counts of one kind of mutant, or of one architecture.

    Args:
        mutants: how many.
        points: at how many points all of them together were tried.
        matter: points at which they matter.
        rejected: of those, rejected by the core, or, of programs in disguise, by `verify.certify`.
        by_bracket: of those, rejected by the brackets alone: the difference is below the tolerance of the core.
        accepted: of those, accepted; 0 where the verifier is sound.
        undecided: points that are left undecided.
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

    def __add__(self, other: Row) -> Row:
        return Row(*(getattr(self, entry.name) + getattr(other, entry.name) for entry in fields(Row)))


class Table:
    """Rows of counts, by what was mutated, how and in which array, and by architecture; prints itself.

    Attributes:
        rows: counts by (what, kind, array).
        architectures: counts by the name of the architecture.
        honest_points: points at which the honest programs were tried.
        honest_rejected: those of them at which one was rejected.
        accepted: mutants that were accepted where they matter, in words.
        harmless: place of the mutants that matter at no point tried -> how many.
        undecided: place of the mutants with undecided points -> how many such points.
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], Row] = {}
        self.architectures: dict[str, Row] = {}
        self.honest_points = 0
        self.honest_rejected = 0
        self.accepted: list[str] = []
        self.harmless: Counter[str] = Counter()
        self.undecided: Counter[str] = Counter()

    @property
    def total(self) -> Row:
        """All counts together."""
        return sum(self.rows.values(), Row())

    @property
    def mutants(self) -> int:
        """Number of mutants tried."""
        return self.total.mutants

    def state(self) -> dict[str, Any]:
        """Return everything that was counted, as JSON can hold it."""
        return {
            **vars(self),
            "rows": [[*key, asdict(row)] for key, row in self.rows.items()],
            "architectures": {name: asdict(row) for name, row in self.architectures.items()},
        }

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Table:
        """Return the table whose `state` this is."""
        table = cls()
        vars(table).update(state)
        table.rows = {(what, kind, array): Row(**row) for what, kind, array, row in state["rows"]}
        table.architectures = {name: Row(**row) for name, row in state["architectures"].items()}
        table.harmless, table.undecided = Counter(state["harmless"]), Counter(state["undecided"])
        return table

    def __str__(self) -> str:
        names = [entry.name for entry in fields(Row)]
        lines = [("mutated", "how", "array", *(name.replace("_", " ") for name in names))]
        for key, row in (*sorted(self.rows.items()), (("all", "", ""), self.total)):
            lines.append((*key, *(str(getattr(row, name)) for name in names)))
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = [
            "  ".join(c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        ]
        text.insert(1, "  ".join("-" * width for width in widths))
        text.append(f"honest: rejected at {self.honest_rejected} of {self.honest_points} points")
        text += [f"accepted: {place}" for place in self.accepted[:LISTED]]
        text += [f"accepted: and {len(self.accepted) - LISTED} more"] if len(self.accepted) > LISTED else []
        for title, unit, places in (
            ("matter at no point tried", "mutants", self.harmless),
            ("undecided", "points", self.undecided),
        ):
            text.append(f"{title}: {sum(places.values())} {unit}, in {len(places)} places")
            text += [f"  {count} {unit}: {place}" for place, count in places.most_common(LISTED)]
        return "\n".join(text)

    def add(self, net: FrozenNet, x: Array, mutants: Iterable[Mutant], architecture: str = "") -> None:
        """Try mutants of one network at its points, the honest program first.

        Args:
            net: the network.
            x: points, shape `(N, n)`.
            mutants: of its program, of its witness at these points, or of its compiler.
            architecture: whose row counts them too.
        """
        compiled = compile_net(net)
        honest = _Honest(compiled, x, compiled.witness(x), net(x), Prover(net)(x))
        ok = Checker(compiled.program)(
            x,
            honest.witness.v,
            honest.witness.y,
            honest.forward,
            honest.witness.k,
            scale=honest.bracket.scale,
            slack=honest.bracket.slack(honest.forward),
        ).ok
        self.honest_points += len(x)
        self.honest_rejected += int((~(ok & ~_apart(ProgramProver(compiled.program)(x), honest.bracket))).sum())
        for batch in batches(mutants, compiled.program, net, len(x)):
            parts = [verdict.reshape(len(batch), -1) for verdict in _judged(batch, honest)]
            for i, mutant in enumerate(batch):
                self._count(mutant, architecture, _Verdicts(*(part[i] for part in parts)))

    def _count(self, mutant: Mutant, architecture: str, found: _Verdicts) -> None:
        passed = found.matters & found.ok
        accepted, unsettled = int((passed & found.beyond).sum()), int(found.undecided.sum())
        row = Row(
            mutants=1,
            points=len(found.ok),
            matter=int(found.matters.sum()),
            rejected=int((found.matters & ~found.ok).sum()),
            by_bracket=int((passed & ~found.beyond).sum()),
            accepted=accepted,
            undecided=unsettled,
            harmless=int(not found.matters.any() and not unsettled),
        )
        key = (mutant.what, mutant.kind, mutant.array)
        self.rows[key] = self.rows.get(key, Row()) + row
        if architecture:
            self.architectures[architecture] = self.architectures.get(architecture, Row()) + row
        place = f"{mutant.what} {mutant.kind} {mutant.place}"
        if accepted:
            self.accepted.append(f"{place} at {accepted} points")
        self.undecided += Counter({place: unsettled})
        self.harmless += Counter({place: row.harmless})


@dataclass(frozen=True, eq=False)
class _Honest:
    """The network, its points, and what is true there."""

    compiled: Compiled
    x: Array
    witness: Witness
    forward: Array
    bracket: Bracket


class _Verdicts(NamedTuple):
    """Of each point: whether the core accepts, it matters, it matters by more than the tolerance, or is undecided."""

    ok: BoolArray
    matters: BoolArray
    beyond: BoolArray
    undecided: BoolArray


def _judged(batch: list[Mutant], honest: _Honest) -> _Verdicts:
    """Return the verdicts on all mutants of a batch, one after another."""
    N, K = len(honest.x), len(batch)
    repeated = (lambda array: array) if K == 1 else (lambda array: np.concatenate([array] * K))
    x, forward = repeated(honest.x), repeated(honest.forward)
    truth = Bracket(*(repeated(getattr(honest.bracket, name)) for name in ("lo", "hi", "scale")))
    first = batch[0]
    if first.what == "disguise":
        return _disguised(first, honest)
    if first.what == "compiler":
        net = stacked_nets([mutant.net for mutant in batch if mutant.net is not None], N)
        compiled = compile_net(net)
        program, own = compiled.program, compiled.witness(x)
    else:
        programs = [mutant.program for mutant in batch if mutant.program is not None]
        program = programs[0] if first.what in ("witness", "cut") else stacked_programs(programs, N)
        given = [mutant.witness or honest.witness for mutant in batch]
        own = Witness(*(np.concatenate([getattr(one, name) for one in given]) for name in ("v", "y", "k")))
    ok = Checker(program)(x, own.v, own.y, forward, own.k, scale=truth.scale, slack=truth.slack(forward)).ok
    if first.what == "cut":
        matters, beyond = _lifted(program, x, own, truth, N)
        return _Verdicts(ok, matters, beyond, np.zeros(len(x), dtype=bool))
    if first.what == "witness":
        wrong = lack(program, x, own)
        matters = ~(wrong <= BROKEN)
        return _Verdicts(ok, matters, matters, ~matters & ~(wrong <= WHOLE))
    bracket = (Prover(net) if first.what == "compiler" else ProgramProver(program))(x)
    apart = _apart(bracket, truth)
    lost = ok & (bracket.lo == np.inf)
    if lost.any() and K == 1 and first.what == "program":  # the unit is positive, but below every tolerance
        ok = ok & ~(lost & ~certify(honest.compiled.net, honest.x, program=program, witness=own).passed)
    with np.errstate(invalid="ignore"):
        sharp = bracket.hi - bracket.lo <= SHARP * (1 + truth.scale)
    return _Verdicts(ok, apart, _apart(bracket, truth, WHOLE * (1 + truth.scale)), ~apart & ~sharp)


def _disguised(mutant: Mutant, honest: _Honest) -> _Verdicts:
    """Return the verdicts on a wrong network's program in disguise, by every check that `verify.certify` makes."""
    net, x, forward = honest.compiled.net, honest.x, honest.forward
    truth, own = honest.bracket, mutant.witness
    assert mutant.net is not None
    assert mutant.program is not None
    assert own is not None
    bracket = Prover(mutant.net)(x)
    apart, beyond = _apart(bracket, truth), _apart(bracket, truth, WHOLE * truth.scale)
    ok = Checker(mutant.program)(x, own.v, own.y, forward, own.k, scale=truth.scale, slack=truth.slack(forward)).ok
    if (ok & beyond).any():  # the core alone is deceived, so what remains is asked too
        ok &= certify(net, x, program=mutant.program, witness=own).passed
    return _Verdicts(ok, apart, beyond, ~apart & ~np.isfinite(bracket.lo))


def _lifted(
    program: ValueProgram, x: Array, witness: Witness, truth: Bracket, points: int
) -> tuple[BoolArray, BoolArray]:
    """Tell whose cut lies above the network at some point, and whose by more than the tolerance.

    The cuts are evaluated in extended precision, so that the multipliers alone can be wrong.
    """
    kind = np.longdouble
    y, k, heads = witness.y.astype(kind), witness.k.astype(kind), program.lifts.heads
    b, d, z = program.b.astype(kind), program.d.astype(kind), x[:points].T.astype(kind)
    slope = d - (sparse.csr_array(program.B.T, dtype=kind) @ y.T).T
    offset = kind(program.r) - y @ b + ((1 - k) * b[heads] * y[:, heads]).sum(axis=1)
    offset = offset + ((1 - k) * b[heads + 1] * y[:, heads + 1]).sum(axis=1)  # the offsets of the lifts at scale k
    above = (slope @ z + offset[:, None] - truth.hi[:points].astype(kind)).astype(np.float64)
    return (above > 0).any(axis=1), (above > WHOLE * truth.scale[:points]).any(axis=1)


def _apart(first: Bracket, second: Bracket, widened: Array | float = 0.0) -> BoolArray:
    return np.asarray((first.lo > second.hi + widened) | (first.hi < second.lo - widened))


def lack(program: ValueProgram, x: Array, witness: Witness) -> Array:
    """Return by how much a witness breaks feasibility, duality or the gap, relative, in extended precision.

    Args:
        program: the exported arrays, of one context.
        x: points, shape `(N, n)`.
        witness: of those points.

    Returns:
        The worst at each point, shape `(N,)`, NaN where the witness is invalid.
    """
    v, y, k, points = (np.ascontiguousarray(array.T) for array in (witness.v, witness.y, witness.k, x))
    t, heads = program.lifts.columns, program.lifts.heads
    b, q = np.repeat(program.b[:, None], len(x), axis=1), np.repeat(program.q[:, None], len(x), axis=1)
    own = np.zeros(len(b))
    own[heads] = own[heads + 1] = 1.0  # a lift's own rows hold t' with the weight of t, and k in place of 1
    inside = sparse.csr_array(sparse.diags_array(own) @ program.A)
    outside = sparse.csr_array(program.A - inside)
    factor = np.ones_like(v)
    factor[t] = k
    b[heads] *= k
    b[heads + 1] *= k
    q *= factor
    with np.errstate(all="ignore"):
        sums = _sums(inside, outside, program.B, b, q, v, y, points, factor, np.longdouble)
        size = np.abs(v), np.abs(y), np.abs(points), np.abs(factor)
        sizes = _sums(abs(inside), abs(outside), abs(program.B), np.abs(b), np.abs(q), *size, np.float64)
        (right, image, dual, gap), (right_size, image_size, dual_size, gap_size) = sums, sizes
        s, size_s = (right - image).astype(np.float64), 1 + right_size + image_size
        cones, start = program.cones, program.cones.zero + program.cones.nonnegative
        linear = slice(cones.zero, start)
        worst = [
            (np.abs(gap) / (1 + gap_size))[None],
            np.abs(dual) / (1 + dual_size),
            np.abs(s[: cones.zero]) / size_s[: cones.zero],
            -s[linear] / size_s[linear],
            -y[linear] / (1 + np.abs(y[linear])),
        ]
        length = lambda rows: np.sqrt((rows**2).sum(axis=0))  # noqa: E731 (local shorthand)
        for head, rows in zip(cones.heads, cones.second_order, strict=True):
            cone, tail = slice(head, head + rows), slice(head + 1, head + rows)
            worst.append(((length(s[tail]) - s[head]) / length(size_s[cone]))[None])
            worst.append(((length(y[tail]) - y[head]) / (1 + np.abs(y[head])))[None])
        for start in range(cones.exponential_start, cones.rows, 3):
            cone = slice(start, start + 3)
            (a, b, c), (u, v, w) = s[cone], y[cone]
            beyond = np.where(b > 0, b * np.exp(a / b) - c, np.inf)
            below = np.where(u < 0, -u * np.exp(v / u - 1) - w, np.where(u == 0, -np.minimum(v, w), np.inf))
            worst.append((beyond / length(size_s[cone]))[None])
            worst.append((below / (1 + np.abs(w)))[None])
        found = np.concatenate(worst).max(axis=0)  # not a number stays so
    return np.asarray(np.where(np.isfinite(found), found, np.nan), dtype=np.float64)


def _sums(
    inside: Any, outside: Any, B: Any, b: Array, q: Array, v: Array, y: Array, x: Array, factor: Array, kind: Any
) -> tuple[Any, Any, Any, Any]:
    """Return b + B x, A v, A'y + q and q'v + (b + B x)'y, summed in the number type `kind`; `factor` scales v."""
    inside, outside, B = (sparse.csr_array(matrix, dtype=kind) for matrix in (inside, outside, B))
    b, q, v, y, x, factor = (array.astype(kind) for array in (b, q, v, y, x, factor))
    right = b + B @ x
    image = inside @ v + outside @ (factor * v)
    dual = factor * (outside.T @ y) + inside.T @ y + q
    return right, image, dual, (q * v).sum(axis=0) + (right * y).sum(axis=0)
