"""Certificates for many points at once: primal from the forward pass, dual from the backward pass, no solver."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from socicnn.arrays import Array
from socicnn.compile import Compiled, Freezable, Witness, compile_net
from socicnn.conic.program import ValueProgram
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from socicnn.integers import as_integer
from socicnn.registry import unknown
from verify.certificate import Certificate, slices
from verify.core.checker import Checked, Checker
from verify.core.structure import differences, monotone
from verify.instance import Instance
from verify.proof.balls import BallProver
from verify.proof.network import Prover
from verify.proof.program import ProgramProver
from verify.report import Check, worst

ProofName = Literal["float64", "balls"]

CHUNK = 400_000  # numbers that a witness of one chunk holds: a few megabytes, so that passes stay in cache


def certify(
    model_or_net: Freezable,
    x: Any,
    context: Any = None,
    *,
    proof: bool | ProofName = False,
    tolerance: float | None = None,
    program: ValueProgram | None = None,
    witness: Witness | None = None,
    chunk: int | None = None,
    progress: bool = False,
) -> Certificate:
    """Certify network = program at many points, without a solver.

    Args:
        model_or_net: a network, or a FrozenNet.
        x: points of shape `(*batch, n)` or `(*batch, *input_shape)`, torch or NumPy.
        context: one context, or one a point.
        proof: also bracket the value in real arithmetic: True or "float64" by the rounding of every operation,
            "balls" by ball arithmetic (extra `[proof]`), narrower and slower. A given witness is not used for it.
        tolerance: relative tolerance of the checks; defaults to 1e-12.
        program: an exported program to check in place of the one that is compiled from the network. Where its arrays
            are not the network's, entry by entry, its value is also bracketed and held to the network's bracket.
        witness: primal and dual points to check in place of the closed form; the scales k must be next to ||p||, as
            those of `Compiled.witness` are.
        chunk: points to work on at a time; chosen from the program's size if omitted.
        progress: show a progress bar.

    Raises:
        ModelError: shapes that do not fit, or a network that cannot be exported.

    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> net = FrozenNet([Layer(None, [[1.0], [-1.0]], [0.0, 0.0])], Output([1.0, 1.0], [0.0]))
    >>> certificate = certify(net, np.linspace(-2, 2, 5)[:, None])
    >>> certificate.ok, certificate.forward
    (True, array([2., 1., 0., 1., 2.]))
    """
    instance = Instance.of(model_or_net, x, context)
    return certify_instance(
        instance,
        compile_net(instance.net),
        proof=proof,
        tolerance=1e-12 if tolerance is None else tolerance,
        program=program,
        witness=witness,
        chunk=chunk,
        progress=progress,
    )


def certify_instance(
    instance: Instance,
    compiled: Compiled,
    *,
    proof: bool | ProofName = False,
    tolerance: float = 1e-12,
    program: ValueProgram | None = None,
    witness: Witness | None = None,
    chunk: int | None = None,
    progress: bool = False,
) -> Certificate:
    """Certify points whose network is frozen and compiled; the arguments are those of `certify`.

    Raises:
        ModelError: the program or the witness does not have the network's shape.
    """
    net, points = instance.net, instance.x
    program = compiled.program if program is None else program
    if not fits(program, compiled.program, witness):
        raise ModelError(
            f"the program has {program.A.shape[0]} rows, {program.A.shape[1]} variables and {program.in_features} "
            "inputs, which the witness does not fit; give the program and witness of this network"
        )
    if witness is not None:
        witness = Witness(*(_kept(part) for part in (witness.v, witness.y, witness.k)))
    foreign = bool(monotone(program) or differences(program, net))  # not the network's, entry by entry
    N = len(points)
    if chunk is None:
        chunk = max(1, min(4096, CHUNK // max(1, sum(program.A.shape) + program.in_features)))
    chunk = as_integer("chunk", chunk)
    checker = Checker(program, tolerance)
    prove = _prover(proof)
    prover = prove(net) if prove is not None and net.contexts is None else None
    forward, value, dual = np.empty(N), np.empty(N), np.empty(N)
    passed = np.zeros(N, dtype=bool)
    lo, hi = (None, None) if prove is None else (np.empty(N), np.empty(N))
    residuals: dict[str, Array] = {}
    checks: dict[str, Check] = {}
    seconds = {"forward": 0.0, "certificate": 0.0}
    for rows in slices(N, chunk, progress=progress):
        part, own_net = compiled.part(rows), instance.part(rows)
        x = points[rows]
        start = time.perf_counter()
        forward[rows] = own_net(x)  # of the network as it was given, not as it was compiled
        middle = time.perf_counter()
        own = part.witness(x) if witness is None else Witness(witness.v[rows], witness.y[rows], witness.k[rows])
        checked = _checked(checker, own_net, own, x, forward[rows], rows, net.contexts is not None)
        if foreign:
            _bracketed(checked, program if program.contexts is None else program[rows], own_net, x, tolerance)
        seconds["forward"] += middle - start
        seconds["certificate"] += time.perf_counter() - middle
        value[rows], dual[rows], passed[rows] = checked.value, checked.dual, checked.ok
        for name, residual in checked.residuals.items():
            residuals.setdefault(name, np.zeros(N))[rows] = residual
        worst(checks, checked.residuals, checked.tolerances, rows.start)
        if prove is not None and lo is not None and hi is not None:
            bracket = (prover or prove(own_net))(x)
            lo[rows], hi[rows] = bracket.lo, bracket.hi
    return Certificate(
        net=net,
        compiled=compiled,
        program=program,
        x=points,
        forward=forward,
        value=value,
        dual=dual,
        residuals=residuals,
        checks=checks,
        passed=passed,
        lo=lo,
        hi=hi,
        tolerance=tolerance,
        chunk=chunk,
        seconds=seconds,
        supplied=witness,
    )


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


def _checked(
    checker: Checker, net: FrozenNet, own: Witness, x: Array, forward: Array, rows: slice, stacked: bool
) -> Checked:
    """Check one chunk; |f| is a part of the data scale S; S and the bracket are asked where it is too small."""
    contexts = rows if stacked else None
    checked = checker(x, own.v, own.y, forward, own.k, scale=np.abs(forward), contexts=contexts)
    values = ("gap", "forward")
    if any(not (checked.residuals[name] <= checked.tolerances[name]).all() for name in values):
        proven = Prover(net)(x)
        slack = proven.slack(forward)
        checked = checker(x, own.v, own.y, forward, own.k, scale=proven.scale, slack=slack, contexts=contexts)
    return checked


def _bracketed(checked: Checked, program: ValueProgram, net: FrozenNet, x: Array, tolerance: float) -> None:
    """Hold a program that is not the network's, entry by entry, to the network's value in real arithmetic.

    Residuals within their tolerances do not bound the value of just any program: a row may be scaled down until
    whatever is wrong in it is below its tolerance. So the value is bracketed from the program's arrays alone, and must
    lie in the network's bracket, widened by tolerance * S. A program that cannot be bracketed is not certified.
    """
    own, proven = ProgramProver(program)(x), Prover(net)(x)
    with np.errstate(all="ignore"):
        outside = np.maximum(np.maximum(proven.lo - own.lo, own.hi - proven.hi), 0.0)
    allowed = tolerance * proven.scale
    checked.residuals["program_value"] = np.where(np.isfinite(outside), outside, np.inf)
    checked.tolerances["program_value"] = np.where(np.isfinite(allowed), allowed, 0.0)
    checked.ok[:] &= checked.residuals["program_value"] <= checked.tolerances["program_value"]


def _kept(array: Array) -> Array:
    """Return a read-only copy, so that what was checked stays what it was."""
    copy = np.array(array, dtype=np.float64)
    copy.flags.writeable = False
    return copy


def fits(program: ValueProgram, own: ValueProgram, witness: Witness | None) -> bool:
    """Tell whether the witness at hand has the shape of `program`: the given one, or that of the network's own."""
    m, variables = own.A.shape if witness is None else (witness.y.shape[1], witness.v.shape[1])
    lifts = len(own.lifts) if witness is None else witness.k.shape[1]
    same = (program.A.shape, program.in_features, len(program.lifts)) == ((m, variables), own.in_features, lifts)
    return same and program.contexts == own.contexts
