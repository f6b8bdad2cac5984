"""Clarabel as a careful user would call it, without anything of this project: the baseline of every comparison.

Set up once for A and the cones, one thread, no presolve; from problem to problem only b and q are updated. The vectors
are made before the clock starts, and the answers carry no proof.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import clarabel
import numpy as np
from scipy import sparse

from decision.sets._base import FeasibleSet
from socicnn._arrays import Array
from socicnn._compile import compile_net
from socicnn.conic._cones import Cones
from socicnn.conic._program import ValueProgram
from socicnn.frozen import FrozenNet


def prepared(A: Any, cones: Cones, b: Array, q: Array, tolerance: float | None = None) -> Any:
    """Return the solver, set up; its tolerances are its own 1e-8 if omitted."""
    options = clarabel.DefaultSettings()
    options.verbose, options.presolve_enable, options.max_threads = False, False, 1
    if tolerance is not None:
        options.tol_gap_abs = options.tol_gap_rel = options.tol_feas = tolerance
    kinds = [clarabel.ZeroConeT(cones.zero)] if cones.zero else []
    kinds += [clarabel.NonnegativeConeT(cones.nonnegative)] if cones.nonnegative else []
    kinds += [clarabel.SecondOrderConeT(size) for size in cones.second_order]
    kinds += [clarabel.ExponentialConeT() for _ in range(cones.exponential)]
    variables = A.shape[1]
    nothing = sparse.csc_matrix((variables, variables))
    return clarabel.DefaultSolver(nothing, q, sparse.csc_matrix(A), b, kinds, options)


def values(program: ValueProgram, x: Array) -> Callable[[], Array]:
    """Return a loop over points that gives the value of the program at each."""
    right = program.b + x @ program.B.T
    constant = x @ program.d + program.r
    solver = prepared(program.A, program.cones, right[0], program.q)

    def loop() -> Array:
        found = np.empty(len(x))
        for i, b in enumerate(right):
            solver.update(b=b)
            found[i] = solver.solve().obj_val + constant[i]
        return found

    return loop


def decisions(net: FrozenNet, feasible_set: FeasibleSet, tolerance: float) -> Callable[[int], Array]:
    """Return a loop over the first contexts that gives x of each, `(count, n)`."""
    program = compile_net(net).program
    rows = feasible_set.rows()
    stack = [program] if program.contexts is None else [program[i] for i in range(program.contexts)]
    free = [one.free(rows) for one in stack]
    vectors = [(one.b, one.c) for one in free]
    solver = prepared(free[0].A, free[0].cones, *vectors[0], tolerance)

    def loop(count: int) -> Array:
        found = np.empty((count, net.in_features))
        for i, (b, q) in enumerate(vectors[:count]):
            solver.update(b=b, q=q)
            found[i] = solver.solve().x[: net.in_features]
        return found

    return loop
