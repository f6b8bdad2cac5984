"""Cross-check with a numerical solver: the program solved at a sample of points, and how far its points are off."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from socicnn._arrays import Array, IntArray
from socicnn.conic._prepared import PreparedValue
from socicnn.conic._program import ValueProgram
from socicnn.conic.solvers import Solver, SolverName, make
from socicnn.errors import SocicnnError
from verify._certificate import Certificate
from verify._core.checker import Checker
from verify._equivalence_report import SolverReport


def sample_of(count: int, most: int) -> IntArray:
    """Return indices spread evenly over the batch."""
    if most < 1:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def solve_sample(
    solver: SolverName | Solver, program: ValueProgram, certificate: Certificate, sample: IntArray, progress: bool
) -> tuple[str, SolverReport]:
    """Solve the program at the sampled points, and measure the solver's points with the trusted core.

    Whatever an adapter does at a point ends in the report: a breakdown, an exception, a point that is not finite or of
    another length.

    Raises:
        MissingExtra: the solver is not installed.
        SolverError: an unknown solver, or one that cannot take this kind of program.
    """
    adapter = make(solver)
    count = len(sample)
    value, seconds, solved = np.full(count, np.nan), np.zeros(count), np.zeros(count, dtype=bool)
    own = np.full(count, np.nan)  # objective without the constant d'x + r, which the solver does not see
    failures: list[str] = []
    residuals: dict[str, float] = {}
    checker = Checker(program)
    prepared = _prepared(program, adapter, failures)
    for number, point in enumerate(tqdm(sample, adapter.name, unit="points", disable=not progress)):
        if prepared is None:
            break
        x = certificate.x[point]
        context = int(point) if program.stacked else None
        try:
            answer = prepared.solve(x, context)
        except Exception as error:  # an adapter's package may raise anything; it is the solver that failed
            failures.append(_told(adapter, error))
            continue
        value[number], seconds[number] = answer.value, answer.seconds
        solved[number] = answer.ok and np.isfinite(answer.value)
        if not solved[number]:
            failures.append(answer.status if not answer.ok else f"{adapter.label} reports the value {answer.value}")
        single = program if context is None else program[context]
        own[number] = answer.value - float(single.d @ x + single.r)
        if np.isfinite(answer.v).all() and np.isfinite(answer.y).all():
            k = single.scales(x[None])
            contexts = slice(None) if context is None else slice(context, context + 1)
            forward = certificate.forward[[point]]
            seen = checker(x[None], answer.v[None], answer.y[None], forward, k, scale=abs(forward), contexts=contexts)
            for name, residual in seen.residuals.items():
                residuals[name] = max(residuals.get(name, 0.0), float(residual[0]))
    forward = certificate.forward[sample]
    with np.errstate(invalid="ignore"):
        errors = np.abs(value - forward)
    allowed = _solver_tolerance(adapter) * (1.0 + np.fmax(np.abs(forward), np.abs(own)))
    sampled = "" if count in (0, len(certificate)) else f" sampled from {len(certificate)}"
    status = f"solved {int(solved.sum())} of {count} points{sampled}"
    if solved.any():
        status += f"; {_apart(adapter, certificate, sample[solved], errors[solved], allowed[solved])}"
    if failures:
        status += f"; solver failed at {len(failures) if prepared is not None else count}: {failures[0]}"
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
    )


def _prepared(program: ValueProgram, adapter: Solver, failures: list[str]) -> PreparedValue | None:
    """Return the solver set up for the program; None, with a sentence in `failures`, where that fails."""
    if not all(np.isfinite(array).all() for array in (program.A.data, program.B.data, program.b, program.q)):
        failures.append("the program has non-finite entries")
        return None
    try:
        return PreparedValue(program, adapter)
    except SocicnnError:  # it is not installed, or cannot take this kind of program: the caller asked for too much
        raise
    except Exception as error:
        failures.append(_told(adapter, error))
        return None


def _told(adapter: Solver, error: Exception) -> str:
    """Return one sentence about what an adapter raised."""
    if isinstance(error, SocicnnError):
        return str(error)
    words = " ".join(str(error).split())
    return f"the adapter of {adapter.label} raised {type(error).__name__}{': ' + words if words else ''}"


def _apart(adapter: Solver, certificate: Certificate, points: IntArray, errors: Array, allowed: Array) -> str:
    """Say how far a solver is from the value at the worst of the points that it solved."""
    at = int(np.argmax(errors / allowed))
    held = bool(certificate.passed[points[at]])
    what = "the proven value" if held else "the network's value, which is not proven"
    if errors[at] <= allowed[at]:
        return f"{adapter.label} is at most {np.max(errors):.1e} off {what}"
    beyond = f"more than {allowed[at]:.1e} allows" if held else f"beyond {allowed[at]:.1e}"
    return f"{adapter.label} is {errors[at]:.1e} off {what} at point {points[at]}, {beyond}"


def _solver_tolerance(solver: Solver) -> float:
    """Return the relative error within which a solver agrees: SCS reaches 1e-3 at its default, 1e-6 at eps = 1e-9."""
    if solver.name != "scs":
        return 1e-6
    eps = [float(solver.settings[key]) for key in ("eps", "eps_abs", "eps_rel") if key in solver.settings]
    return 1e-6 if eps and max(eps) <= 1e-9 else 1e-3
