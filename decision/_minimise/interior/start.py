"""Where units start: on their part of the central path, given x and mu."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from decision._minimise.interior.iterate import Iterate
from decision._minimise.interior.units import Kept, by_kind
from decision._minimise.smoothing import softplus
from decision._minimise.stack import Stack


def plain_gradient(stack: Stack, x: Tensor) -> Tensor:
    """Return a subgradient of f at x; at a kink the part of lambda = 0, u = 0."""
    gradient, bound = stack.v, stack.w
    for layer, a in zip(reversed(stack.layers), reversed(stack.preactivations(x)), strict=True):
        lam = bound * (torch.sigmoid(a / layer.width) if layer.smooth else a > 0)
        gradient = gradient + layer.pull(lam, x)
        if layer.W is not None:
            bound = layer.W.adjoint(lam)
    for branch in stack.quadratics:
        gradient = gradient + 2.0 * branch.weight * branch.matrix.adjoint(branch.image(x))
    for branch in stack.norms:
        p = branch.image(x)
        price = branch.weight / branch.values(p).clamp(min=1e-300)
        gradient = gradient + branch.matrix.adjoint(branch.spread(price) * p)
    for smooth in stack.exponentials:
        gradient = gradient + smooth.slope(smooth.image(x))
    return gradient


def on_path(
    kept: Kept, x: Tensor, mu: Tensor, scale: list[Tensor]
) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
    """Return z, p, lambda and kappa with p lambda = z kappa = mu, z - p = a and lambda + kappa = q, nearly.

    z goes up the layers and q down; three sweeps, the first from all units half on.
    """
    layers = range(len(kept.index))
    q = _boxes(kept, lambda k, box: 0.5 * box, mu, scale)
    z: list[Tensor] = []
    p: list[Tensor] = []
    share: list[tuple[Tensor, Tensor]] = []
    for _ in range(3):
        z, p, share = [], [], []
        for k in layers:
            a, tau = kept.preactivation(k, x, z[k - 1] if k else None), kept.smoothing[k]
            width = mu[:, None] / q[k]
            near, far = _split(a, width)
            on, off = near / (near + far), far / (near + far)
            if tau is not None:
                width = width.clamp(min=tau)
                pairs = zip(
                    (*_soft(a, width), torch.sigmoid(a / width), torch.sigmoid(-a / width)),
                    (near, far, on, off),
                    strict=True,
                )
                near, far, on, off = (by_kind(tau, soft, hard) for soft, hard in pairs)
            z.append(near)
            p.append(far)
            share.append((on, off))
        q = _boxes(kept, _product([on for on, _ in share]), mu, scale)
    return z, p, [q[k] * share[k][0] for k in layers], [q[k] * share[k][1] for k in layers]


def settled(kept: Kept, at: Iterate, mu: Tensor, scale: list[Tensor]) -> Iterate:
    """Return the iterate with softplus units where they belong.

    Up the layers z = softplus(a) and p = z - a, down again lambda = q / (1 + exp(-a / tau)) and kappa = q - lambda. The
    width is tau, or about mu / q if that is larger: sharp units are met as smoothly as ReLU units are. ReLU units among
    them stay as they are.
    """
    if all(tau is None for tau in kept.smoothing):
        return at
    z, p, lam, kap = (list(group) for group in (at.z, at.p, at.lam, at.kap))
    widths = list(at.widths)
    for k, tau in enumerate(kept.smoothing):
        if tau is not None:
            q = lam[k] + kap[k]
            width = (mu[:, None] / (q + mu[:, None] / scale[k])).clamp(min=tau)
            near, far = _soft(kept.preactivation(k, at.x, z[k - 1] if k else None), width)
            z[k], p[k] = by_kind(tau, near, z[k]), by_kind(tau, far, p[k])
            widths[k] = by_kind(tau, width, torch.zeros_like(width))
    above: Tensor | None = None
    for k in reversed(range(len(z))):
        soft, tau = widths[k], kept.smoothing[k]
        if soft is not None:
            q, t = kept.box(k, above), (z[k] - p[k]) / soft
            lam[k], kap[k] = by_kind(tau, q * torch.sigmoid(t), lam[k]), by_kind(tau, q * torch.sigmoid(-t), kap[k])
        above = lam[k]
    return replace(at, z=z, p=p, lam=lam, kap=kap, widths=widths)


def entered(kept: Kept, at: Iterate, counts: list[Tensor], mu: Tensor, scale: list[Tensor]) -> Iterate:
    """Return the iterate with the units after the first `counts` of each context put on the path at mu."""
    layers = range(len(kept.index))
    more = [kept.index[k].shape[1] - at.z[k].shape[1] for k in layers]
    z, p, lam, kap = (
        [torch.nn.functional.pad(tensor, (0, extra), value=1.0) for tensor, extra in zip(group, more, strict=True)]
        for group in (at.z, at.p, at.lam, at.kap)
    )
    places = [torch.arange(tensor.shape[1], device=mu.device) for tensor in z]
    fresh = [place >= count[:, None] for place, count in zip(places, counts, strict=True)]
    q = _boxes(kept, lambda k, box: torch.where(fresh[k], 0.5 * box, lam[k]), mu, scale)
    for k in layers:
        near, far = _split(kept.preactivation(k, at.x, z[k - 1] if k else None), mu[:, None] / q[k])
        z[k], p[k] = torch.where(fresh[k], near, z[k]), torch.where(fresh[k], far, p[k])
    q = _boxes(kept, lambda k, box: torch.where(fresh[k], box * z[k] / (z[k] + p[k]), lam[k]), mu, scale)
    for k in layers:
        total = z[k] + p[k]
        lam[k] = torch.where(fresh[k], q[k] * z[k] / total, lam[k])
        kap[k] = torch.where(fresh[k], q[k] * p[k] / total, kap[k])
    return settled(kept, Iterate(at.x, at.s, at.y, z, p, lam, kap, at.u, at.turn, at.widths), mu, scale)


def _boxes(kept: Kept, multiplier: Callable[[int, Tensor], Tensor], mu: Tensor, scale: list[Tensor]) -> list[Tensor]:
    """Return q of each layer, top layer down, lambda_k being `multiplier(k, q_k)`."""
    boxes: list[Tensor] = []
    above: Tensor | None = None
    for k in reversed(range(len(kept.index))):
        box = kept.box(k, above) + kept.rest(k, mu, scale)
        boxes.insert(0, box)
        above = multiplier(k, box)
    return boxes


def _product(share: list[Tensor]) -> Callable[[int, Tensor], Tensor]:
    return lambda k, box: share[k] * box


def _soft(a: Tensor, tau: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return z = softplus(a) and p = z - a."""
    z = softplus(a, tau)[0]
    return z, z - a


def _split(a: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Return z, p > 0 with z - p = a and 1/z + 1/p = 1/width: a unit on its path."""
    root = (a.square() + 4.0 * width.square()).sqrt()
    large, small = 0.5 * (root + a.abs()), 2.0 * width.square() / (root + a.abs())
    on = a > 0
    return width + torch.where(on, large, small), width + torch.where(on, small, large)
