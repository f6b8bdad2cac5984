"""A stack of networks with its kinks rounded off: smooth, convex, above f, and with dual feasible slopes.

relu(a) becomes (a + sqrt(a^2 + 4 delta^2)) / 2, layer inside layer, and ||p|| becomes sqrt(||p||^2 + delta^2). The
slopes t in (0, 1) give multipliers lambda_k = t_k (W_{k+1}'lambda_{k+1}) inside their boxes and u = p / sqrt(...)
inside the unit ball: each gradient comes with a minorant of f, whose value at x is below f by what the rounding costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from decision.minimise.stack import Dual, Stack


@dataclass(frozen=True, eq=False)
class Rounded:
    """The rounded network at x.

    Args:
        x: points, shape `(contexts, n)`.
        value: the rounded value, at least f(x), shape `(contexts,)`.
        z: activations of each layer, shape `(contexts, h_k)`.
        roots: sqrt(a^2 + 4 delta^2) of each layer; the slopes are z / roots.
        images: p of each branch, quadratics first.
        u: dual of each norm branch.
    """

    x: Tensor
    value: Tensor
    z: list[Tensor]
    roots: list[Tensor]
    images: list[Tensor]
    u: list[Tensor]


def rounded(stack: Stack, x: Tensor, delta: Tensor) -> Rounded:
    """Evaluate the rounded network.

    Args:
        stack: the networks.
        x: shape `(contexts, n)`.
        delta: width of the rounding, > 0, shape `(contexts,)`.
    """
    wide = 4.0 * delta[:, None] ** 2
    activations: list[Tensor] = []
    roots: list[Tensor] = []
    value = (x * stack.v).sum(dim=-1) + stack.c
    for layer in stack.layers:
        a = layer.preactivation(x, activations[-1] if activations else None)
        root = a.square().add_(wide).sqrt_()
        activations.append((a + root).mul_(0.5))  # never negative: the root is at least |a|, in floats too
        roots.append(root)
    if activations:
        value = value + torch.linalg.vecdot(activations[-1], stack.w)
    images, u = [], []
    for one in stack.quadratics:
        p = one.image(x)
        value = value + one.weight * p.square().sum(dim=-1)
        images.append(p)
    for one in stack.norms:
        p = one.image(x)
        length = (one.grouped(p).square().sum(dim=-1) + delta[:, None] ** 2).sqrt()
        value = value + one.weight * length.sum(dim=-1)
        images.append(p)
        u.append(p / length.repeat_interleave(one.group, dim=1))
    return Rounded(x, value, activations, roots, images, u)


def tangent(stack: Stack, at: Rounded) -> tuple[Tensor, Tensor, Dual]:
    """Return the gradient, the value at x of the minorant that it belongs to, and the dual point of that minorant."""
    gradient, minorant = stack.v, (at.x * stack.v).sum(dim=-1) + stack.c
    lam: list[Tensor] = []
    box = stack.w
    for layer, z, root in zip(reversed(stack.layers), reversed(at.z), reversed(at.roots), strict=True):
        one = box * z / root
        lam.insert(0, one)
        gradient = gradient + layer.pull(one, at.x)
        minorant = minorant + (one * layer.preactivation(at.x, None)).sum(dim=-1)
        if layer.W is not None:
            box = layer.W.adjoint(one)
    count = len(stack.quadratics)
    for branch, p in zip(stack.quadratics, at.images[:count], strict=True):
        gradient = gradient + 2.0 * branch.weight[:, None] * branch.matrix.adjoint(p)
        minorant = minorant + branch.weight * p.square().sum(dim=-1)
    for branch, p, u in zip(stack.norms, at.images[count:], at.u, strict=True):
        gradient = gradient + branch.weight[:, None] * branch.matrix.adjoint(u)
        minorant = minorant + branch.weight * (u * p).sum(dim=-1)
    return gradient, minorant, Dual(tuple(lam), tuple(at.u), stack.images(at.x))
