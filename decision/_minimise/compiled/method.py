"""From a stack of networks to the arrays of the compiled loops, and back to answers."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from decision._minimise.answers import Answers, Goal
from decision._minimise.compiled.state import Common, PathPoint, Vectors, point, room_for
from decision._minimise.interior.polyhedron import Polyhedron
from decision._minimise.interior.start import plain_gradient
from decision._minimise.reference import ROUNDING
from decision._minimise.stack import Dual, Stack
from decision._minimise.stack_surrogate import StackSurrogate
from decision._minimise.units import Units
from decision.sets._base import FeasibleSet
from socicnn._arrays import Array

CHUNK = 64  # contexts between two looks at the clock
LIMIT = 30  # iterations of a context; most need 7 to 13
LARGEST = 400  # inputs: above, the processor's own batched matrices are as fast
WIDEST = 128  # units that are all kept
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


def suits(stack: Stack) -> bool:
    """Return whether the loops know networks of this kind and size, and are worth while."""
    plain = all(not layer.inner and layer.b.shape[1] <= WIDEST for layer in stack.layers)
    small = len(stack.layers) <= 1 and stack.in_features <= LARGEST
    return plain and small and stack.v.device.type == "cpu"


def compiled_answers(
    surrogate: StackSurrogate, feasible_set: FeasibleSet, half: Tensor, most: Tensor, goal: Goal
) -> Answers | None:
    """Return what the compiled loops find, from the set's centre; None where they cannot be used.

    Args:
        surrogate: the networks.
        feasible_set: the set X, with linear rows and an interior.
        half: half the width of the reference region (`reference`).
        most: largest value of f at the reference points, shape `(contexts,)`.
        goal: when to stop.
    """
    if not suits(surrogate.stack) or goal.max_iterations is not None or not ready(goal):
        return None
    if Polyhedron.of(feasible_set) is None:
        return None
    centre = feasible_set.centre().expand(len(surrogate), -1)
    value, size = surrogate.value(centre), surrogate.size(centre, half)
    spread = most - value
    scale = torch.minimum(torch.where(spread > 0, spread, size), size)
    inner, units = surrogate.in_units(Units.of(scale, feasible_set))
    unit, region = units.unit(most), units.set(feasible_set)
    polyhedron = Polyhedron.of(region)
    if polyhedron is None:
        return None
    stack = inner.stack
    vectors = vectors_of(stack, region, polyhedron, most / unit, size / unit, goal.atol / unit)
    x, lam, u, iterations = _followed(common_of(stack, region, polyhedron), vectors, goal)
    dual = Dual(
        tuple(lam for _ in stack.layers),
        tuple(u.split([branch.offset.shape[1] for branch in stack.norms], dim=1)) if stack.norms else (),
        stack.images(x),
    )
    nothing = x.new_full((len(x),), -math.inf)
    return Answers(units.outward(x), nothing, nothing, units.multipliers(dual), iterations, most, size, unit)


@cache
def loaded() -> Callable[..., None]:
    """Return the loops; what an older version left on disk is compiled anew."""
    from decision._minimise.compiled import loops, path

    def follow(*arguments: Any) -> None:
        try:
            path.follow(*arguments)
        except (AttributeError, ImportError):  # the names in it are gone
            loops.forget(path.follow)
            path.follow(*arguments)

    return follow


def _followed(common: Common, vectors: Vectors, goal: Goal) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return x, lambda, u and the iterations of each context."""
    follow = loaded()

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
        follow(common, moving, common.centre, SHARE * goal.rtol, LIMIT, rows, counts[some], room, at, step)
    return torch.from_numpy(x), torch.from_numpy(lam), torch.from_numpy(u), torch.from_numpy(counts)


def common_of(stack: Stack, feasible_set: FeasibleSet, polyhedron: Polyhedron) -> Common:
    """Return what the contexts share, kept with the stack's matrices."""
    known = stack.kept.get("compiled")
    if known is not None and known[0] is polyhedron:
        kept: Common = known[1]
        return kept
    n = stack.in_features
    maps = [layer.U for layer in stack.layers if layer.U is not None] + [branch.matrix for branch in stack.norms]
    units = sum(layer.b.shape[1] for layer in stack.layers)
    B = np.concatenate([np.zeros((0, n)), *(matrix.dense.numpy() for matrix in maps)])
    size = np.concatenate([np.zeros(0), *(np.full(branch.groups, branch.group) for branch in stack.norms)]).astype(
        np.int64
    )
    first = units + np.cumsum(size) - size
    grams = np.concatenate(
        [np.zeros((0, n * n)), *(branch.matrix.gram.reshape(1, -1).numpy() for branch in stack.quadratics)]
    )
    bounds = polyhedron.bounds.numpy()
    place = np.abs(bounds).argmax(axis=1) if len(bounds) else np.zeros(0, dtype=np.int64)
    eye = torch.eye(n, dtype=torch.float64)
    width = feasible_set.minimise_linear(-eye).diagonal() - feasible_set.minimise_linear(eye).diagonal()
    sign = bounds[np.arange(len(bounds)), place]
    arrays = (polyhedron.general, polyhedron.h, polyhedron.E, width, polyhedron.centre)
    G, h, E, reach, centre = (np.ascontiguousarray(values.numpy()) for values in arrays)
    made = Common(B, units, first, size, grams, place, sign, G, h, E, reach, centre)
    stack.kept["compiled"] = polyhedron, made
    return made


def vectors_of(
    stack: Stack, feasible_set: FeasibleSet, polyhedron: Polyhedron, most: Tensor, size: Tensor, atol: Tensor
) -> Vectors:
    """Return what belongs to each context; products start with what the linearised objective can gain."""
    x = polyhedron.centre.expand(len(stack), -1)
    gradient = plain_gradient(stack, x)
    gain = (gradient * (x - feasible_set.minimise_linear(gradient))).sum(dim=-1)
    mu = (gain / max(len(polyhedron.h), 1)).clamp(min=1e-10)
    v, constant = stack.v, stack.c
    for branch in stack.quadratics:
        v = v + 2.0 * branch.weight * branch.matrix.adjoint(branch.offset)
        constant = constant + branch.total(branch.offset)
    empty = stack.v.new_zeros(len(stack), 0)
    offset = torch.cat([*(layer.b for layer in stack.layers), *(branch.offset for branch in stack.norms), empty], dim=1)
    price = torch.cat([stack.w, *(branch.weight.expand(-1, branch.groups) for branch in stack.norms)], dim=1)
    beta = torch.cat([*(branch.weight for branch in stack.quadratics), empty], dim=1)
    floor = torch.maximum(0.5 * ROUNDING * size, SHARE * atol)
    arrays = (offset, price, beta, v, constant, mu, most, floor, 0.5 * size)
    return Vectors(*(_array(values) for values in arrays))


def _array(values: Tensor) -> Array:
    return np.ascontiguousarray(values.numpy())
