"""A small network to decide over a set, and the same as an expression of CVXPY."""

from typing import Any

import cvxpy as cp
import numpy as np

from socicnn.frozen import FrozenNet, Layer, Output, Quadratic


def net(n: int, contexts: int | None = None, seed: int = 1) -> FrozenNet:
    rng = np.random.default_rng(seed)
    batch = () if contexts is None else (contexts,)
    return FrozenNet(
        [Layer(None, rng.normal(size=(6, n)), rng.normal(size=(*batch, 6)))],
        Output(rng.uniform(size=6), rng.normal(size=(*batch, n)), np.ones(batch) if batch else 1.0),
        [Quadratic(np.full(batch, 0.3) if batch else 0.3, np.eye(n))],
    )


def value(x: Any, network: FrozenNet) -> Any:
    """Return the network as CVXPY's own expression."""
    layer, out = network.layers[0], network.output
    z = cp.pos(np.asarray(layer.U) @ x + layer.b[0])
    return out.w[0] @ z + out.v[0] @ x + float(out.c[0]) + 0.3 * cp.sum_squares(x)
