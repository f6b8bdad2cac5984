"""Optima of random programs, proven, against their exact values: no end may lie on the wrong side.

    python -m benchmarks.proven_optima --count 2000 --out proven_optima.jsonl

Every program is built from a point and multipliers that are optimal in exact arithmetic (their entries are fractions of
small powers of two, tails of cones have whole lengths), so its optimum is a fraction that is known. 40 % are generic
linear programs, 15 % degenerate, 15 % have dependent equalities, 30 % have cones or a quadratic cost; a third are
scaled by 2^+-20. Every fourth is solved by a solver that lies. Programs that are in the file already are skipped, so a
run that was stopped goes on. `--family exponential` takes the programs of `benchmarks.exponential_optima` instead,
whose optima are known to 50 digits.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socicnn.conic._conic_data import ConicData
from socicnn.conic.solvers import Solver
from socicnn.conic.solvers._base import Answer, Engine
from socicnn.conic.solvers._clarabel import Clarabel

Array = NDArray[np.float64]
KINDS = ("generic", "degenerate", "dependent", "cones")
SHARES = (0.4, 0.15, 0.15, 0.3)
NARROW = 1e-7  # of the size of the terms


@dataclass
class Instance:
    """A program with a known optimum.

    Args:
        kind: one of KINDS.
        problem: the `cvxpy.Problem`.
        value: its optimum.
        variables: how many it has.
    """

    kind: str
    problem: Any
    value: Fraction
    variables: int


class Liar(Solver):
    """Clarabel, whose points are changed before they are returned as optimal.

    Args:
        seed: of the changes.
        size: relative size of the changes.
    """

    name = "liar"
    label = "A lying solver"
    package = "clarabel"

    def __init__(self, seed: int, size: float) -> None:
        super().__init__()
        self.seed, self.size = seed, size

    def engine(self, program: ConicData) -> Engine:
        """Return the engine that lies."""
        return _Lies(Clarabel().engine(program), np.random.default_rng(self.seed), self.size)


class _Lies(Engine):
    def __init__(self, honest: Engine, rng: np.random.Generator, size: float) -> None:
        self._honest, self._rng, self._size = honest, rng, size

    def run(self, b: Array, c: Array) -> Answer:
        """Return changed points."""
        answer = self._honest.run(b, c)
        v, y = (None if p is None else self._changed(p) for p in (answer.v, answer.y))
        return replace(answer, verdict="optimal", v=v, y=y)

    def _changed(self, point: Array) -> Array:
        noise = self._rng.normal(size=len(point)) * np.abs(point).max(initial=0.0)
        changed: Array = point + self._size * noise
        return changed


def instance(seed: int, largest: int = 300) -> Instance:
    """Return program number `seed`."""
    import cvxpy as cp

    rng = np.random.default_rng([seed, 7])
    kind = str(rng.choice(KINDS, p=SHARES))
    n = int(np.exp(rng.uniform(np.log(5), np.log(largest))))
    v0 = rng.integers(-32, 33, size=n) / 8.0
    scaled = seed % 3 == 0
    a, b = (2.0 ** rng.choice([-20, 20], size=2)) if scaled else (1.0, 1.0)
    x = cp.Variable(n)
    equalities = int(rng.integers(1, max(2, n // 2)))
    E = _matrix(rng, equalities, n)
    active = n - equalities
    if kind == "degenerate":
        active += int(rng.integers(1, 2 + n // 4))
    G = _rows(rng, active + int(rng.integers(1, n + 2)), n)
    s0 = np.where(np.arange(len(G)) < active, 0.0, rng.integers(1, 64, size=len(G)) / 8.0)
    y0 = np.where(s0 > 0, 0.0, rng.integers(1, 64, size=len(G)) / 8.0)
    if kind == "degenerate":
        y0[n - equalities : active] = 0.0
    slope = E.T @ (rng.integers(-32, 33, size=equalities) / 8.0) + G.T @ y0
    if kind == "dependent":
        mixed = rng.integers(-2, 3, size=(1 + equalities // 4, equalities)).astype(np.float64)
        E = np.vstack([E, mixed @ E])
    constraints = [E @ x == a * (E @ v0), G @ x <= a * (G @ v0 + s0)]
    cost = Fraction(0)
    objective: Any = 0.0
    if kind == "cones":
        for _ in range(int(rng.integers(1, 4))):
            size = int(rng.integers(2, 8))
            M, s, y = _matrix(rng, size, n), *_cone(rng, size)
            h = M @ v0 + s
            constraints.append(cp.SOC(a * h[0] - M[0] @ x, a * h[1:] - M[1:] @ x))
            slope = slope + M.T @ y
        if rng.random() < 0.4:  # |F x|^2 / 2, whose gradient at v0 joins the slope
            F = _matrix(rng, int(rng.integers(1, n + 1)), n)
            objective = (b / a) * 0.5 * cp.sum_squares(F @ x)
            slope = slope + F.T @ (F @ v0)
            cost += sum((Fraction(float(z)) ** 2 for z in F @ v0), Fraction(0)) / 2
    cost -= sum((Fraction(float(s)) * Fraction(float(z)) for s, z in zip(slope, v0, strict=True)), Fraction(0))
    objective = objective - (b * slope) @ x
    return Instance(kind, cp.Problem(cp.Minimize(objective), constraints), cost * Fraction(a) * Fraction(b), n)


def _matrix(rng: np.random.Generator, rows: int, n: int) -> Array:
    """Return a matrix of sixteenths with about ten entries a row."""
    M: Array = rng.integers(-48, 49, size=(rows, n)) / 16.0
    return M * (rng.random((rows, n)) < min(1.0, 10.0 / n))


def _rows(rng: np.random.Generator, rows: int, n: int) -> Array:
    """Return rows of inequalities, half of them bounds of single variables."""
    G = _matrix(rng, rows, n)
    single = rng.random(rows) < 0.5
    G[single] = 0.0
    where = np.flatnonzero(single)
    G[where, rng.permutation(np.arange(len(where)) % n)] = rng.choice([-1.0, 1.0], size=len(where))
    return G


def _cone(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Return a slack and multipliers of a cone, complementary in exact arithmetic."""
    q, t = rng.integers(-3, 4, size=size - 2), int(rng.integers(1, 4))
    square = int(q @ q)
    tail = np.append(2 * t * q, square - t * t).astype(np.float64)
    edge = np.append(float(square + t * t), tail)  # head = ||tail||
    choice = rng.random()
    if choice < 0.6:
        return edge / 4.0, np.append(edge[0], -tail) / 8.0
    if choice < 0.85:
        return np.append(edge[0] + 2.0, tail), np.zeros(size)
    return np.zeros(size), np.append(edge[0] + 2.0, tail) / 8.0


def curved(seed: int, largest: int = 300) -> Instance:
    """Return program number `seed` with exponential cones; all of them have few variables."""
    from benchmarks.exponential_optima import build

    problem, value, variables = build(seed)
    return Instance("exponential", problem, value, variables)


FAMILIES = {"conic": instance, "exponential": curved}


def judge(seed: int, largest: int = 300, family: str = "conic") -> dict[str, Any]:
    """Return what was proven about program number `seed`, and whether it is right."""
    import cvxpy as cp

    import verify
    from verify._optimum.interior import interior

    case = FAMILIES[family](seed, largest)
    lies = seed % 4 == 3
    solver: Solver = Liar(seed, 10.0 ** np.random.default_rng(seed).uniform(-9, -1)) if lies else Clarabel()
    began = time.perf_counter()
    result = verify.optimum(case.problem, solver=solver)
    seconds = time.perf_counter() - began
    wrong = [
        end
        for end, bad in (
            ("lo", np.isfinite(result.lo) and Fraction(result.lo) > case.value),
            ("hi", np.isfinite(result.hi) and Fraction(result.hi) < case.value),
            ("kind", result.kind != "bracket"),
        )
        if bad
    ]
    solved = False
    inner = False
    if not lies:
        case = FAMILIES[family](seed, largest)  # a problem that CVXPY has not seen before, as above
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # CVXPY's, of a solution that may be inaccurate
            with suppress(cp.error.SolverError):
                case.problem.solve(solver="CLARABEL")
        solve = time.perf_counter() - began
        solved = case.problem.status == "optimal"
        n = result.program.conic.A.shape[1]
        near = result.witness.v if np.isfinite(result.witness.v).all() else np.ones(n)
        inner = interior(result.program.rows, near, Clarabel()) is not None
    return {
        "seed": seed,
        "kind": case.kind,
        "variables": case.variables,
        "lies": lies,
        "scaled": seed % 3 == 0,
        "solved": solved,
        "interior": inner,
        "wrong": wrong,
        "finite": result.ok,
        "width": result.relative_gap if result.ok else None,
        "seconds": seconds,
        "solve": None if lies else solve,
        "notes": list(result.notes),
    }


def told(records: list[dict[str, Any]]) -> str:
    """Return the counts as text."""
    lines = [f"{len(records)} programs, {sum(bool(r['wrong']) for r in records)} with an end on the wrong side"]
    for kind in (*KINDS, "exponential", "all"):
        own = [r for r in records if kind in (r["kind"], "all")]
        if not own:
            continue
        honest = [r for r in own if r["solved"]]
        inner = [r for r in honest if r["interior"]]
        narrow = [sum(r["finite"] and r["width"] <= NARROW for r in part) for part in (honest, inner)]
        lied = [r for r in own if r["lies"]]
        finite = sum(r["finite"] for r in lied)
        lines.append(
            f"{kind:11} solved {len(honest)}, narrow {narrow[0]}; of these with an interior {len(inner)}, narrow "
            f"{narrow[1]}; lied about {len(lied)}, finite {finite}"
        )
    times = [r["seconds"] / r["solve"] for r in records if r["solve"]]
    if times:
        lines.append(f"time as a multiple of problem.solve: median {np.median(times):.1f}, largest {max(times):.1f}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run and print; the status is 1 if an end is on the wrong side."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proven_optima")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--largest", type=int, default=300, help="variables of the largest program")
    parser.add_argument("--family", choices=FAMILIES, default="conic")
    parser.add_argument("--out", type=Path, default=Path("proven_optima.jsonl"), help="one file for each family")
    options = parser.parse_args(arguments)
    records = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    done = {record["seed"] for record in records}
    with options.out.open("a") as stream:
        for seed in range(options.count):
            if seed in done:
                continue
            record = judge(seed, options.largest, options.family)
            records.append(record)
            stream.write(json.dumps(record) + "\n")
            stream.flush()
            if record["wrong"]:
                print(f"WRONG: {record}")
    print(told(records))
    return int(any(record["wrong"] for record in records))


if __name__ == "__main__":
    raise SystemExit(main())
