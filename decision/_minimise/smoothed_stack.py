"""A stack of networks with its kinks smoothed: convex, above f, and with dual feasible slopes.

relu(a) becomes (a + sqrt(a^2 + 4 delta^2)) / 2, layer inside layer, and ||p|| becomes sqrt(||p||^2 + delta^2). The
slopes t in (0, 1) give multipliers lambda_k = t_k (W_{k+1}'lambda_{k+1}) inside their boxes and u = p / sqrt(...)
inside the unit ball: each gradient comes with a minorant of f, whose value at x is below f by what the smoothing costs.
Softplus units are smooth already: their width is tau, or delta if that is larger, and with slope t each adds
tau (W_{k+1}'lambda_{k+1}) H(t) to the minorant, H(t) = -t log t - (1 - t) log(1 - t).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from decision._minimise.smoothing import entropy, smooth_length, smooth_relu, softplus
from decision._minimise.stack import Dual, Stack, StackLayer
from decision._minimise.surrogate import Tangent


@dataclass(frozen=True, eq=False)
class Smoothed:
    """The smoothed network at x.

    Args:
        x: points, shape `(contexts, n)`.
        value: the smoothed value, at least f(x), shape `(contexts,)`.
        a: pre-activations of each layer, shape `(contexts, h_k)`.
        z: activations of each layer, shape `(contexts, h_k)`.
        bends: of each layer sqrt(a^2 + 4 delta^2), by which z is divided for the slopes; a / width of softplus units.
        images: p of each branch, quadratics first.
        u: dual of each norm branch.
        inner: slopes of the terms inside each layer.
    """

    x: Tensor
    value: Tensor
    a: list[Tensor]
    z: list[Tensor]
    bends: list[Tensor]
    images: list[Tensor]
    u: list[Tensor]
    inner: list[list[Tensor]]

    def slopes(self, k: int, layer: StackLayer) -> Tensor:
        """Return the slopes of the units of layer k."""
        return torch.sigmoid(self.bends[k]) if layer.smooth else self.z[k] / self.bends[k]


def smoothed(stack: Stack, x: Tensor, delta: Tensor) -> Smoothed:
    """Evaluate the smoothed network.

    Args:
        stack: the networks.
        x: shape `(contexts, n)`.
        delta: width of the smoothing, > 0, shape `(contexts,)`.
    """
    wide = delta[:, None]
    preactivations: list[Tensor] = []
    activations: list[Tensor] = []
    bends: list[Tensor] = []
    inner: list[list[Tensor]] = []
    value = (x * stack.v).sum(dim=-1) + stack.c
    for layer in stack.layers:
        a = layer.preactivation(x, activations[-1] if activations else None, delta)
        preactivations.append(a)
        inner.append(layer.slopes(x, delta))
        z, bend = softplus(a, wide.clamp(min=layer.smoothing)) if layer.smooth else smooth_relu(a, wide)
        activations.append(z)
        bends.append(bend)
    if activations:
        value = value + torch.linalg.vecdot(activations[-1], stack.w)
    images, u = [], []
    for branch in stack.quadratics:
        p = branch.image(x)
        value = value + branch.total(p)
        images.append(p)
    for branch in stack.norms:
        p = branch.image(x)
        length = smooth_length(branch.grouped(p).square().sum(dim=-1), wide)
        value = value + (branch.weight * length).sum(dim=-1)
        images.append(p)
        u.append(p / length.repeat_interleave(branch.group, dim=1))
    for smooth in stack.exponentials:
        value = value + smooth.total(smooth.image(x))
    return Smoothed(x, value, preactivations, activations, bends, images, u, inner)


def tangent(stack: Stack, at: Smoothed) -> Tangent:
    """Return the tangent: its slopes are a dual point, whose minorant of f has the same gradient."""
    gradient, minorant = stack.v, (at.x * stack.v).sum(dim=-1) + stack.c
    lam: list[Tensor] = []
    box = stack.w
    for k, layer in reversed(list(enumerate(stack.layers))):
        multiplier = box * at.slopes(k, layer)
        lam.insert(0, multiplier)
        if layer.smooth:
            minorant = minorant + (layer.smoothing * box * entropy(at.bends[k])).sum(dim=-1)
        gradient = gradient + layer.pull(multiplier, at.x, at.inner[k])
        box = multiplier if layer.W is None else layer.W.adjoint(multiplier)
        if layer.inner:
            minorant = minorant + (multiplier * layer.minorant(at.x, at.inner[k])).sum(dim=-1)
        else:  # lambda'(a - W z) without another product
            minorant = minorant + (multiplier * at.a[k]).sum(dim=-1)
            if layer.W is not None and k:
                minorant = minorant - (box * at.z[k - 1]).sum(dim=-1)
    count = len(stack.quadratics)
    for branch, p in zip(stack.quadratics, at.images[:count], strict=True):
        gradient = gradient + 2.0 * branch.weight * branch.matrix.adjoint(p)
        minorant = minorant + branch.total(p)
    for branch, p, u in zip(stack.norms, at.images[count:], at.u, strict=True):
        weighted = branch.row_weight * u
        gradient = gradient + branch.matrix.adjoint(weighted)
        minorant = minorant + (weighted * p).sum(dim=-1)
    for smooth in stack.exponentials:  # the tangent at x
        p = smooth.image(at.x)
        gradient, minorant = gradient + smooth.slope(p), minorant + smooth.total(p)
    pairs = zip(stack.layers, at.inner, strict=True)
    inside = (u for layer, slopes in pairs for term, u in zip(layer.inner, slopes, strict=True) if term.root)
    multipliers = Dual(tuple(lam), (*at.u, *inside), stack.images(at.x, at.images[:count]))
    return Tangent(at.x, at.value, gradient, minorant, at.value, multipliers)


def by_slopes(stack: Stack, lam: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, ...]:
    """Return multipliers of each layer, those of softplus units by their slopes at x."""
    made: list[Tensor] = []
    box, preactivations = stack.w, stack.preactivations(x)
    for k, layer in reversed(list(enumerate(stack.layers))):
        soft = torch.as_tensor(layer.smoothing, device=x.device) > 0
        sloped = torch.sigmoid(preactivations[k] / layer.width) if layer.smooth else lam[k]
        made.insert(0, torch.where(soft, box * sloped, lam[k]))
        if layer.W is not None:
            box = layer.W.adjoint(torch.minimum(made[0].clamp(min=0.0), box))
    return tuple(made)


def hessian(stack: Stack, at: Smoothed, lam: tuple[Tensor, ...], delta: Tensor) -> Tensor:
    """Return the Hessian of the smoothed network, shape `(contexts, n, n)`: J_k'diag(q_k r''(a_k)) J_k, layer by layer.

    J_k is the Jacobian of a_k, r'' = 2 delta^2 / root^3, of softplus units r'(1 - r') / width, and q_k = lambda_k / r'
    the slope of f in z_k; quadratics and norms add their own.

    Args:
        stack: the networks.
        at: the smoothed networks.
        lam: the multipliers of their tangent.
        delta: width of the smoothing, shape `(contexts,)`.
    """
    contexts, n = at.x.shape
    H = at.x.new_zeros(contexts, n, n)
    square = 2.0 * delta.square()[:, None]
    below: Tensor | None = None  # the Jacobian of z_{k-1}
    for k, (layer, multiplier, z, bend) in enumerate(zip(stack.layers, lam, at.z, at.bends, strict=True)):
        images = at.x.new_zeros(contexts, z.shape[1], n) if layer.U is None else layer.U.dense.expand(contexts, -1, -1)
        if layer.W is not None and below is not None:
            images = images + layer.W.dense @ below
        for term, slope in zip(layer.inner, at.inner[k], strict=True):
            weight, F = term.weight * multiplier, term.matrix.dense.reshape(z.shape[1], -1, n)
            along = torch.einsum("chk,hkn->chn", term.grouped(slope), F)
            images = images + term.weight[..., None] * along
            if term.root:
                weight = weight / term.values(term.image(at.x), delta)
                H = H - along.mT @ (weight[..., None] * along)
            H = H + torch.einsum("ch,hkn,hkm->cnm", weight if term.root else 2.0 * weight, F, F)
        below = at.slopes(k, layer)[..., None] * images
        if layer.smooth:
            weight = multiplier * torch.sigmoid(-bend) / delta[:, None].clamp(min=layer.smoothing)
        else:
            weight = torch.where(z > 0, multiplier * square / (bend.square() * z), 0.0)
        H = H + images.mT @ (weight[..., None] * images)
    for branch in stack.quadratics:
        H = H + 2.0 * branch.weight[..., None] * branch.matrix.gram
    for branch, u, p in zip(stack.norms, at.u, at.images[len(stack.quadratics) :], strict=True):
        rows = branch.matrix.dense.reshape(-1, branch.group, n)
        length = smooth_length(branch.grouped(p).square().sum(dim=-1), delta[:, None])
        along = torch.einsum("cgk,gkn->cgn", branch.grouped(u), rows)
        weight = branch.weight / length
        H = H + branch.curvature(weight) - along.mT @ (weight[..., None] * along)
    for smooth in stack.exponentials:
        H = H + smooth.hessian(smooth.image(at.x))
    return H
