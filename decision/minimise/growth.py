"""A lower bound over a box whose far bounds do not matter: the quadratics are kept, and their growth holds x back.

With the tangents of the quadratics at an anchor y, p = A y + e, every dual point of the rest gives

    f(x) >= l(x) + sum_m beta_m ||A_m (x - y)||^2,    l(x) = l(y) + g'(x - y)

for all x. Coordinates at a bound that g pushes against only add to l. Let r be the other entries of g, which are zero
but for the solver's accuracy, and sigma > 0 a lower bound of the eigenvalues of G = sum_m 2 beta_m A_m'A_m: then

    min_X f >= l(y) - ||r||^2 / (2 sigma)

however far the other bounds are, where an affine bound loses |r| times the width. Everything is rounded outward. That
sigma is a bound is proven by a Cholesky factorisation: where it succeeds on G - tau I in float64, the eigenvalues of G
are at least tau - g(n) trace(G) (Rump, "Verification of positive definiteness", BIT 46, 2006).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from decision.minimise.bounds import Minorant, minorant, repaired
from decision.minimise.stack import Dual, Stack
from decision.sets import Box
from socicnn.margins import TINY, relative_margin


def growth_bound(stack: Stack, box: Box, x: Tensor, dual: Dual, allowed: Tensor) -> Tensor:
    """Return a proven lower bound of min_X f for each context, shape `(contexts,)`; -inf where f does not grow.

    Args:
        stack: the networks.
        box: the set X.
        x: decisions, shape `(contexts, n)`.
        dual: a guess of a dual point; it is repaired first.
        allowed: what moving a coordinate to its bound may cost, shape `(contexts,)`.
    """
    sigma = least_curvature(stack)
    lower, upper = box.ends(x)
    y = x
    for _ in range(2):  # once to see which bounds hold x, once with the tangents at the point that lies on them
        point = repaired(stack, replace(dual, p=stack.images(y)))
        line = minorant(stack, point)
        error = relative_margin(line.terms) * line.slope_size + TINY
        down = (line.slope > error) & (line.slope * (y - lower) <= allowed[:, None])
        up = (line.slope < -error) & (-line.slope * (upper - y) <= allowed[:, None])
        anchor = torch.where(down, lower, torch.where(up, upper, y))
        held = (down & (y == lower)) | (up & (y == upper))
        last, y = y, anchor
    return _bound(stack, last, line, torch.where(held, 0.0, line.slope.abs() + error), sigma)


def _bound(stack: Stack, y: Tensor, line: Minorant, rest: Tensor, sigma: Tensor) -> Tensor:
    """Return l(y) - ||r||^2 / (2 sigma), rounded down; `rest` bounds |r|."""
    n = y.shape[1]
    for one, p in zip(stack.quadratics, stack.images(y), strict=False):
        # p is A y + e but for rounding, which tilts the quadratic a little
        size = one.matrix.absolute().apply(y.abs()) + one.offset.abs() + p.abs() + TINY
        off = relative_margin(n + 4) * size
        rest = rest + 2.0 * one.weight[:, None] * one.matrix.absolute().adjoint(off) * (1.0 + relative_margin(n))
    value = (line.slope * y).sum(dim=-1) + line.offset
    size = (line.slope_size * (y.abs() + TINY)).sum(dim=-1) + line.offset_size
    loss = rest.square().sum(dim=-1) / (2.0 * sigma) * (1.0 + relative_margin(4 * n + 16))
    bound = value - loss - (relative_margin(2 * line.terms) * (size + loss) + TINY)
    return torch.where((sigma > 0) & bound.isfinite(), bound, -torch.inf)


def least_curvature(stack: Stack) -> Tensor:
    """Return a proven lower bound of the eigenvalues of sum_m 2 beta_m A_m'A_m, shape `(contexts,)`; 0 if none.

    >>> from socicnn.frozen import FrozenNet, Output, Quadratic
    >>> net = FrozenNet([], Output([], [0.0, 0.0]), [Quadratic(0.5, [[2.0, 0.0], [0.0, 1.0]])])
    >>> 0.4 < float(least_curvature(Stack.of(net))) < 1.0
    True
    """
    n = stack.in_features
    G = stack.v.new_zeros(len(stack), n, n)
    error = stack.v.new_zeros(len(stack))
    for one in stack.quadratics:
        gram = one.matrix.gram
        G = G + 2.0 * one.weight[:, None, None] * gram
        size = one.matrix.row_norms.square().sum()  # trace(|A|'|A|) bounds the norm of its rounding errors
        error = error + 2.0 * one.weight * relative_margin(one.matrix.shape[0] + 4) * size + TINY
    if not len(stack) or not stack.quadratics or not bool(G.isfinite().all()):
        return torch.zeros_like(error)
    tau = 0.5 * torch.linalg.eigvalsh(G)[:, 0]
    trace = G.diagonal(dim1=1, dim2=2).sum(dim=1)
    _, failed = torch.linalg.cholesky_ex(G - tau[:, None, None] * torch.eye(n, dtype=G.dtype, device=G.device))
    sigma = tau - relative_margin(n + 4) * (trace + tau.abs()) * (n + 4) - 2.0 * error
    return torch.where((failed == 0) & (sigma > 0), sigma * (1.0 - relative_margin(8)), 0.0)
