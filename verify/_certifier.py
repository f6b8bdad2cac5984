"""One network prepared once, to certify many batches of points: a proof per point, no solver."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast, final

import numpy as np

from socicnn._arrays import Array, read_only
from socicnn._compile import Compiled, Freezable, compile_net, frozen, takes_context
from socicnn._frames import refuse_other_columns
from socicnn._integers import as_integer
from socicnn._registry import unknown
from socicnn._witness import Witness
from socicnn.conic._program import ValueProgram
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from verify._certificate import Certificate, slices
from verify._core.checker import Checked, Checker
from verify._core.structure import differences, monotone
from verify._instance import Instance
from verify._proof.balls import BallProver
from verify._proof.network import Prover
from verify._proof.program import ProgramProver
from verify._report import Check, worst

ProofName = Literal["float64", "balls"]

CHUNK = 400_000  # numbers that a witness of one chunk holds: a few megabytes, so that passes stay in cache
FEW = 256  # points that matrix products are fast with

P = TypeVar("P", bound=Prover | BallProver)


@final
class Certifier:
    """Certifies network = program at many batches of points; what does not depend on the points is prepared once.

    Args:
        model_or_net: a network, or a FrozenNet. A network without contexts is frozen here and now: training on changes
            nothing. One with contexts is frozen and prepared anew at the contexts of each call.
        tolerance: relative tolerance of the checks; defaults to 1e-12.
        proof: also bracket the value in real arithmetic, as in `verify.certify`.

    Raises:
        ModelError: the network cannot be exported.

    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> certifier = Certifier(FrozenNet([Layer(None, [[1.0], [-1.0]], [0.0, 0.0])], Output([1.0, 1.0], [0.0])))
    >>> [certifier(x).ok for x in ([[2.0]], [[-1.0], [0.0]])]
    [True, True]
    """

    def __init__(
        self, model_or_net: Freezable, *, tolerance: float | None = None, proof: bool | ProofName = False
    ) -> None:
        needs_context = takes_context(model_or_net)
        self._ranges = getattr(model_or_net, "ranges", None)  # a FrozenNet has none
        self._model = model_or_net if needs_context else frozen(model_or_net)
        self._tolerance = 1e-12 if tolerance is None else tolerance
        self._proof = proof
        self._prepared = None if needs_context else PreparedNet(frozen(self._model), self._tolerance, proof=proof)

    def __call__(self, x: Any, context: Any = None, *, chunk: int | None = None, progress: bool = False) -> Certificate:
        """Certify points.

        Args:
            x: points of shape `(*batch, n)` or `(*batch, *input_shape)`, torch or NumPy.
            context: one context, or one per point, of a network with contexts.
            chunk: points to work on at a time; chosen from the program's size if omitted.
            progress: show a progress bar.

        Raises:
            ModelError: shapes that do not fit, or frames with other columns than the network was trained with.
        """
        refuse_other_columns(self._ranges, "x", x)
        instance = Instance.of(self._model, x, context)
        if self._prepared is None:
            self._prepared = PreparedNet(instance.net, self._tolerance, proof=self._proof)
        elif instance.net is not self._prepared.net:
            self._prepared = self._prepared.at(instance.net)
        return self._prepared(instance.x, chunk=chunk, progress=progress)


@final
class PreparedNet:
    """A frozen network, its program and the checker of that program.

    Args:
        net: the network.
        tolerance: relative tolerance of the checks.
        proof: also bracket the value in real arithmetic.
        program: a program to check in place of the one that is compiled from the network.
        compiled: the network's own program, if it is at hand.
    """

    def __init__(
        self,
        net: FrozenNet,
        tolerance: float,
        *,
        proof: bool | ProofName = False,
        program: ValueProgram | None = None,
        compiled: Compiled | None = None,
    ) -> None:
        self.net, self.tolerance, self._proof = net, tolerance, proof
        self.compiled = compile_net(net) if compiled is None else compiled
        self.program = self.compiled.program if program is None else program
        self._checker = Checker(self.program, tolerance)
        self._foreign = bool(
            monotone(self.program) or differences(self.program, net)
        )  # not the network's, entry by entry
        self._prove = _prover(proof)
        self._provers: dict[str, Prover | BallProver] = {}

    def at(self, net: FrozenNet) -> PreparedNet:
        """Return the same for a network at other contexts."""
        return PreparedNet(net, self.tolerance, proof=self._proof)

    def __call__(
        self, points: Array, *, witness: Witness | None = None, chunk: int | None = None, progress: bool = False
    ) -> Certificate:
        """Certify points of shape `(N, n)`, which are kept as they are; the arguments are those of `verify.certify`.

        Raises:
            ModelError: the program or the witness does not have the network's shape.
        """
        program = self.program
        if not fits(program, self.compiled.program, witness):
            raise ModelError(
                f"the program has {program.A.shape[0]} rows, {program.A.shape[1]} variables and {program.in_features} "
                "inputs, but the witness has other sizes; pass a program and witness compiled from this network"
            )
        if witness is not None:
            parts = (np.array(part, dtype=np.float64) for part in (witness.v, witness.y, witness.k))
            witness = Witness(*map(read_only, parts))  # a copy, so that what was checked stays what it was
        N = len(points)
        if chunk is None:
            chunk = chunk_of(sum(program.A.shape) + program.in_features)
        chunk = as_integer("chunk", chunk)
        outcome = _Outcome(N, proof=self._prove is not None)
        for rows in slices(N, chunk, progress=progress):
            self._chunk(points[rows], rows, witness, outcome)
        return Certificate(
            net=self.net,
            compiled=self.compiled,
            program=program,
            x=points,
            forward=outcome.forward,
            value=outcome.value,
            dual=outcome.dual,
            residuals=outcome.residuals,
            checks=outcome.checks,
            passed=outcome.passed,
            lo=outcome.lo,
            hi=outcome.hi,
            tolerance=self.tolerance,
            chunk=chunk,
            seconds=outcome.seconds,
            supplied=witness,
        )

    def _chunk(self, x: Array, rows: slice, witness: Witness | None, outcome: _Outcome) -> None:
        """Certify some of the points and enter what was found."""
        stacked = self.net.stacked
        net = self.net[rows] if stacked else self.net
        start = time.perf_counter()
        activations: list[Array] = []
        forward = net.values(x, activations)  # of the network as it was given, not as it was compiled
        middle = time.perf_counter()
        if witness is None:  # the checker trusts no part of it, wherever its numbers come from
            honest = self.compiled.net is self.net  # what another network was compiled to has a witness of its own
            own = self.compiled.part(rows).columns(x, activations if honest else None)
        else:
            own = Witness(witness.v[rows], witness.y[rows], witness.k[rows])
        checked = self._checked(net, own, x, forward, rows if stacked else slice(None))
        if self._foreign:
            program = self.program[rows] if stacked else self.program
            _bracketed(checked, program, self._prover("network", Prover, net), x, self.tolerance)
        outcome.seconds["forward"] += middle - start
        outcome.seconds["certificate"] += time.perf_counter() - middle
        outcome.enter(rows, checked)
        if self._prove is not None and outcome.lo is not None and outcome.hi is not None:
            bracket = self._prover("proof", self._prove, net)(x)
            outcome.lo[rows], outcome.hi[rows] = bracket.lo, bracket.hi

    def _checked(self, net: FrozenNet, own: Witness, x: Array, forward: Array, contexts: slice) -> Checked:
        """Check one chunk; |f| is a part of the data scale S; S and the bracket are asked where it is too small."""
        checked = self._checker(x, own.v, own.y, forward, own.k, scale=np.abs(forward), contexts=contexts)
        values = ("gap", "forward")
        if any(not (checked.residuals[name] <= checked.tolerances[name]).all() for name in values):
            proven = self._prover("network", Prover, net)(x)
            slack = proven.slack(forward)
            checked = self._checker(x, own.v, own.y, forward, own.k, scale=proven.scale, slack=slack, contexts=contexts)
        return checked

    def _prover(self, name: str, make: Callable[[FrozenNet], P], net: FrozenNet) -> P:
        """Return a prover of the network: the one kept, unless the network is a part of a stack."""
        if net is not self.net:
            return make(net)
        if name not in self._provers:
            self._provers[name] = make(net)
        return cast(P, self._provers[name])


def chunk_of(numbers: int) -> int:
    """Return how many points to certify at a time, given the numbers per point.

    As many as a processor's cache holds; a few more where that is under `FEW`, below which products read the matrices
    too often.
    """
    usual = CHUNK // max(1, numbers)
    return max(1, min(4096, max(usual, min(FEW, 8 * usual))))


class _Outcome:
    """The values, verdicts and residuals of N points, entered chunk by chunk."""

    def __init__(self, count: int, *, proof: bool) -> None:
        self.forward, self.value, self.dual = np.empty(count), np.empty(count), np.empty(count)
        self.passed = np.zeros(count, dtype=bool)
        self.lo: Array | None = np.empty(count) if proof else None
        self.hi: Array | None = np.empty(count) if proof else None
        self.residuals: dict[str, Array] = {}
        self.checks: dict[str, Check] = {}
        self.seconds = {"forward": 0.0, "certificate": 0.0}

    def enter(self, rows: slice, checked: Checked) -> None:
        """Enter the verdict on some points."""
        self.forward[rows], self.value[rows], self.dual[rows] = checked.forward, checked.value, checked.dual
        self.passed[rows] = checked.ok
        for name, residual in checked.residuals.items():
            if name not in self.residuals:
                self.residuals[name] = np.zeros(len(self.passed))
            self.residuals[name][rows] = residual
        worst(self.checks, checked.residuals, checked.tolerances, rows.start)


def _prover(proof: bool | str) -> Callable[[FrozenNet], Prover | BallProver] | None:
    """Return what makes the prover of that name, or None."""
    provers: dict[bool | str, type[Prover] | type[BallProver]] = {
        True: Prover,
        "float64": Prover,
        "balls": BallProver,
    }
    if proof is False:
        return None
    if proof not in provers:
        raise ModelError(unknown("proof", proof, ("True", "float64", "balls")))
    return provers[proof]


def _bracketed(checked: Checked, program: ValueProgram, prover: Prover, x: Array, tolerance: float) -> None:
    """Hold a program that is not the network's, entry by entry, to the network's value in real arithmetic.

    Residuals within their tolerances do not bound the value of just any program: a row may be scaled down until
    whatever is wrong in it is below its tolerance. So the value is bracketed from the program's arrays alone, and must
    lie in the network's bracket, widened by tolerance * S. A program without a bracket is not certified.
    """
    own, proven = ProgramProver(program)(x), prover(x)
    with np.errstate(all="ignore"):
        outside = np.maximum(np.maximum(proven.lo - own.lo, own.hi - proven.hi), 0.0)
    allowed = tolerance * proven.scale
    checked.residuals["program_value"] = np.where(np.isfinite(outside), outside, np.inf)
    checked.tolerances["program_value"] = np.where(np.isfinite(allowed), allowed, 0.0)
    checked.ok[:] &= checked.residuals["program_value"] <= checked.tolerances["program_value"]


def fits(program: ValueProgram, own: ValueProgram, witness: Witness | None) -> bool:
    """Tell whether the witness at hand has the shape of `program`: the given one, or that of the network's own."""
    m, variables = own.A.shape if witness is None else (witness.y.shape[1], witness.v.shape[1])
    lifts = len(own.lifts) if witness is None else witness.k.shape[1]
    same = (program.A.shape, program.in_features, len(program.lifts)) == ((m, variables), own.in_features, lifts)
    return same and program.contexts == own.contexts
