"""A solver's word beside the proof: the program solved at a sample of points, and how far its points are from ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from socicnn.arrays import IntArray
from socicnn.conic.prepared import PreparedValue
from socicnn.conic.program import ValueProgram
from socicnn.conic.solvers import make
from socicnn.conic.solvers.base import Solver
from socicnn.errors import SolverError
from verify.certificate import Certificate
from verify.core.checker import Checker
from verify.report import Check, SolverReport


def sample_of(count: int, most: int) -> IntArray:
    """Return indices spread evenly over the batch."""
    if most < 1:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def solve_sample(
    solver: str | Solver, program: ValueProgram, certificate: Certificate, sample: IntArray, progress: bool
) -> tuple[str, SolverReport]:
    """Solve the program at the sampled points, and measure the solver's points with the trusted core."""
    adapter = make(solver)
    count = len(sample)
    value, seconds, solved = np.full(count, np.nan), np.zeros(count), np.zeros(count, dtype=bool)
    own = np.full(count, np.nan)  # objective without the constant d'x + r, which the solver does not see
    failures: list[str] = []
    residuals: dict[str, float] = {}
    finite = all(np.isfinite(a).all() for a in (program.A.data, program.B.data, program.b, program.q))
    prepared = PreparedValue(program, adapter) if finite else None
    checker = Checker(program)
    for number, point in enumerate(_bar(sample, adapter.name, progress)):
        if prepared is None:
            failures.append("the program has non-finite entries")
            continue
        x = certificate.x[point]
        context = None if program.contexts is None else int(point)
        try:
            answer = prepared.solve(x, context)
        except SolverError as error:
            failures.append(str(error))
            continue
        value[number], seconds[number], solved[number] = answer.value, answer.seconds, answer.ok
        if not answer.ok:
            failures.append(answer.status)
        single = program if context is None else program[context]
        own[number] = answer.value - float(single.d @ x + single.r)
        if np.isfinite(answer.v).all() and np.isfinite(answer.y).all():
            k = single.scales(x[None])
            contexts = None if context is None else slice(context, context + 1)
            seen = checker(x[None], answer.v[None], answer.y[None], certificate.forward[[point]], k, contexts=contexts)
            for name, residual in seen.residuals.items():
                residuals[name] = max(residuals.get(name, 0.0), float(residual[0]))
    errors = np.abs(value - certificate.forward[sample])
    relative = _solver_tolerance(adapter)
    allowed = relative * (1.0 + np.fmax(np.abs(certificate.forward[sample]), np.abs(own)))
    sampled = "" if count in (0, len(certificate)) else f" sampled from {len(certificate)}"
    status = f"solved {int(solved.sum())} of {count} points{sampled}"
    if failures:
        status += f"; solver failed at {len(failures)}: {failures[0]}"
    return adapter.name, SolverReport(
        status=status,
        value=value,
        error=float(np.max(errors[solved])) if solved.any() else float("nan"),
        seconds=seconds,
        points=sample,
        errors=errors,
        allowed=allowed,
        solved=solved,
        residuals=residuals,
        ok=bool((errors[solved] <= allowed[solved]).all()),
    )


def _solver_tolerance(solver: Solver) -> float:
    """Return the relative error within which a solver agrees: SCS reaches 1e-3 at its default, 1e-6 at eps = 1e-9."""
    if solver.name != "scs":
        return 1e-6
    eps = [float(solver.settings[key]) for key in ("eps", "eps_abs", "eps_rel") if key in solver.settings]
    return 1e-6 if eps and max(eps) <= 1e-9 else 1e-3


def agreement(name: str, solver: SolverReport) -> Check:
    """Judge agreement where the solver solved; a solver that failed says nothing about the network."""
    if not solver.solved.any():
        return Check(name, float("nan"), None, None, None, solver.status)
    index = np.flatnonzero(solver.solved)
    at = index[np.argmax(solver.errors[index] / solver.allowed[index])]
    return Check(name, float(solver.errors[at]), float(solver.allowed[at]), int(solver.points[at]), solver.ok)


def _bar(sample: IntArray, name: str, progress: bool) -> Iterable[Any]:
    if not progress:
        return sample
    from tqdm import tqdm

    return tqdm(sample, unit="points", desc=name)
