"""The proof: what a witness proves about the optimal value, from the arrays alone. No solver is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from verify._optimum.dependent import LITTLE
from verify._optimum.exact import ContradictionError
from verify._optimum.lower import lower_end
from verify._optimum.mixed import MixedProgram, TreeWitness, tree_above, tree_below
from verify._optimum.program import OptimumWitness, QuadraticProgram
from verify._optimum.ranks import independent
from verify._optimum.upper import UpperEnd, sure_end


@dataclass(frozen=True, eq=False)
class OptimumProof:
    """lo <= optimal value <= hi in real arithmetic; +infinity is the value of a program without points.

    Args:
        lo: the lower end.
        hi: the upper end.
        size: sum of the absolute values of the terms of the cost at the feasible point.
        reason: one sentence if an end is infinite without being proven so.
        kind: `bracket`, `infeasible` or `unbounded`.
    """

    lo: float
    hi: float
    size: float
    reason: str
    kind: str


def prove(program: QuadraticProgram, witness: OptimumWitness) -> OptimumProof:
    """Return what the witness proves."""
    if empties(program, witness):
        return OptimumProof(np.inf, np.inf, 0.0, "", "infeasible")
    up = above(program, witness)
    if np.isfinite(up.value) and falls(program, witness):
        return OptimumProof(-np.inf, -np.inf, up.size, "", "unbounded")
    lo = below(program, witness)
    if lo > up.value:  # arithmetic that is rounded outwards does not do this
        return OptimumProof(-np.inf, np.inf, up.size, "the ends cross, so that neither is believed", "bracket")
    reasons = []
    if not np.isfinite(lo):
        reasons.append("no lower end: no multipliers near the solver's satisfy the dual constraints")
    if not np.isfinite(up.value):
        reasons.append(f"no upper end: the point next to the solver's is not proven feasible, {up.reason}")
    return OptimumProof(lo, up.value, up.size, "; ".join(reasons), "bracket")


def prove_tree(mixed: MixedProgram, witness: TreeWitness) -> OptimumProof:
    """Return what the tree of a program with integers proves.

    Raises:
        TreeError: the tree does not fit the program.
    """
    lo = tree_below(mixed, witness)
    if lo == np.inf:
        return OptimumProof(np.inf, np.inf, 0.0, "", "infeasible")
    up = tree_above(mixed, witness.v, witness.tight)
    if lo > up.value:
        return OptimumProof(-np.inf, np.inf, up.size, "the ends cross, so that neither is believed", "bracket")
    reasons = []
    if not np.isfinite(lo):
        reasons.append("no lower end: a leaf of the tree has no multipliers that satisfy its dual constraints")
    if not np.isfinite(up.value):
        reasons.append(f"no upper end: no point with whole numbers is proven feasible, {up.reason}")
    return OptimumProof(lo, up.value, up.size, "; ".join(reasons), "bracket")


def above(program: QuadraticProgram, witness: OptimumWitness, most: int = LITTLE) -> UpperEnd:
    """Return the upper end that the witness proves with some work; the same point is judged once."""
    key = (witness.v.tobytes(), witness.tight.tobytes())
    if key in program.ends:
        known: UpperEnd = program.ends[key]
        return known
    end = sure_end(program, witness.v, witness.tight, most)
    if most >= LITTLE or np.isfinite(end.value):
        program.ends[key] = end
    return end


def below(program: QuadraticProgram, witness: OptimumWitness) -> float:
    """Return the lower end that the witness proves; the same multipliers are judged once."""
    key = (witness.u.tobytes() + b"u", witness.y.tobytes())
    if key not in program.ends:
        program.ends[key] = lower_end(program, witness.u, witness.y)
    end: float = program.ends[key]
    return end


def empties(program: QuadraticProgram, witness: OptimumWitness) -> bool:
    """Return whether no point satisfies the constraints: by multipliers, or by the ranks of the equalities."""
    if not np.isnan(witness.empty).any():
        constant = program.constant()
        if lower_end(constant, np.zeros(len(witness.v)), witness.empty) > 0.0:
            return True
        zero = program.conic.cones.zero
        try:
            independent(sparse.csr_array(program.rows.G[:zero]), program.conic.b[:zero])
        except ContradictionError:
            return True
    return False


def falls(program: QuadraticProgram, witness: OptimumWitness) -> bool:
    """Return whether the cost falls for ever along the direction of the witness."""
    if np.isnan(witness.ray).any():
        return False
    directions = program.homogeneous()
    if len(witness.ray_tight) != directions.conic.cones.rows:
        return False
    return sure_end(directions, witness.ray, witness.ray_tight).value < 0.0
