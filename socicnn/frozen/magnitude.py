"""The size of the terms that a network adds up at a point: what its rounding errors are relative to.

S(z_k) = |W_k| S(z_{k-1}) + |U_k| |x| + |b_k| + rho_k (|F_k| |x| + |g_k|)^2
S(f) = w'S(z_L) + |v|'|x| + |c| + sum_m beta_m || |A_m| |x| + |e_m| ||^2 + sum_r gamma_r || |C_r| |x| + |d_r| ||_2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from socicnn.arrays import Array, Matrix, lengths, transform
from socicnn.frozen.parts import Layer, Norm, Output, Quadratic


class HasParts(Protocol):
    """A network whose parts are full arrays: a `FrozenNet`."""

    @property
    def layers(self) -> Sequence[Layer]:
        """ReLU layers."""

    @property
    def output(self) -> Output:
        """The read-out."""

    @property
    def quadratics(self) -> Sequence[Quadratic]:
        """Quadratic branches."""

    @property
    def norms(self) -> Sequence[Norm]:
        """Euclidean-norm branches."""


def magnitude(net: HasParts, x: Array) -> Array:
    """Return S(f) at points x of shape `(count, n)`: f with every number replaced by its absolute value.

    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> magnitude(FrozenNet([Layer(None, [[1.0]], [-3.0])], Output([2.0], [-1.0])), np.array([[-3.0]]))
    array([15.])
    """
    x = np.abs(x)
    total = (x * np.abs(net.output.v)).sum(axis=-1) + np.abs(net.output.c)
    z: Array | None = None
    for layer in net.layers:
        z = _units(layer, x, z)
    if z is not None:
        total = total + (z * net.output.w).sum(axis=-1)
    for quad in net.quadratics:
        total = total + quad.beta * (_affine(quad.A, quad.e, x) ** 2).sum(axis=-1)
    for norm in net.norms:
        rows = _affine(norm.C, norm.d, x)
        total = total + norm.gamma * lengths(rows.reshape(len(x), -1, norm.group or rows.shape[-1]), -1).sum(axis=-1)
    return np.asarray(total, dtype=np.float64)


def _affine(matrix: Matrix, offset: Array | None, x: Array) -> Array:
    return transform(abs(matrix), x) + (0.0 if offset is None else np.abs(offset))


def _units(layer: Layer, x: Array, z: Array | None) -> Array:
    total = np.broadcast_to(np.abs(layer.b), (len(x), layer.b.shape[-1]))
    if layer.U is not None:
        total = total + transform(abs(layer.U), x)
    if layer.W is not None and z is not None:
        total = total + transform(layer.W, z)
    if layer.squares is not None:
        squares = _affine(layer.squares.F, layer.squares.g, x) ** 2
        total = total + layer.squares.rho * squares.reshape(len(x), len(layer.squares.rho), -1).sum(axis=-1)
    return total
