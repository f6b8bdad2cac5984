"""Solve a program with a quadratic cost: Clarabel takes P, for other solvers the epigraph is a second-order cone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._conic_data import ConicData
from socicnn.conic._program import ConicProgram
from socicnn.conic._scaled import Scaled, power
from socicnn.conic._solution import Solution
from socicnn.conic.solvers import Solver
from socicnn.conic.solvers._clarabel import Clarabel
from verify._optimum.convex import coupled
from verify._optimum.program import QuadraticProgram


def solve_quadratic(program: QuadraticProgram, solver: Solver) -> Solution:
    """Return the solution of min v'Pv / 2 + c'v."""
    if type(solver) is Clarabel and all(program.conic.A.shape):
        solution = _with_matrix(program, solver)
        if np.isfinite(solution.v).all() and np.isfinite(solution.y).all():
            return solution
    return _with_cone(program, solver)


def _with_matrix(program: QuadraticProgram, solver: Clarabel) -> Solution:
    """Return Clarabel's solution; it is given b, c and P divided by powers of two next to their largest entries."""
    conic, P = program.conic, program.P
    size = power(conic.b)
    price = max(power(conic.c), size * power(P.data))
    b, c = conic.b / size, conic.c / price
    scaled = ConicData(conic.A, b, c, 0.0, conic.cones)
    answer = solver.quadratic_engine(scaled, P * (size / price)).run(b, c)
    rows, n = conic.A.shape
    v = np.full(n, np.nan) if answer.v is None else size * answer.v
    y = np.full(rows, np.nan) if answer.y is None else price * answer.y
    value = 0.5 * float(v @ (P @ v)) + float(conic.c @ v) + conic.offset
    status, ok = f"{solver.label} {answer.detail}", answer.verdict == "optimal"
    return Solution(v, conic.b - conic.A @ v, y, value, ok, status, answer.seconds, solver.name)


def _with_cone(program: QuadraticProgram, solver: Solver) -> Solution:
    """Return the solution of min v'Pv / 2 + c'v, as t >= v'Pv / 2: ||(L'v, kt/2 - 1/k)|| <= kt/2 + 1/k.

    The first solve tells the size of t; the second has the k that makes both terms of the cone's head equally large.
    """
    conic, P = program.conic, program.P
    factor = _factor(P)
    n, width, end = conic.A.shape[1], factor.shape[1], conic.cones.exponential_start
    price, k = power(conic.c), 1.0
    factor = factor / np.sqrt(price)
    solution: Solution | None = None
    for _ in range(2):
        step = sparse.csr_array(([-k / 2, -k / 2], ([0, 1], [n, n])), shape=(2, n + 1))
        tail = sparse.csr_array(sparse.hstack([-factor.T, sparse.csr_array((width, 1))]))
        own = sparse.csr_array(sparse.hstack([sparse.csr_array(conic.A), sparse.csr_array((conic.A.shape[0], 1))]))
        A = sparse.csc_array(sparse.vstack([own[:end], step, tail, own[end:]], format="csc"))
        b = np.concatenate([conic.b[:end], [1.0 / k, -1.0 / k], np.zeros(width), conic.b[end:]])
        c = np.concatenate([conic.c / price, [1.0]])
        cones = replace(conic.cones, second_order=(*conic.cones.second_order, 2 + width))
        lifted = ConicProgram(A, b, c, 0.0, cones)
        solution = Scaled(solver, lifted).solve(b, c, 0.0)
        t = float(solution.v[-1])
        if not np.isfinite(t) or not t > 0:
            break
        k = float(np.sqrt(2.0 / t))
    assert solution is not None
    v, y = solution.v[:n], np.delete(solution.y, np.s_[end : end + 2 + width]) * price
    value = 0.5 * float(v @ (P @ v)) + float(conic.c @ v) + conic.offset
    s = conic.b - conic.A @ v
    return Solution(v, s, y, value, solution.ok, solution.status, solution.seconds, solution.solver)


def _factor(P: sparse.csr_array) -> sparse.csr_array:
    """Return L with L L' = P up to rounding."""
    parts, alone = [], np.ones(P.shape[0], dtype=bool)
    for block, S in coupled(P):
        alone[block] = False
        dense = S if len(S) else P[block][:, block].toarray()
        values, vectors = np.linalg.eigh(dense)
        kept = np.flatnonzero(values > 1e-15 * values.max(initial=0.0))
        place = (np.repeat(block, len(kept)), np.tile(np.arange(len(kept)), len(block)))
        entries = (vectors[:, kept] * np.sqrt(values[kept])).reshape(-1)
        parts.append(sparse.csr_array((entries, place), shape=(P.shape[0], len(kept))))
    diagonal: Array = P.diagonal()
    used = np.flatnonzero(alone & (diagonal > 0))
    place = (used, np.arange(len(used)))
    parts.append(sparse.csr_array((np.sqrt(diagonal[used]), place), shape=(P.shape[0], len(used))))
    return sparse.csr_array(sparse.hstack(parts, format="csr"))
