"""Candidates of any set, for each context: by its own sampler, or by hit-and-run on its rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from decision._minimise.answers import Goal
from decision._minimise.constrained.constraints import near
from decision._minimise.constrained.repair import Repair
from decision._minimise.constrained.support import support_extents
from decision.sets import ConicSet
from decision.sets._base import FeasibleSet
from decision.sets._conic_set import RowsOfContexts
from decision.sets._hit_and_run import hit_and_run
from decision.sets._samplers import Boundary, Sampler, SamplerName, Uniform, make_sampler
from socicnn._arrays import Array
from socicnn.conic._scaled import tight
from socicnn.conic.solvers._clarabel import Clarabel
from socicnn.errors import ModelError, ProgramError
from verify._optimum.extents import Extents


def drawn(
    feasible_set: FeasibleSet | ConicSet,
    context: Tensor,
    count: int,
    generator: torch.Generator,
    sampler: Sampler | SamplerName = "uniform",
) -> Tensor:
    """Draw candidates for each context.

    Args:
        feasible_set: the set.
        context: shape `(contexts, p)`; moves the set if it moves.
        count: candidates of each context.
        generator: source of randomness.
        sampler: law of the candidates; sets of conic rows know `uniform` and `boundary`.

    Returns:
        Shape `(contexts, count, n)`, float64.

    Raises:
        ModelError: a law that the set does not know.
        ProgramError: the set is unbounded, empty or has no interior.
    """
    known = feasible_set if isinstance(feasible_set, FeasibleSet) else feasible_set.fixed()
    law = make_sampler(sampler)
    if known is not None:
        return law.draw(known, len(context) * count, generator).reshape(len(context), count, known.n)
    if not isinstance(law, Uniform | Boundary):
        raise ModelError(f"{feasible_set!r} knows the samplers 'uniform' and 'boundary'; received {law}")
    assert isinstance(feasible_set, ConicSet)
    source = feasible_set.each(context, len(context))
    h = feasible_set.right_hand_sides(context, len(context)).detach()
    start = torch.tensor(np.stack(_interiors(feasible_set, source, len(context))))
    share = law.share if isinstance(law, Boundary) else 0.0
    points = hit_and_run(source[0], h, start, count, generator=generator, boundary=share)
    return points[..., : feasible_set.n]


def _interiors(feasible_set: ConicSet, source: RowsOfContexts, count: int) -> list[Array]:
    """Return a point of the interior of the set of each context."""
    solver, repair = tight(Clarabel()), None
    points: list[Array] = []
    for i in range(count):
        if i and not feasible_set.moves:
            points.append(points[0])
            continue
        rows = source[i]
        keep = near(rows)
        extents = support_extents(rows, keep, rows, solver, Goal(1e-6), Extents(*source.bounds(i)))
        repair = Repair(rows, keep, extents, solver, repair)
        if repair.inner is None:
            raise ProgramError(f"the set of context {i} is empty or has no interior to draw points from")
        points.append(repair.inner)
    return points
