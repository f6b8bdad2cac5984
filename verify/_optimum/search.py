"""The search for a witness: solve, try the solver's own points, then points pulled towards the interior.

Nothing here is believed: `prove` judges every witness.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import numpy as np

from socicnn._arrays import Array, BoolArray
from socicnn.conic._program import ConicProgram
from socicnn.conic._scaled import Scaled, power, steadier
from socicnn.conic._scaled import tight as tightened
from socicnn.conic._solution import Solution
from socicnn.conic.solvers import Solver
from verify._optimum import bends
from verify._optimum.dependent import LITTLE
from verify._optimum.easing import eased_multipliers, eased_points
from verify._optimum.interior import dual_rows, falling, idle_multipliers, interior, relaxed, slack, towards
from verify._optimum.lengths import lengths, spread, tails
from verify._optimum.multipliers import NOISE, corrected
from verify._optimum.program import OptimumWitness, QuadraticProgram
from verify._optimum.prove import above, below, empties, falls
from verify._optimum.quadratic import solve_quadratic
from verify._optimum.upper import UNSOLVED, UpperEnd

SHORTER = 1e-11  # of a tail
QUICK = 1_000_000  # products that the first proof may take that rows follow from others
WIDE = 1e-9  # of the size of the terms: a wider end is worth a search for a better one


def search(program: QuadraticProgram, solver: Solver) -> tuple[OptimumWitness, Solution]:
    """Return the best witness that is found, and what the solver said."""
    conic = program.conic
    solution = solve(program, tightened(solver))
    if not (np.isfinite(solution.v).all() and np.isfinite(solution.y).all()):  # too much was asked
        solution = solve(program, steadier(solver))
    v, y = solution.v, solution.y
    witness = blank(program)
    if not np.isfinite(v).all():  # perhaps unbounded: any point will do
        v = Scaled(solver, _plain(program.constant())).solve(conic.b, np.zeros(len(conic.c)), 0.0).v
    value = float("nan")
    if np.isfinite(v).all():
        v = np.where(np.abs(v) < 2.0**-400, 0.0, v)
        witness, value = _best_point(program, witness, v, y, solver)
    if np.isfinite(y).all() and np.isfinite(solution.v).all():
        witness = best_multipliers(program, witness, solution.v, y, value, solver)
    if not np.isfinite(above(program, witness).value):
        witness = emptied(program, witness, solver)
    elif not np.isfinite(below(program, witness)):
        witness = _ray(program, witness, solver)
    return witness, solution


def blank(program: QuadraticProgram) -> OptimumWitness:
    """Return the witness of nothing."""
    rows, variables = program.conic.A.shape
    no_rows, no_point = np.full(rows, np.nan), np.full(variables, np.nan)
    return OptimumWitness(
        no_point, np.zeros(rows, dtype=bool), no_point, no_rows, no_rows, no_point, np.zeros(0, dtype=bool)
    )


def _plain(program: QuadraticProgram) -> ConicProgram:
    conic = program.conic
    return ConicProgram(conic.A, conic.b, conic.c, conic.offset, conic.cones)


def solve(program: QuadraticProgram, solver: Solver) -> Solution:
    """Return the solver's answer."""
    if program.P.nnz:
        return solve_quadratic(program, solver)
    plain = _plain(program)
    return Scaled(solver, plain).solve(plain.b, plain.c, plain.offset)


def _best_point(
    program: QuadraticProgram, witness: OptimumWitness, v: Array, y: Array, solver: Solver
) -> tuple[OptimumWitness, float]:
    """Return the witness with the point of least proven cost, and that cost."""
    best, least, rows = witness, np.inf, program.rows
    nothing = np.zeros(len(rows.h), dtype=bool)
    guess = float(program.conic.c @ v) + 0.5 * float(v @ (program.P @ v)) + program.conic.offset

    def judged(point: Array, held: BoolArray, most: int = LITTLE) -> UpperEnd:
        nonlocal best, least
        candidate = replace(witness, v=point, tight=held)
        end = above(program, candidate, most)
        if end.value < least or best is witness:
            best, least = candidate, end.value
        return end

    tight = tight_rows(program, v, y) if np.isfinite(y).all() else nothing
    dependent = rows.cones.zero + int(tight.sum()) > len(v)  # the proof that rows follow from others takes long
    if not dependent:
        free = (slack(rows, v)[rows.cones.nonnegative :] > 0.0).all()
        for point in chain(eased_points(rows, v, tight), [v] if free else []):
            end = judged(point, tight, QUICK)
            if least - guess <= WIDE * end.size:
                return best, least
            dependent |= end.reason == UNSOLVED and bool(tight.any())
    inner = interior(rows, v, solver)
    for point in () if inner is None else towards(rows, v, inner):
        end = judged(point, nothing)
        if np.isfinite(end.value):
            if not dependent or end.value - guess <= WIDE * end.size:
                return best, least
            break
    if dependent:
        judged(v, tight)
    if not np.isfinite(least):
        judged(v, nothing)
    return best, least


def tight_rows(program: QuadraticProgram, v: Array, y: Array) -> BoolArray:
    """Return the inequalities whose multiplier, as a share of the largest, exceeds their slack as a share of theirs."""
    rows, cones = program.rows, program.conic.cones
    s = np.abs(rows.h - rows.G @ v)
    size = rows.absolute @ np.abs(v) + np.abs(rows.h)
    largest = float(size.max(initial=0.0))
    size = np.maximum(size, 1e-6 * largest)
    share = s / np.where(size > 0, size, 1.0)
    weight = y * rows.lengths
    cut = slice(cones.zero, cones.zero + cones.nonnegative)
    price = power(weight)
    tight = np.zeros(len(s), dtype=bool)
    tight[cut] = (weight[cut] / price > share[cut]) & (share[cut] < 1e-3)
    tight[cut] |= (weight[cut] > 1e-3 * price) & (s[cut] < 1e-6 * largest)  # of solvers that are less accurate
    return tight


def best_multipliers(
    program: QuadraticProgram, witness: OptimumWitness, u: Array, y: Array, value: float, solver: Solver
) -> OptimumWitness:
    """Return the witness with the multipliers of the highest proven bound."""
    best, most, cones = witness, -np.inf, program.conic.cones
    size = float(np.abs(program.conic.c) @ np.abs(u)) + abs(program.conic.offset) + 0.5 * float(u @ (program.P @ u))
    enough = WIDE * size + 1e-13 * float(np.abs(program.conic.b) @ np.abs(y))

    def tries() -> Iterator[Array]:
        slope = program.P @ u + program.conic.c
        tight = tight_rows(program, u, y)
        clean = _clean(program, u, y, tight)
        if cones.second_order or cones.exponential:
            yield from eased_multipliers(program.rows, slope, u, clean)
        exact = corrected(program.rows, slope, u, y, tight)
        if exact is not None:
            yield exact
        yield y
        if not np.array_equal(clean, y):
            yield clean
        if cones.second_order:
            yield _inside(program, y)
        dual = dual_rows(program.rows, program.P @ u + program.conic.c)
        inner = interior(dual, y, solver)
        if inner is not None:
            yield from towards(dual, y, inner)
        elif program.conic.cones.second_order:
            yield from idle_multipliers(program.rows, slope, y, solver)

    for number, candidate in enumerate(tries()):
        trial = replace(witness, u=u, y=candidate)
        end = below(program, trial)
        if end > most:
            best, most = trial, end
            if (np.isfinite(value) and value - most <= enough) or number > 1:
                break
    return best


def _inside(program: QuadraticProgram, y: Array) -> Array:
    """Return y with shorter tails of cones, so that the heads, which equations may fix, need not be raised."""
    y, cones = y.copy(), program.conic.cones
    length = lengths(cones, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(length > 0.0, np.minimum(1.0, (1.0 - SHORTER) * y[cones.heads] / length), 1.0)
    at = tails(cones)
    y[at] *= spread(cones, share)[at - cones.zero - cones.nonnegative]
    return y


def _clean(program: QuadraticProgram, u: Array, y: Array, tight: BoolArray) -> Array:
    """Return y with 0 for inequalities that are not tight, so that noise is no room."""
    cones = program.conic.cones
    y = y.copy()
    loose = ~tight
    loose[: cones.zero] = loose[cones.zero + cones.nonnegative :] = False
    y[loose] = 0.0
    if cones.exponential:
        s, part = bends.triples(cones, program.conic.b - program.conic.A @ u), bends.triples(cones, y)
        active = np.abs(part).max(axis=1) > NOISE * np.abs(y).max(initial=0.0)
        part[:] = bends.closed(s, part, active)
    return y


def emptied(program: QuadraticProgram, witness: OptimumWitness, solver: Solver) -> OptimumWitness:
    """Return the witness with multipliers that prove that there is no point, if they do."""
    y = relaxed(program.rows, solver)
    trial = replace(witness, empty=y)
    if np.isfinite(y).all() and not empties(program, trial):
        dual = dual_rows(program.rows, np.zeros(program.P.shape[0]))
        inner = interior(dual, y, solver)
        if inner is not None:
            for point in towards(dual, y, inner):
                trial = replace(witness, empty=point)
                if empties(program, trial):
                    break
    return trial if np.isfinite(y).all() and empties(program, trial) else witness


def _ray(program: QuadraticProgram, witness: OptimumWitness, solver: Solver) -> OptimumWitness:
    """Return the witness with a direction along which the cost falls for ever, if it is proven."""
    directions = program.homogeneous()
    d = falling(directions.conic, solver)
    if not np.isfinite(d).all():
        return witness
    d = np.where(np.abs(d) < 1e-9 * np.abs(d).max(initial=0.0), 0.0, d)
    nothing = np.zeros(directions.conic.cones.rows, dtype=bool)
    rows = directions.rows
    cones = rows.cones
    s = rows.h - rows.G @ d
    touching = nothing.copy()
    touching[cones.zero : cones.zero + cones.nonnegative] = True
    touching &= np.abs(s) <= 1e-7 * (rows.absolute @ np.abs(d))
    inner = interior(rows, d, solver)
    points = [(d, touching), (d, nothing)]
    if inner is not None:
        points += [(point, nothing) for point in towards(rows, d, inner)]
    for point, tight in points:
        trial = replace(witness, ray=point, ray_tight=tight)
        if falls(program, trial):
            return trial
    return witness
