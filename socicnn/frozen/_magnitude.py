"""The size of the terms that a network adds up at a point: what its rounding errors are relative to.

S(z_k) = |W_k| S(z_{k-1}) + |U_k| |x| + |b_k| + rho_k (|F_k| |x| + |g_k|)^2
S(f) = w'S(z_L) + |v|'|x| + |c| + sum_m beta_m || |A_m| |x| + |e_m| ||^2 + sum_r gamma_r || |C_r| |x| + |d_r| ||_2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from socicnn._arrays import Array


class HasAbsolute(Protocol):
    """A network that can replace its numbers by their absolute values: a `FrozenNet`."""

    def absolute(self) -> Callable[[Array], Array]:
        """Return the network with every number replaced by its absolute value."""


def magnitude(net: HasAbsolute, x: Array) -> Array:
    """Return S(f) at points x of shape `(count, n)`: f with every number replaced by its absolute value.

    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> magnitude(FrozenNet([Layer(None, [[1.0]], [-3.0])], Output([2.0], [-1.0])), np.array([[-3.0]]))
    array([15.])
    """
    return np.asarray(net.absolute()(np.abs(x)), dtype=np.float64)
