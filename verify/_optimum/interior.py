"""Points in the interior of a set, and the way there: a small step turns a solver's point into one with slack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray, IntArray
from socicnn.conic._cones import Cones
from socicnn.conic._conic_data import ConicData
from socicnn.conic._program import ConicProgram
from socicnn.conic._rows import ProgramRows, Rows
from socicnn.conic._scaled import Scaled, power, tight
from socicnn.conic.solvers import Solver
from verify._optimum import bends
from verify._optimum.lengths import lengths, most_of

IDLE = 1e-7  # of the largest multiplier: one that is smaller where all are as large as they can be is always 0
LEAST = 1e-13  # the first step, as a share of the way
FLOORS = (1e-3, 1.0)  # sizes of rows, as shares of the largest
FACTORS = (1.0, 30.0, 1e3, 3e4, 1e6, 1e8)


def interior(rows: Rows, near: Array, solver: Solver) -> Array | None:
    """Return a point with the largest share tau <= 1 of each row's size as slack; None if none is found.

    Args:
        rows: the set.
        near: a point that tells the sizes of the rows, shape `(variables,)`.
        solver: the solver; it needs no accuracy.
    """
    size = rows.absolute @ np.abs(near) + np.abs(rows.h)
    most = float(size.max(initial=0.0))
    # small rows stay small at first; equal sizes are the easiest to solve; tight tolerances are the last resort
    for share, chosen in ((FLOORS[0], solver), (FLOORS[1], solver), (FLOORS[1], tight(solver))):
        v = deepest(rows, np.maximum(size, share * most), chosen)
        if np.isfinite(v).all() and (slack(rows, v) > 0).all():
            return v
    return None


def deepest(rows: Rows, size: Array, solver: Solver) -> Array:
    """Return the solver's point of max tau s.t. each inequality and cone has slack tau times its size, tau <= 1."""
    cones, n = rows.cones, rows.G.shape[1]
    unit = power(rows.h)  # tau is counted in it, so that all of the right-hand side has one scale
    cut = cones.zero + cones.nonnegative
    column = np.zeros(cones.rows)
    column[cones.zero : cut] = size[cones.zero : cut] / unit
    column[cones.heads] = most_of(cones, size) / unit
    column[cones.exponential_start + 2 :: 3] = bends.triples(cones, size).max(axis=1) / unit
    if not column.any() or not np.isfinite(column).all():
        return np.full(n, np.nan)
    top = sparse.csr_array(([1.0], ([0], [n])), shape=(1, n + 1))
    G = sparse.hstack([rows.G, sparse.csr_array(column[:, None])], format="csr")
    A = sparse.csc_array(sparse.vstack([G[: cones.zero], top, G[cones.zero :]], format="csc"))
    h = np.concatenate([rows.h[: cones.zero], [unit], rows.h[cones.zero :]])
    c = np.zeros(n + 1)
    c[-1] = -1.0
    program = ConicProgram(A, h, c, 0.0, replace(cones, nonnegative=cones.nonnegative + 1))
    v: Array = Scaled(solver, program).solve(h, c, 0.0).v[:-1]
    return v


def slack(rows: Rows, v: Array) -> Array:
    """Return s_i of each inequality, s_0 - ||u|| and s - y exp(x / y) of each cone."""
    cones = rows.cones
    s = rows.h - rows.G @ v
    planes = s[cones.zero : cones.zero + cones.nonnegative]
    return np.concatenate([planes, s[cones.heads] - lengths(cones, s), bends.slack(bends.triples(cones, s))])


def towards(rows: Rows, v: Array, inner: Array) -> Iterator[Array]:
    """Yield v + t (inner - v) for growing t: the slack of each row is concave, so it is at least half of t inner's."""
    missed, room = slack(rows, v), slack(rows, inner)
    outside = missed < 0
    first = float(np.max(-2 * missed[outside] / (room[outside] - 2 * missed[outside]), initial=LEAST))
    for factor in FACTORS:
        if first * factor < 0.7:
            yield v + first * factor * (inner - v)
    yield inner


def dual_rows(rows: Rows, slope: Array) -> Rows:
    """Return the set of multipliers: A'y = -slope, y in K*; (u, v, w) is in Kexp* where (u - v, -u, w) is in Kexp."""
    cones = rows.cones
    m = cones.rows
    identity = -sparse.eye_array(m, format="csr")
    if cones.exponential:
        turn = sparse.csr_array(np.array([[-1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]))
        blocks = [identity[: m - 3 * cones.exponential, : m - 3 * cones.exponential]]
        identity = sparse.block_diag([*blocks, *[turn] * cones.exponential], format="csr")
    identity = sparse.csr_array(identity)[cones.zero :]
    G = sparse.csr_array(sparse.vstack([rows.transposed, identity], format="csr"))
    h = np.concatenate([-slope, np.zeros(m - cones.zero)])
    return ProgramRows(G, h, replace(cones, zero=len(slope)))


def relaxed(rows: Rows, solver: Solver) -> Array:
    """Return multipliers of min t s.t. the rows relaxed by t: they prove that there is no point, if t > 0."""
    cones, zero, n = rows.cones, rows.cones.zero, rows.G.shape[1]
    norms = rows.lengths.copy()
    norms[cones.heads] = most_of(cones, norms)
    curved = np.repeat(bends.triples(cones, norms).max(axis=1), 3)
    size = np.where(norms > 0, norms, 1.0)
    relax = np.zeros(cones.rows)
    relax[: zero + cones.nonnegative] = size[: zero + cones.nonnegative]
    relax[cones.heads] = size[cones.heads]
    relax[cones.exponential_start :] = np.where(curved > 0, curved, 1.0) * np.tile([-1.0, 1.0, 1.0], cones.exponential)
    column = sparse.csr_array(-relax[:, None])
    E = rows.G[:zero]
    least = sparse.csr_array(([-1.0], ([0], [n])), shape=(1, n + 1))
    blocks = [least, sparse.hstack([E, column[:zero]]), sparse.hstack([-E, column[:zero]])]
    blocks.append(sparse.hstack([rows.G[zero:], column[zero:]]))
    A = sparse.csc_array(sparse.vstack([block for block in blocks if block.shape[0]], format="csc"))
    h = np.concatenate([[0.0], rows.h[:zero], -rows.h[:zero], rows.h[zero:]])
    c = np.zeros(n + 1)
    c[-1] = 1.0
    program = ConicProgram(A, h, c, 0.0, replace(cones, zero=0, nonnegative=1 + 2 * zero + cones.nonnegative))
    y = Scaled(solver, program).solve(h, c, 0.0).y
    return np.concatenate([y[1 : 1 + zero] - y[1 + zero : 1 + 2 * zero], y[1 + 2 * zero :]])


def falling(homogeneous: ConicData, solver: Solver) -> Array:
    """Return a direction of cost -1 next to one that the constraints allow for ever: min 0 s.t. c'd <= -1."""
    cones = homogeneous.cones
    cost = sparse.csr_array(homogeneous.c[None])
    G = sparse.csr_array(homogeneous.A)
    A = sparse.csc_array(sparse.vstack([G[: cones.zero], cost, G[cones.zero :]], format="csc"))
    h = np.concatenate([np.zeros(cones.zero), [-1.0], np.zeros(cones.rows - cones.zero)])
    program = ConicProgram(A, h, np.zeros(A.shape[1]), 0.0, replace(cones, nonnegative=cones.nonnegative + 1))
    direction: Array = Scaled(solver, program).solve(h, program.c, 0.0).v
    return direction


def idle_multipliers(rows: Rows, slope: Array, y: Array, solver: Solver) -> Iterator[Array]:
    """Yield multipliers next to y; those of inequalities and cones that never have slack are 0.

    A free variable that is split into two, v = v' - v'', gives two multipliers y', y'' >= 0 with y' = -y'': both are 0,
    so that the dual has no interior. A unit that counts nothing has such multipliers, too, in its inequalities and
    cones. With these left out the rest may have an interior.

    Args:
        rows: the constraints.
        slope: of the cost, shape `(variables,)`.
        y: a solver's multipliers, shape `(rows,)`.
        solver: the solver.
    """
    dual = dual_rows(rows, slope)
    size = abs(dual.G) @ np.abs(y) + np.abs(dual.h)
    deep = deepest(dual, np.full(len(size), float(size.max(initial=0.0))), solver)
    if not np.isfinite(deep).all():
        return
    keep, cones = _some(rows.cones, slack(dual, deep) > IDLE * float(np.abs(deep).max(initial=0.0)))
    if len(keep) == len(y):
        return
    rest = dual_rows(replace(rows, G=sparse.csr_array(rows.G[keep]), h=rows.h[keep], cones=cones), slope)
    inner = interior(rest, y[keep], solver)
    if inner is None:
        return
    for point in towards(rest, y[keep], inner):
        full = np.zeros(len(y))
        full[keep] = point
        yield full


def _some(cones: Cones, wanted: BoolArray) -> tuple[IntArray, Cones]:
    """Return the rows, and their cones, of the equalities and of some inequalities and cones.

    Args:
        cones: all cones.
        wanted: of each inequality, second-order cone and exponential cone.
    """
    planes, second, third = np.split(wanted, np.cumsum([cones.nonnegative, len(cones.second_order)]))
    sizes = np.asarray(cones.second_order, dtype=np.int64)
    bodies = [np.arange(head, head + size) for head, size in zip(cones.heads[second], sizes[second], strict=True)]
    triples = np.arange(cones.exponential_start, cones.rows).reshape(-1, 3)[third]
    keep = np.concatenate([np.arange(cones.zero), cones.zero + np.flatnonzero(planes), *bodies, triples.reshape(-1)])
    return keep, Cones(cones.zero, int(planes.sum()), tuple(sizes[second].tolist()), len(triples))
