"""The smooth part of a stack of networks: v'x, the quadratics, and the norms with their kink at zero rounded off.

A norm ||p|| becomes sqrt(||p||^2 + delta^2), whose gradient u = p / sqrt(||p||^2 + delta^2) lies in the unit ball, a
dual point of the exact norm. Its Newton matrix uses a dual variable of its own beside u, so that steps stay good as
delta shrinks (Chan, Golub and Mulet, "A nonlinear primal-dual method for total variation-based image restoration",
1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from decision.stack import Stack


@dataclass(frozen=True, eq=False)
class Smooth:
    """Value of the minorant, gradient and norm duals at x.

    Args:
        minorant: v'x + c + quadratics + sum gamma u'(C x + d) at x, shape `(contexts,)`.
        gradient: its gradient, shape `(contexts, n)`.
        u: dual of each norm branch, shape `(contexts, rows)`.
        images: p = C x + d of each norm branch.
        lengths: sqrt(||p||^2 + delta^2) of each group, repeated for its rows.
    """

    minorant: Tensor
    gradient: Tensor
    u: list[Tensor]
    images: list[Tensor]
    lengths: list[Tensor]

    def take(self, rows: Tensor) -> Smooth:
        """Return the same for some contexts."""
        lists = [[one[rows] for one in group] for group in (self.u, self.images, self.lengths)]
        return Smooth(self.minorant[rows], self.gradient[rows], *lists)


def smooth_part(stack: Stack, x: Tensor, delta: Tensor) -> Smooth:
    """Evaluate the smooth part at x with rounding delta, shape `(contexts,)`."""
    minorant, gradient = (x * stack.v).sum(dim=-1) + stack.c, stack.v
    for one in stack.quadratics:
        p = one.image(x)
        minorant = minorant + one.weight * p.square().sum(dim=-1)
        gradient = gradient + 2.0 * one.weight[:, None] * one.matrix.adjoint(p)
    u, images, lengths = [], [], []
    for one in stack.norms:
        p = one.image(x)
        rounded = (one.grouped(p).square().sum(dim=-1) + delta[:, None] ** 2).sqrt()
        length = rounded.repeat_interleave(one.group, dim=1)
        unit = p / length
        minorant = minorant + one.weight * (unit * p).sum(dim=-1)
        gradient = gradient + one.weight[:, None] * one.matrix.adjoint(unit)
        u.append(unit)
        images.append(p)
        lengths.append(length)
    return Smooth(minorant, gradient, u, images, lengths)


def hessian(stack: Stack, at: Smooth, duals: list[Tensor]) -> Tensor:
    """Return the Newton matrix of the smooth part, positive semidefinite, shape `(contexts, n, n)`.

    Args:
        stack: the networks.
        at: the smooth part at x.
        duals: the norms' own dual variables, ||.|| <= 1 in each group.
    """
    n = stack.in_features
    total = at.gradient.new_zeros(len(at.gradient), n * n)
    for one in stack.quadratics:
        total += 2.0 * one.weight[:, None] * one.matrix.gram.reshape(1, -1)
    total = total.reshape(-1, n, n)
    for one, u, dual, length in zip(stack.norms, at.u, duals, at.lengths, strict=True):
        C = one.matrix.dense
        scale = one.weight[:, None] / length
        if one.group == len(C):
            total += scale[:, :1, None] * one.matrix.gram
            pair = torch.stack([one.matrix.adjoint(u), one.matrix.adjoint(dual)], dim=1)  # (contexts, 2, n)
            inverse = scale[:, :1]
        else:
            total += C.T @ (scale[..., None] * C)
            groups = len(C) // one.group
            pair = torch.stack([u, dual], dim=1).reshape(len(u), 2, groups, one.group)
            pair = torch.einsum("bkgi,gij->bkgj", pair, C.reshape(groups, one.group, n)).reshape(len(u), -1, n)
            inverse = scale[:, :: one.group]
        half = pair.shape[1] // 2
        cross = pair[:, :half].mT @ (0.5 * inverse[..., None] * pair[:, half:])
        total -= cross + cross.mT
    return total


def moved_duals(stack: Stack, at: Smooth, duals: list[Tensor], dx: Tensor, length: Tensor) -> list[Tensor]:
    """Return the norms' dual variables after a step dx of this length, cut back into the unit ball."""
    found = []
    for one, u, dual, p, size in zip(stack.norms, at.u, duals, at.images, at.lengths, strict=True):
        dp = one.matrix.apply(dx)
        along = one.grouped(u * dp).sum(dim=-1).repeat_interleave(one.group, dim=1)
        moved = dual + length[:, None] * ((dp - dual * along + p) / size - dual)
        norm = torch.linalg.vector_norm(one.grouped(moved), dim=-1).repeat_interleave(one.group, dim=1)
        found.append(moved / norm.clamp(min=1.0))
    return found
