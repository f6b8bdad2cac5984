"""Random frozen networks of many shapes, for tests of programs, solvers and files."""

from collections.abc import Sequence

import numpy as np

from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic


def random_net(
    seed: int,
    n: int = 4,
    hidden: Sequence[int] = (6, 5),
    quadratic: Sequence[int] = (3,),
    norm: Sequence[int] = (3, 2),
    scale: float = 1.0,
    zeros: float = 0.0,
) -> FrozenNet:
    """Return a network; the branches list their rows, `scale` multiplies biases, `zeros` is the share of W = 0."""
    rng = np.random.default_rng(seed)
    layers, width = [], 0
    for h in hidden:
        W = np.abs(rng.normal(size=(h, width))) / max(width, 1) * (rng.random((h, width)) >= zeros) if width else None
        layers.append(Layer(W, rng.normal(size=(h, n)), scale * rng.normal(size=h)))
        width = h
    return FrozenNet(
        layers,
        Output(np.abs(rng.normal(size=width)) * (rng.random(width) >= zeros), rng.normal(size=n), rng.normal()),
        [Quadratic(rng.exponential(), rng.normal(size=(k, n)), scale * rng.normal(size=k)) for k in quadratic],
        [Norm(rng.exponential(), rng.normal(size=(k, n)), scale * rng.normal(size=k)) for k in norm],
    )


NETS: dict[str, dict[str, object]] = {
    "relu": {"quadratic": (), "norm": ()},
    "soc": {},
    "quad": {"norm": ()},
    "norms": {"quadratic": ()},
    "one_unit": {"hidden": (1,), "quadratic": (), "norm": (1,)},
    "one_input": {"n": 1, "hidden": (3,), "quadratic": (1,), "norm": (1,)},
    "no_layer": {"hidden": (), "quadratic": (2,), "norm": (2,)},
    "affine": {"hidden": (), "quadratic": (), "norm": ()},
    "sparse": {"hidden": (8, 8, 8), "zeros": 0.7},
}
