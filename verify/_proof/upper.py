"""The forward pass rounded up, layer by layer: f(x) <= hi in real arithmetic, in NumPy or in torch.

z_k = max(W z_{k-1} + U x + b + rho high + g(m) S_k + TINY, 0),     S_k = |W| z_{k-1} + |U| |x| + |b| + rho high

With W >= 0 the upper ends of z_{k-1} give upper ends of z_k. The values of terms are rounded up by `TermColumns.high`.
"""

from __future__ import annotations

from dataclasses import dataclass

from socicnn._margins import TINY, relative_margin
from verify._proof.columns import Image, NetColumns, Values, positive


@dataclass(frozen=True, eq=False)
class Upper:
    """The pass rounded up, and what the lower end uses again.

    Args:
        hi: upper ends, shape `(N,)`.
        scale: S, the sum of the absolute values of the objective's terms, propagated through the layers.
        active: units of each layer that may be on, shape `(h, N)`.
        inner: images of the terms inside each layer.
        images: images of the branches.
    """

    hi: Values
    scale: Values
    active: list[Values]
    inner: list[list[Image]]
    images: list[Image]


def upper(net: NetColumns, x: Values) -> Upper:
    """Return the upper ends of f at columns x of shape `(n, N)`.

    Args:
        net: the network, W and w >= 0; otherwise hi bounds the value of its program.
        x: points, one per column; with stacked contexts column i belongs to context i.
    """
    xp, size, N = net.xp, abs(x), x.shape[1]
    z: Values = None
    active: list[Values] = []
    inner: list[list[Image]] = []
    for layer in net.layers:
        a, S, terms = layer.b, abs(layer.b), net.n + 1
        inner.append([term.image(x, size) for term in layer.inner])
        for term, image in zip(layer.inner, inner[-1], strict=True):
            high = term.weight * term.high(image)
            a, S, terms = a + high, S + high, terms + 1
        if layer.U is not None:
            a, S = a + layer.U @ x, S + layer.U_absolute @ size
        if layer.W is not None and z is not None:
            product, product_size = layer.weighed(z)
            a, S, terms = a + product, S + product_size, terms + layer.W.shape[1]
        z = xp.broadcast_to(positive(a + (relative_margin(terms) * S + TINY)), (len(a), N))
        active.append(z > 0)
    total, scale = net.dot(net.v, x) + net.c, net.dot(abs(net.v), size) + abs(net.c)
    if z is not None:
        total, scale = total + net.dot(net.w, z), scale + net.dot(abs(net.w), z)
    images = [term.image(x, size) for term in net.terms]
    for term, image in zip(net.terms, images, strict=True):
        value = (term.weight * term.high(image)).sum(0)
        total, scale = total + value, scale + abs(value)
    hi = total + (relative_margin(len(net.w) + net.n + 1 + net.groups) * scale + TINY)
    return Upper(xp.broadcast_to(hi, (N,)), scale, active, inner, images)
