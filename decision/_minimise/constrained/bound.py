"""What a lower bound over a set starts from: the minorant slope'v + offset that a dual point gives; empty sets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from decision._minimise.bounds import minorant, repaired
from decision._minimise.stack import Dual, Stack
from socicnn._arrays import Array, BoolArray
from socicnn._margins import TINY, relative_margin
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.conic.solvers import Solver
from verify._optimum.extents import Extents
from verify._optimum.interior import relaxed
from verify._optimum.residual import Line, lower_bound
from verify._optimum.weak_duality import WeakDuality, into_dual_cone

SNAP = 1e-7  # what is smaller than this share of its size may be noise of the solver


def line_of(stack: Stack, dual: Dual, variables: int) -> Line:
    """Return the minorant of one context that a guess of a dual point gives, over v = [x | further variables]."""
    dual = repaired(stack, dual)
    tangent = minorant(stack, dual)
    margin = relative_margin(2 * tangent.terms)
    used = touched(stack, dual)
    more = variables - stack.in_features
    slope_size = tangent.slope_size[0].numpy()
    error = np.where(used, margin * slope_size + TINY, 0.0)
    size = float(tangent.offset_size[0])
    offset = float(tangent.offset[0]) - (margin * size + TINY * (1.0 + size))
    return Line(
        np.pad(np.where(used, tangent.slope[0].numpy(), 0.0), (0, more)),
        np.pad(error, (0, more)),
        offset,
        np.pad(slope_size, (0, more)),
    )


def with_multipliers(line: Line, y: Array, cones: Cones, noise: float = 0.0) -> tuple[Line, Array]:
    """Return a minorant with multipliers in the dual cone; zeros for one that is constant, whose least value is known.

    Args:
        line: the minorant.
        y: a guess of the multipliers of the rows.
        cones: of the rows.
        noise: as in `into_dual_cone`.
    """
    moves = bool(line.slope.any() or line.error.any())
    return line, into_dual_cone(y, cones, noise) if moves else np.zeros_like(y)


def touched(stack: Stack, dual: Dual) -> BoolArray:
    """Return the coordinates of x that the minorant of one context depends on, by its exact zeros, shape `(n,)`."""
    branches, inner = dual.p[: len(stack.quadratics)], list(dual.p[len(stack.quadratics) :])
    balls = list(dual.u[len(stack.norms) :])
    terms = zip((*stack.quadratics, *stack.norms), (*branches, *dual.u), strict=False)
    pairs = [(branch.matrix, at * (branch.row_weight != 0)) for branch, at in terms]
    for layer, lam in zip(stack.layers, dual.lam, strict=True):
        if layer.U is not None:
            pairs.append((layer.U, lam))
        for branch in layer.inner:
            on = (lam != 0) & (branch.weight != 0)
            pairs.append((branch.matrix, (balls if branch.root else inner).pop(0) * branch.spread(on)))
    # a softmax has no exact zeros: every row with a weight counts
    pairs += [(branch.matrix, branch.priced(torch.ones_like(branch.offset))) for branch in stack.exponentials]
    seen: BoolArray = (stack.v[0] != 0).numpy()
    for matrix, y in pairs:
        seen = seen | (matrix.absolute().sign().adjoint((y != 0).to(y.dtype))[0] > 0).numpy()
    return seen


def snapped(stack: Stack, dual: Dual, x: Tensor) -> Dual:
    """Return a dual point with exact zeros in place of numbers that are negligible next to the network's own."""

    def cut(values: Tensor, size: Tensor) -> Tensor:
        return torch.where(values.abs() <= SNAP * size, 0.0, values)

    lam: list[Tensor] = []
    box: Tensor = stack.w
    for k in reversed(range(len(stack.layers))):
        lam.insert(0, cut(dual.lam[k], box))
        W = stack.layers[k].W
        box = box if W is None else W.adjoint(torch.minimum(lam[0].clamp(min=0.0), box))
    u = tuple(cut(point, torch.ones_like(point)) for point in dual.u)
    sizes = [branch.size(x.abs()) for branch in stack.curved]
    p = tuple(cut(p, size) for p, size in zip(dual.p, sizes, strict=False))
    return Dual(tuple(lam), u, p + dual.p[len(sizes) :])


def proven_empty(rows: Rows, extents: Extents, solver: Solver) -> bool:
    """Return whether no point satisfies the rows, in real arithmetic; False says nothing.

    The least t by which all rows can be relaxed has multipliers y with G'y = 0, h'y = -t up to the solver's tolerance.
    Over the set they prove a lower bound of the function 0: if that is above 0, the set has no point.

    Args:
        rows: the set.
        extents: proven bounds of it.
        solver: the solver.
    """
    if (extents.lower > extents.upper).any():
        return True
    y = relaxed(rows, solver)
    if not np.isfinite(y).all():
        return False
    nothing = np.zeros(rows.G.shape[1])
    zero = Line(nothing, nothing, 0.0, nothing)  # of the function that is 0 everywhere
    return lower_bound(zero, into_dual_cone(y, rows.cones), weak=WeakDuality(rows), extents=extents).lower > 0.0
