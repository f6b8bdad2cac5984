"""Solvers as a careful user would call them, without anything of this project: set up once where they can be.

Each gets min c'v s.t. A v + s = b, s in K with its vectors made off the clock, at tolerances of 1e-6, on one thread.
ECOS has no update of vectors and is set up for each problem; HiGHS and PIQP know linear programs alone; moreau is made
for batches and gets all vectors at once.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks import raw_clarabel
from socicnn._arrays import Array
from socicnn.conic import ConicProgram

TOLERANCE = 1e-6
Solve = Callable[[Array, Array], Array]


def solvers(program: ConicProgram) -> dict[str, Solve]:
    """Return the installed solvers that know programs of this kind: v from vectors b and c."""
    made: dict[str, Callable[[ConicProgram], Solve]] = {"Clarabel": clarabel}
    known = {"ecos": ("ECOS", ecos)}
    if not program.cones.exponential:
        known["qoco"] = "QOCO", qoco
    if not program.cones.second_order and not program.cones.exponential:
        known |= {"highspy": ("HiGHS", highs), "piqp": ("PIQP", piqp)}
    made |= {name: way for module, (name, way) in known.items() if find_spec(module) is not None}
    return {name: way(program) for name, way in made.items()}


def clarabel(program: ConicProgram) -> Solve:
    """Return Clarabel, prepared."""
    solver = raw_clarabel.prepared(program.A, program.cones, program.b, program.c, TOLERANCE)

    def solve(b: Array, c: Array) -> Array:
        solver.update(b=b, q=c)
        return np.array(solver.solve().x)

    return solve


def qoco(program: ConicProgram) -> Solve:
    """Return QOCO, prepared."""
    import qoco as package

    A, E, p, cones = *_parts(program), program.cones.zero, program.cones
    solver = package.QOCO()
    solver.setup(
        A.shape[1],
        A.shape[0],
        p,
        None,
        program.c,
        E if p else None,
        program.b[:p] if p else None,
        A,
        program.b[p:],
        cones.nonnegative,
        len(cones.second_order),
        np.array(cones.second_order, dtype=np.int32) if cones.second_order else None,
        abstol=TOLERANCE,
        reltol=TOLERANCE,
        verbose=False,
    )

    def solve(b: Array, c: Array) -> Array:
        solver.update_vector_data(c=c, b=b[:p] if p else None, h=b[p:])
        return np.array(solver.solve().x)

    return solve


def ecos(program: ConicProgram) -> Solve:
    """Return ECOS."""
    import ecos as package

    A, E, p, cones = *_parts(program), program.cones.zero, program.cones
    sizes = {"l": cones.nonnegative, "q": list(cones.second_order), "e": cones.exponential}
    order = np.arange(A.shape[0])  # ECOS takes (x, s, y) where y exp(x / y) <= s
    triples = order[len(order) - 3 * cones.exponential :].reshape(-1, 3)
    triples[:] = triples[:, [0, 2, 1]]
    A = sparse.csc_matrix(A[order])
    options = {"abstol": TOLERANCE, "reltol": TOLERANCE, "feastol": TOLERANCE, "verbose": False}

    def solve(b: Array, c: Array) -> Array:
        equal = (E, b[:p]) if p else ()
        return np.array(package.solve(c, A, b[p:][order], sizes, *equal, **options)["x"])

    return solve


def highs(program: ConicProgram) -> Solve:
    """Return HiGHS, which starts from the basis of the problem before."""
    import highspy

    solver, (rows, columns), infinite = highspy.Highs(), program.A.shape, highspy.kHighsInf
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    matrix = sparse.csc_matrix(program.A)
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = columns, rows
    lp.col_cost_, lp.col_lower_ = program.c, np.full(columns, -infinite)
    lp.col_upper_ = np.full(columns, infinite)
    lower = np.where(np.arange(rows) < program.cones.zero, program.b, -infinite)
    lp.row_lower_, lp.row_upper_ = lower, program.b
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    solver.passModel(lp)

    def solve(b: Array, c: Array) -> Array:
        ends = np.where(np.arange(rows) < program.cones.zero, b, -infinite)
        solver.changeColsCost(columns, np.arange(columns, dtype=np.int32), c)
        for row in range(rows):
            solver.changeRowBounds(row, ends[row], b[row])
        solver.run()
        return np.array(solver.getSolution().col_value)

    return solve


def piqp(program: ConicProgram) -> Solve:
    """Return PIQP, prepared."""
    import piqp as package

    A, E, p = *_parts(program), program.cones.zero
    solver = package.SparseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = TOLERANCE
    none = sparse.csc_matrix((A.shape[1], A.shape[1]))
    solver.setup(none, program.c, E, program.b[:p], A, None, program.b[p:])

    def solve(b: Array, c: Array) -> Array:
        solver.update(c=c, b=b[:p], h_u=b[p:])
        solver.solve()
        return np.array(solver.result.x)

    return solve


def moreau(program: ConicProgram, vectors: Sequence[tuple[Array, Array]]) -> Callable[[], Array]:
    """Return moreau on the CPU, set up for a batch: all solutions."""
    import moreau as package

    A, cones = sparse.csr_matrix(program.A), program.cones
    rows, columns = A.shape
    tight = package.IPMSettings(tol_gap_abs=TOLERANCE, tol_gap_rel=TOLERANCE, tol_feas=TOLERANCE)
    settings = package.Settings(solver="ipm", device="cpu", batch_size=len(vectors), ipm_settings=tight)
    kinds = package.Cones(
        num_zero_cones=cones.zero, num_nonneg_cones=cones.nonnegative, so_cone_dims=list(cones.second_order)
    )
    nothing = np.zeros(columns + 1, dtype=np.int64)
    solver = package.CompiledSolver(columns, rows, nothing, nothing[:0], A.indptr, A.indices, kinds, settings)
    solver.setup(np.zeros(0), A.data)
    b, c = (np.stack(some) for some in zip(*vectors, strict=True))
    return lambda: np.array(solver.solve(c, b).x)


def loops(program: ConicProgram, vectors: Sequence[tuple[Array, Array]], n: int) -> dict[str, Callable[[], Array]]:
    """Return, for each solver, what gives the first n entries of the solution for each pair (b, c)."""
    made = {name: loop(solve, vectors, n) for name, solve in solvers(program).items()}
    if find_spec("moreau") is not None and not program.cones.exponential:
        all_at_once = moreau(program, vectors)
        made["moreau"] = lambda: all_at_once()[:, :n]
    return made


def fastest(times: dict[str, list[float]], peers: Sequence[str]) -> str:
    """Return the peer with the least median time."""
    return min(peers, key=lambda name: statistics.median(times[name]))


def loop(solve: Solve, vectors: Sequence[tuple[Array, Array]], n: int) -> Callable[[], Array]:
    """Return a loop over vectors (b, c) that gives the first n entries of each solution."""

    def run() -> Array:
        return np.stack([solve(b, c)[:n] for b, c in vectors])

    return run


def _parts(program: ConicProgram) -> tuple[Any, Any]:
    """Return the rows of the inequalities and of the equalities, as the solvers want them."""
    A = sparse.csc_matrix(program.A)
    return sparse.csc_matrix(A[program.cones.zero :]), sparse.csc_matrix(A[: program.cones.zero])
