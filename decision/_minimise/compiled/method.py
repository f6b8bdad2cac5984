"""From flat networks to the arrays of the compiled loops, and back to answers."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from decision._minimise.answers import Answers, Goal
from decision._minimise.compiled.measure import Measure, run
from decision._minimise.compiled.state import Common, PathPoint, Vectors, point, room_for
from decision._minimise.flat import QUIET, Flat, FlatRows
from decision._minimise.interior.polyhedron import Polyhedron
from decision._minimise.reference import ROUNDING, Reference
from decision._minimise.stack import Dual
from decision._minimise.stack_surrogate import StackSurrogate
from decision._minimise.units import Units
from decision.sets._base import FeasibleSet
from socicnn._arrays import Array, IntArray

CHUNK = 64  # contexts between two looks at the clock
LIMIT = 30  # iterations of a context; most need 7 to 13
LARGEST = 400  # inputs: above, the processor's own batched matrices are as fast
WIDEST = 128  # units that are all kept
INWARDS = 0.02  # share of the way to the centre that a point is moved to start inside
CLOSER = 0.03  # of what is to be gained from the centre: a start that leaves less is better than the centre
SHARE = 0.9  # of the gap allowed that the loops have to reach, the rest is left to the proof


@cache
def installed() -> bool:
    """Return whether numba is installed."""
    return find_spec("numba") is not None


def ready(goal: Goal) -> bool:
    """Return whether the loops can be used within the time: compiling them may take longer than a whole search."""
    if not installed() or goal.late:
        return False
    return goal.deadline == math.inf or "decision._minimise.compiled.path" in sys.modules


def suits(flat: Flat | None) -> TypeGuard[Flat]:
    """Return whether the loops know networks of this kind and size, and are worth while."""
    return flat is not None and flat.rows.arrays.units <= WIDEST and flat.v.shape[1] <= LARGEST


@QUIET
def compiled_answers(
    surrogate: StackSurrogate, feasible_set: FeasibleSet, reference: Reference, goal: Goal, start: Tensor | None = None
) -> tuple[Answers, Measure] | None:
    """Return what the compiled loops find, with its measure; None where they cannot be used.

    Args:
        surrogate: the networks.
        feasible_set: the set X, with linear rows and an interior.
        reference: its points and what gaps are measured against.
        goal: when to stop.
        start: points of the set, shape `(contexts, n)`: a context starts near its own, if that leaves little to be
            gained, and at the set's centre otherwise. Warm starts of interior-point methods pay near the minimiser
            alone.
    """
    flat = surrogate.flat
    if not suits(flat) or goal.max_iterations is not None or not ready(goal):
        return None
    polyhedron = Polyhedron.of(feasible_set)
    if polyhedron is None:
        return None
    measure = Measure.of(flat, reference)
    most = measure.most(reference.points)
    value, size = measure(polyhedron.centre.numpy()[None])
    spread = most - value
    units = Units.of(np.minimum(np.where(spread > 0, spread, size), size), feasible_set)
    unit = np.exp2(units.value)
    inner = flat.in_units(unit, 2.0**units.x)
    if inner is None and units.x:
        units = replace(units, x=0)
        inner = flat.in_units(unit, 1.0)
    region = units.set(feasible_set)
    polyhedron = Polyhedron.of(region)
    if polyhedron is None or inner is None:
        return None
    begin = polyhedron.centre.numpy()[None]
    vectors = vectors_of(inner, region, polyhedron, begin, most / unit, size / unit, goal.atol / unit)
    if start is not None:
        near = begin + (1.0 - INWARDS) * (start.numpy() / 2.0**units.x - begin)
        mu = vectors_of(inner, region, polyhedron, near, most / unit, size / unit, goal.atol / unit).mu
        closer = mu < CLOSER * vectors.mu
        begin, vectors = np.where(closer[:, None], near, begin), vectors._replace(mu=np.where(closer, mu, vectors.mu))
    x, lam, u, iterations = _followed(common_of(inner.rows, region, polyhedron), vectors, begin, goal)
    x *= 2.0**units.x
    nothing = torch.full((len(x),), -math.inf, dtype=torch.float64)
    dual = _dual(flat, x, lam * unit[:, None], u)
    at, counts, top, terms, units_of_f = (torch.from_numpy(values) for values in (x, iterations, most, size, unit))
    return Answers(at, nothing, nothing, dual, counts, top, terms, units_of_f), measure


def _dual(flat: Flat, x: Array, lam: Array, u: Array) -> Dual:
    """Return multipliers in the parts that a stack has, with the images of its quadratics at x."""
    units, bent = flat.rows.arrays.units, flat.rows.arrays.bent
    image = x @ flat.rows.arrays.M[bent:].T + flat.offset[:, bent:]
    spans = [span for span, _, _ in flat.rows.branches]
    us = [u[:, span.start - units : span.stop - units] for span in spans if span.start < bent]
    ps = [image[:, span.start - bent : span.stop - bent] for span in spans if span.start >= bent]
    parts = ([torch.from_numpy(part) for part in group] for group in ([lam] * flat.rows.layers, us, ps))
    return Dual(*(tuple(part) for part in parts))


def _followed(common: Common, vectors: Vectors, begin: Array, goal: Goal) -> tuple[Array, Array, Array, IntArray]:
    """Return x, lambda, u and the iterations of each context, from one point or from one for each."""
    from decision._minimise.compiled.path import follow

    count, h = len(vectors.v), common.units
    x, lam, u = np.tile(common.centre, (count, 1)), np.zeros((count, h)), np.zeros((count, len(common.B) - h))
    none = np.empty((count, 0))
    ends = PathPoint(x, s=none, y=none, z=none, p=none, lam=lam, kap=none, u=u, turn=none)
    counts = np.zeros(count, dtype=np.int64)
    room, at, step = room_for(common), point(common), point(common)
    for start in range(0, count, CHUNK):
        if goal.late:
            break
        some = slice(start, start + CHUNK)
        moving = Vectors(*(values[some] for values in vectors))
        rows = PathPoint(*(values[some] for values in ends))
        first = begin if len(begin) == 1 else begin[some]
        run(follow, common, moving, first, SHARE * goal.rtol, LIMIT, rows, counts[some], room, at, step)
    return x, lam, u, counts


def common_of(rows: FlatRows, feasible_set: FeasibleSet, polyhedron: Polyhedron) -> Common:
    """Return what the contexts share, kept with the rows."""
    known = rows.kept.get("compiled")
    if known is not None and known[0] is polyhedron:
        kept: Common = known[1]
        return kept
    arrays = rows.arrays
    n, bent, norms = arrays.M.shape[1], arrays.bent, arrays.norms
    quadratics = [arrays.M[span] for span, _, _ in rows.branches if span.start >= bent]
    grams = np.concatenate([np.zeros((0, n * n)), *((A.T @ A).reshape(1, -1) for A in quadratics)])
    bounds = polyhedron.bounds.numpy()
    place = np.abs(bounds).argmax(axis=1) if len(bounds) else np.zeros(0, dtype=np.int64)
    eye = torch.eye(n, dtype=torch.float64)
    lower, upper = (feasible_set.minimise_linear(side * eye).diagonal() for side in (1.0, -1.0))
    sign = bounds[np.arange(len(bounds)), place]
    tensors = (polyhedron.general, polyhedron.h, polyhedron.E, lower, upper, polyhedron.centre)
    G, h, E, lowest, largest, centre = (np.ascontiguousarray(values.numpy()) for values in tensors)
    first, size = arrays.first[:norms].copy(), arrays.size[:norms].copy()
    rows_of = arrays.M[:bent], arrays.units, arrays.tau, first, size, grams
    made = Common(*rows_of, place, sign, G, h, E, lowest, largest, centre)
    rows.kept["compiled"] = polyhedron, made
    return made


def vectors_of(
    flat: Flat, feasible_set: FeasibleSet, polyhedron: Polyhedron, x: Array, most: Array, size: Array, atol: Array
) -> Vectors:
    """Return what belongs to each context; products start with what the linearised objective can gain from x."""
    from decision._minimise.compiled.reached import gradients

    arrays = flat.rows.arrays
    slope, gradient, constant = np.empty_like(flat.v), np.empty_like(flat.v), np.empty(len(flat))
    run(gradients, arrays, flat.offset, flat.price, flat.v, x, slope, gradient, constant)
    vertex = feasible_set.minimise_linear(torch.from_numpy(gradient)).numpy()
    gain = (gradient * (x - vertex)).sum(axis=1)
    mu = np.maximum(gain / max(len(polyhedron.h), 1), 1e-10)
    bent, prices = arrays.bent, arrays.units + arrays.norms
    floor = np.maximum(0.5 * ROUNDING * size, SHARE * atol)
    offset, price, beta = flat.offset[:, :bent], flat.price[:, :prices], flat.price[:, prices:]
    values = (offset, price, beta, slope, constant, mu, most, floor, 0.5 * size)
    return Vectors(*(np.ascontiguousarray(array) for array in values))
