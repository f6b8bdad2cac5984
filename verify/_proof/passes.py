"""The two passes of a proof in real arithmetic, in NumPy or in torch.

The forward pass rounded up, layer by layer, so that f(x) <= hi:

    z_k = max(W z_{k-1} + U x + b + rho high + g(m) S_k + TINY, 0),     S_k = |W| z_{k-1} + |U| |x| + |b| + rho high

With W >= 0 the upper ends of z_{k-1} give upper ends of z_k. The values of terms are rounded up by `TermColumns.high`,
softplus units by `verify._proof.softplus`. The backward pass makes any guess of the multipliers feasible, from the top
layer down:

    lambda_k := min(max(lambda_k, 0), W_{k+1}'lambda_{k+1}),     w for the last layer, the product rounded down

They are those of the pre-activations a_k: in a softplus layer what `verify._proof.softplus` calls mu.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from socicnn._margins import TINY, relative_margin
from verify._proof.columns import Image, NetColumns, Values, positive
from verify._proof.softplus import rounded_up, slope


class Upper(NamedTuple):
    """The pass rounded up, and what the lower end uses again."""

    hi: Values  # upper ends, shape `(N,)`
    scale: Values  # S, the sum of the absolute values of the objective's terms, propagated through the layers
    active: list[Values]  # units of each layer that may be on, or the slopes of smooth ones, shape `(h, N)`
    inner: list[list[Image]]  # images of the terms inside each layer
    images: list[Image]  # images of the branches
    smooth: list[Image]  # images of the terms of exponentials


def upper(net: NetColumns, x: Values) -> Upper:
    """Return the upper ends of f at columns x of shape `(n, N)`; with stacked contexts column i belongs to context i.

    Where W or w has a negative entry, hi bounds the value of the program.
    """
    xp, size, N = net.xp, abs(x), x.shape[1]
    z: Values = x[:0]
    active: list[Values] = []
    inner: list[list[Image]] = []
    for layer in net.layers:
        a, S, terms = layer.b, abs(layer.b), net.n + 1
        inner.append([term.image(x, size) for term in layer.inner])
        for term, image in zip(layer.inner, inner[-1], strict=True):
            high = term.weight * term.high(image)
            a, S, terms = a + high, S + high, terms + 1
        a, S = a + layer.U @ x, S + layer.U_absolute @ size
        product, product_size = layer.weighed(z)
        a, S, terms = a + product, S + product_size, terms + layer.W.shape[1]
        high = xp.broadcast_to(a + (relative_margin(terms) * S + TINY), (len(a), N))
        z = rounded_up(high, layer.smoothing, xp) if layer.smooth else positive(high)
        active.append(slope(high, layer.smoothing, xp) if layer.smooth else z > 0)
    total, scale = net.dot(net.v, x) + net.c, net.dot(abs(net.v), size) + abs(net.c)
    total, scale = total + net.dot(net.w, z), scale + net.dot(abs(net.w), z)
    images = [term.image(x, size) for term in net.terms]
    for term, image in zip(net.terms, images, strict=True):
        value = (term.weight * term.high(image)).sum(0)
        total, scale = total + value, scale + abs(value)
    smooth = [exponential.image(x, size) for exponential in net.exponentials]
    for exponential, image in zip(net.exponentials, smooth, strict=True):
        values = exponential.weight * exponential.high(image)
        total, scale = total + values.sum(0), scale + abs(values).sum(0)
    hi = total + (relative_margin(len(net.w) + net.n + 1 + net.groups) * scale + TINY)
    return Upper(xp.broadcast_to(hi, (N,)), scale, active, inner, images, smooth)


class Multipliers(NamedTuple):
    """Multipliers 0 <= lambda_k <= W_{k+1}'lambda_{k+1}."""

    lam: list[Values]  # of each layer, first to last, shape `(h, N)`
    boxes: list[Values]  # their upper bounds
    feasible: Values  # whether there are any, shape `(N,)`; True if W >= 0


def multipliers(net: NetColumns, count: int, guess: Callable[[int, Values], Values]) -> Multipliers:
    """Return multipliers that are feasible in real arithmetic, in `count` columns.

    `guess` gives lambda_k of shape `(h, N)` from the number k of a layer, from 0, and its upper bound.
    """
    lam: list[Values] = []
    boxes: list[Values] = []
    feasible: Values = True
    box = net.xp.broadcast_to(net.w, (len(net.w), count))
    for k in reversed(range(len(net.layers))):
        layer = net.layers[k]
        lam.insert(0, net.xp.minimum(positive(guess(k, box)), box))
        boxes.insert(0, box)
        raw, box = layer.box(lam[0])
        if layer.absolute is not None:  # a negative weight: 0 <= lambda <= W'lambda may be empty
            feasible = feasible & (raw >= 0).all(0)
    return Multipliers(lam, boxes, feasible)
