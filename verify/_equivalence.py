"""Verify that a network equals its conic program: forward = primal = dual, on the exported arrays, and by solvers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from socicnn._arrays import Array
from socicnn._compile import Freezable, Witness, compile_net
from socicnn._integers import as_integer
from socicnn.conic._program import ValueProgram
from socicnn.conic.solvers import Solver, SolverName
from socicnn.frozen import FrozenNet
from verify._certificate import Certificate, slices
from verify._certifier import PreparedNet, ProofName, fits
from verify._core.structure import differences, monotone
from verify._equivalence_report import EquivalenceReport
from verify._instance import Instance
from verify._proof.program import ProgramProver
from verify._proof.scale import data_scale
from verify._report import Check
from verify._solved import sample_of, solve_sample


def equivalence(
    model_or_net: Freezable,
    x: Any,
    context: Any = None,
    *,
    solvers: SolverName | Solver | Sequence[SolverName | Solver] = ("clarabel",),
    tolerance: float | None = None,
    proof: bool | ProofName = False,
    program: ValueProgram | None = None,
    witness: Witness | None = None,
    max_solver_points: int = 25,
    progress: bool = False,
) -> EquivalenceReport:
    """Verify at each point that forward value = value of the conic program = value of its dual.

    The exported arrays are checked whole (`verify._core.structure`) and at each point with the closed-form primal and
    dual (`verify._core.checker`), against a forward value that was computed from the weights independently. The model's
    own forward pass, in its own floating type, is compared too. That is the proof, and `report.ok` is its verdict.

    Solvers see a sample of the points. What they say is reported apart from the proof, in `report.solvers` and
    `report.agreed`: a solver that is inaccurate, fails or lies says nothing about the network.

    Args:
        model_or_net: a network, or a FrozenNet.
        x: one point or a batch, torch or NumPy, of shape `(*batch, n)` or `(*batch, *input_shape)`.
        context: one context, or one per point.
        solvers: names of solvers, or `Solver` objects, several or one; () for no solver.
        tolerance: relative tolerance of the certificate, times 1 + data scale; defaults to 1e-12.
        proof: also bracket the value in real arithmetic, of the network and of the program, and compare the brackets;
            "balls" by ball arithmetic, as in `verify.certify`.
        program: an exported program to verify in place of the one that is compiled from the network.
        witness: primal and dual points to verify in place of the closed form.
        max_solver_points: points that a solver sees at most, spread over the batch.
        progress: show progress bars.

    Raises:
        ModelError: shapes that do not fit, or a network that is not convex or cannot be exported.
        MissingExtra: a solver that is not installed.
        SolverError: an unknown solver, or one that cannot take this kind of program.

    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> net = FrozenNet([Layer(None, [[1.0], [-1.0]], [0.0, 0.0])], Output([1.0, 1.0], [0.0]))
    >>> report = equivalence(net, [[-2.0], [0.0], [3.0]])
    >>> report.ok, report.forward
    (True, array([2., 0., 3.]))
    """
    max_solver_points = as_integer("max_solver_points", max_solver_points, 0)
    solvers = (solvers,) if isinstance(solvers, str | Solver) else solvers
    instance = Instance.of(model_or_net, x, context)
    compiled = compile_net(instance.net)
    exported = compiled.program if program is None else program
    checks = [
        _of_program("structure", monotone(exported)),
        _of_program("arrays", differences(exported, instance.net)),
    ]
    if not fits(exported, compiled.program, witness):
        return _misfit(checks, exported, instance)
    tolerance = 1e-12 if tolerance is None else tolerance
    prepared = PreparedNet(instance.net, tolerance, proof=proof, program=exported, compiled=compiled)
    certificate = prepared(instance.x, witness=witness, progress=progress)
    checks += certificate.checks.values()
    start = time.perf_counter()
    own = _model_forward(model_or_net, instance)
    times = {"forward": time.perf_counter() - start, "certificate": certificate.seconds["certificate"]}
    if own is None:
        times["forward"] = certificate.seconds["forward"]
    else:
        checks.append(_of_model(*own, instance, certificate))
    if certificate.lo is not None and certificate.hi is not None:
        checks.append(_of_bracket(certificate, certificate.lo, certificate.hi))
        checks.append(_of_program_bracket(exported, certificate, certificate.lo, certificate.hi))
    reports = {}
    sample = sample_of(len(certificate), max_solver_points)
    start = time.perf_counter()
    for solver in solvers:
        name, solved = solve_sample(solver, exported, certificate, sample, progress)
        reports[name] = solved
    if reports:
        times["solver"] = time.perf_counter() - start
    return EquivalenceReport(
        checks=tuple(checks),
        forward=certificate.forward,
        value=certificate.value,
        dual=certificate.dual,
        passed=certificate.passed,
        residuals={check.name: check.worst for check in checks if check.where is not None},
        solvers=reports,
        lo=certificate.lo,
        hi=certificate.hi,
        sizes=_sizes(exported),
        times=times,
        fingerprint=instance.net.fingerprint,
    )


def _sizes(program: ValueProgram) -> dict[str, int]:
    m, variables = program.A.shape
    nonzeros = program.A.nnz + program.B.nnz
    cones = len(program.cones.second_order) + program.cones.exponential
    return {"variables": variables, "rows": m, "cones": cones, "nonzeros": nonzeros}


def _misfit(checks: list[Check], program: ValueProgram, instance: Instance) -> EquivalenceReport:
    """Report a program whose shape differs from the network's, so that no witness fits."""
    nothing = np.full(len(instance.x), np.nan)
    what = f"the program has {program.A.shape[0]} rows and {program.A.shape[1]} variables, which no witness fits"
    return EquivalenceReport(
        checks=(*checks, Check("shape", np.inf, 0.0, None, False, what)),
        forward=instance.net(instance.x),
        value=nothing,
        dual=nothing,
        passed=np.zeros(len(nothing), dtype=bool),
        residuals={},
        sizes=_sizes(program),
        fingerprint=instance.net.fingerprint,
    )


def _of_program(name: str, wrong: list[str]) -> Check:
    return Check(name, float(len(wrong)), 0.0, None, not wrong, "; ".join(wrong))


def _model_forward(model: Any, instance: Instance) -> tuple[Array, float] | None:
    """Return the model's own forward values and the unit roundoff of its type; None if it is not a torch module."""
    if isinstance(model, FrozenNet) or not hasattr(model, "parameters"):
        return None
    import torch

    from socicnn.positivity._base import evaluation_mode

    parameter = next(iter(model.parameters()), None)
    dtype = getattr(model, "dtype", torch.float64 if parameter is None else parameter.dtype)
    device = getattr(model, "device", None if parameter is None else parameter.device)
    shape = instance.net.input_shape
    assert shape is not None
    values = []
    with torch.no_grad(), _without_tf32(torch), evaluation_mode(model):
        for start in range(0, len(instance.x), 4096):
            rows = slice(start, start + 4096)
            x = torch.as_tensor(np.array(instance.x[rows])).reshape(-1, *shape).to(device, dtype)
            if instance.context is None:
                values.append(model(x))
            else:
                stacked = instance.net.stacked
                theta = instance.context[rows] if stacked else instance.context
                values.append(model(x, torch.as_tensor(np.array(theta)).to(device, dtype)))
    return torch.cat(values).double().cpu().numpy(), float(torch.finfo(dtype).eps) / 2


@contextmanager
def _without_tf32(torch: Any) -> Iterator[None]:
    """Keep float32 products on a GPU in float32, whatever the process has chosen: TF32 rounds them to eleven bits."""
    places = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [place.allow_tf32 for place in places]
    try:
        for place in places:
            place.allow_tf32 = False
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value


def _of_model(values: Array, roundoff: float, instance: Instance, certificate: Certificate) -> Check:
    """Compare with the model's own forward pass, within the rounding of its floating type."""
    net = instance.net
    parts = slices(len(instance.x), certificate.chunk)
    scale = np.concatenate([data_scale(instance.part(rows), instance.x[rows]) for rows in parts])
    branches = [quad.A.shape[0] for quad in net.quadratics] + [norm.C.shape[0] for norm in net.norms]
    # a term passes through one sum per layer and one per branch; the 64 are for standardisation and contexts
    terms = 64 + net.in_features * (len(net.layers) + 1) + sum(net.hidden_features) + max(branches, default=0)
    allowed = np.maximum(certificate.tolerance, roundoff * terms) * (1.0 + scale)
    error = np.abs(values - certificate.forward)
    with np.errstate(all="ignore"):
        at = int(np.argmax(error / allowed))
    ok = bool((error <= allowed).all())
    return Check("model_forward", float(error[at]), float(allowed[at]), at, ok, "" if ok else _autocast())


def _autocast() -> str:
    """Return a sentence if torch's autocast is on, which lets models compute in a shorter type than their own."""
    import torch

    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            kind = str(torch.get_autocast_dtype(device)).removeprefix("torch.")
            return f"autocast is on: the model computes in {kind}; verify outside of torch.autocast"
    return ""


def _of_bracket(certificate: Certificate, lo: Array, hi: Array) -> Check:
    """Check that the proven bracket holds the forward value, up to its rounding."""
    limit = certificate.tolerance * (1.0 + np.abs(lo) + np.abs(hi))
    with np.errstate(all="ignore"):
        outside = np.maximum(lo - certificate.forward, certificate.forward - hi)
        at = int(np.argmax(outside))
        finite = bool(np.isfinite(hi - lo).all())
    ok = finite and bool((outside <= limit).all())
    detail = "" if finite else "the arithmetic overflowed, so that nothing was proven"
    return Check("bracket", max(0.0, float(outside[at])), float(limit[at]), at, ok, detail)


def _of_program_bracket(program: ValueProgram, certificate: Certificate, lo: Array, hi: Array) -> Check:
    """Check that the value of the program, bracketed from its arrays alone, can be that of the network."""
    whole = None if program.stacked else ProgramProver(program)
    apart = np.empty(len(certificate))
    for rows in slices(len(certificate), certificate.chunk):
        own = (whole or ProgramProver(program[rows]))(certificate.x[rows])
        with np.errstate(all="ignore"):
            apart[rows] = np.maximum(own.lo - hi[rows], lo[rows] - own.hi)
    at = int(np.argmax(apart))
    return Check("program_bracket", max(0.0, float(apart[at])), 0.0, at, bool((apart <= 0).all()))
