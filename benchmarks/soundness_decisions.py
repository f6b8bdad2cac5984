"""Is a decision's bound ever above the minimum? Random problems whose minimum is known exactly, and solvers that lie.

python -m benchmarks.soundness_decisions [--count 10000] [--seed 0] [--largest 50]

Boxes and simplices by every method; polytopes, balls, ellipsoids, their products and intersections, and horizons, fixed
or moving with the context; and CVXPY constraints: 1 to 50 inputs, half-spaces, equalities, up to 20 cones, unbounded
sets, flat directions, x and f scaled by 2^+-20. `value - gap` is compared with the minimum as a rational.
The long run is 10,000 problems, about an hour on one core; tests run some hundreds.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch

from benchmarks.known_minima import Problem, problem
from decision import Decision, decide
from decision._options import DecideOptions
from decision.sets import ConicSet, FeasibleSet
from socicnn._arrays import Array
from socicnn.conic._program import ConicProgram
from socicnn.conic.solvers._base import Answer, Engine
from socicnn.conic.solvers._clarabel import Clarabel
from socicnn.errors import SolverError

LIES = ("", "", "", "loose", "zero", "zero y", "random", "noisy y", "far")  # "" is honest
METHODS = ("auto", "exact", "interior_point", "projected_gradient")


class Liar(Clarabel):
    """Clarabel, whose answers are changed and always called optimal.

    Args:
        lie: how they are changed.
        seed: of what is random.
    """

    def __init__(self, lie: str = "zero", seed: int = 0, **settings: float) -> None:
        super().__init__(**settings)
        self._lie, self._draw = lie, np.random.default_rng(seed)

    def engine(self, program: ConicProgram) -> Engine:
        """Return the liar's engine."""
        return _LiarEngine(super().engine(program), self._lie, self._draw)


class _LiarEngine(Engine):
    def __init__(self, honest: Engine, lie: str, draw: np.random.Generator) -> None:
        self._honest, self._lie, self._draw = honest, lie, draw

    def run(self, b: Array, c: Array) -> Answer:
        """Answer, untruly."""
        answer = self._honest.run(b, c)
        v = np.zeros(len(c)) if answer.v is None else answer.v
        y = np.zeros(len(b)) if answer.y is None else answer.y
        draw = self._draw
        if self._lie == "zero":
            v, y = np.zeros(len(c)), np.zeros(len(b))
        elif self._lie == "zero y":
            y = np.zeros(len(b))
        elif self._lie == "random":
            v, y = draw.normal(size=len(c)), draw.normal(size=len(b))
        elif self._lie == "noisy y":
            y = y * (1.0 + 1e-3 * draw.normal(size=len(b))) + 1e-4 * draw.normal(size=len(b))
        elif self._lie == "far":
            v = 1e6 * draw.normal(size=len(c))
        return Answer("optimal", "solved it, it says", v, y, 0.0)


@dataclass
class Tally:
    """What was seen.

    Args:
        violations: decisions whose value - gap lies above the minimum.
        count: decisions.
        certified: decisions that were certified.
        unproven: decisions with an infinite gap.
        no_solution: problems that ended with a SolverError, which promises nothing.
        honest: decisions of honest solvers at default settings.
        honest_certified: those that were certified.
        worst: descriptions of the violations.
        kinds: decisions of honest solvers that were not certified, by kind.
    """

    violations: int = 0
    count: int = 0
    certified: int = 0
    unproven: int = 0
    no_solution: int = 0
    honest: int = 0
    honest_certified: int = 0
    worst: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [
            f"bounds above the minimum: {self.violations} of {self.count}",
            f"certified {self.certified}, nothing proven {self.unproven}, no solution {self.no_solution}",
            f"honest solvers: {self.honest_certified} of {self.honest} certified",
        ]
        return "\n".join(lines + self.worst)


def bounds_above_minimum(count: int, seed: int = 0, *, largest: int = 50) -> Tally:
    """Decide random problems and count the bounds that lie above the exact minimum.

    Args:
        count: number of problems.
        seed: of the problems.
        largest: inputs at most.
    """
    found = Tally()
    for i in range(count):
        draw = np.random.default_rng([seed, i])
        one = problem(draw, largest)
        lie = str(draw.choice(LIES))
        found.count += 1
        try:
            answer = _decided(one, lie, draw)
        except SolverError:
            found.no_solution += 1
            continue
        _count(found, one, answer, lie, f"problem {i} of seed {seed}")
    return found


def _decided(one: Problem, lie: str, draw: np.random.Generator) -> Decision:
    method = str(draw.choice(["exact", "auto"])) if isinstance(one.feasible_set, ConicSet) else "exact"
    if isinstance(one.feasible_set, FeasibleSet):
        method = str(draw.choice(METHODS if not lie else ("exact", "auto")))
        if method == "interior_point" and one.net.in_features == 1:
            method = "projected_gradient"  # a simplex of one point has no interior
    solver: Clarabel | str = "clarabel"
    if lie == "loose":
        solver = Clarabel(tol_gap_abs=1e-2, tol_gap_rel=1e-2, tol_feas=1e-2)
    elif lie:
        solver = Liar(lie, int(draw.integers(1 << 30)))
    return decide(one.net, one.feasible_set, one.context, method=method, options=DecideOptions(solver=solver))


def _count(found: Tally, one: Problem, answer: Decision, lie: str, name: str) -> None:
    value, gap, sure = float(answer.value[0]), float(answer.gap[0]), bool(answer.certified[0])
    found.certified += sure
    if not lie and isinstance(one.feasible_set, list | ConicSet):
        found.honest += 1
        found.honest_certified += sure
        if not sure:
            found.kinds[one.kind] += 1
    if not (np.isfinite(value) and np.isfinite(gap)):
        found.unproven += 1
        return
    excess = Fraction(value) - Fraction(gap) - one.minimum
    if excess > 0:
        found.violations += 1
        found.worst.append(f"{name}: {one.kind}, solver '{lie}', {float(excess):.3e} above {float(one.minimum):.6g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--largest", type=int, default=50)
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    found = bounds_above_minimum(given.count, given.seed, largest=given.largest)
    print(found)
    print("honest and not certified, by kind:", dict(found.kinds.most_common()))
    print(f"{time.perf_counter() - began:.0f} s")
    raise SystemExit(found.violations > 0)


if __name__ == "__main__":
    main()
