"""Networks and points that are hard on rounding: kinks, cancellation, scales from 1e-6 to 1e6."""

from dataclasses import replace

import numpy as np

from socicnn._arrays import Array
from socicnn.frozen import FrozenNet
from tests.support.frozen_nets import random_net

KINDS = ("random", "cancelled", "kinks")


def instance(seed: int) -> tuple[FrozenNet, Array]:
    """Return a small random network and a point; every third point is a kink, every third one almost.

    Data and points have scales from 1e-6 to 1e6.
    """
    rng = np.random.default_rng(seed)
    sizes = lambda most, count: tuple(int(s) for s in rng.integers(1, most, size=rng.integers(0, count)))  # noqa: E731
    kind = KINDS[seed % 3]
    scale = 10.0 ** rng.uniform(-6, 6)
    net = random_net(seed, int(rng.integers(1, 5)), sizes(5, 3), sizes(4, 2), sizes(4, 2), scale=scale)
    x = 10.0 ** rng.uniform(-6, 6) * rng.normal(size=net.in_features)
    if kind == "random":
        return net, x
    if kind == "kinks":  # integers, so that units, squares and norms vanish exactly
        whole = lambda matrix: rng.integers(-3, 4, size=matrix.shape).astype(float)  # noqa: E731
        x = rng.integers(-9, 10, size=len(x)).astype(float)
    else:
        whole = lambda matrix: matrix  # noqa: E731
    layers = []
    for layer in net.layers:
        U = whole(layer.U)
        layers.append(replace(layer, U=U, b=-(U @ x) * (rng.random(len(U)) < 0.7)))
    quadratics, norms = [], []
    for quad in net.quadratics:
        A = whole(quad.A)
        quadratics.append(replace(quad, A=A, e=-(A @ x)))
    for norm in net.norms:
        C = whole(norm.C)
        norms.append(replace(norm, C=C, d=-(C @ x)))
    v = net.output.v
    c = -(v @ x)  # the value itself cancels
    return replace(net, layers=layers, quadratics=quadratics, norms=norms, output=replace(net.output, c=c)), x
