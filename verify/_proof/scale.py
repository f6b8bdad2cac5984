"""The data scale S of a network: what its rounding errors, and the tolerances of its values, are relative to."""

from __future__ import annotations

import numpy as np

from socicnn._arrays import Array
from socicnn.frozen._network import ConvexNet
from verify._proof.columns import NetColumns
from verify._proof.passes import upper


def data_scale(net: ConvexNet, x: Array) -> Array:
    """Return S, the sum of the absolute values of the terms of f, propagated through the layers.

    Args:
        net: the network.
        x: points, shape `(N, n)`; with stacked contexts, row i belongs to context i.

    Returns:
        Shape `(N,)`.
    """
    with np.errstate(all="ignore"):
        scale: Array = upper(NetColumns.of(net), np.ascontiguousarray(x.T)).scale
    return scale
