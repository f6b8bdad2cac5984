"""Layers of convex piecewise linear functions of one variable, and the ReLU network that is the same function.

phi(t) = base + slope (t - lower) + sum_i rise_i relu(t - knot_i),   rise >= 0
z_j = sum_i phi_ji(t_i),   beyond the first layer slope >= 0 too

Written as ReLU units: with z = a(x) + p, a affine and p >= 0 a non-negative sum of units, a hinge of the next layer is
relu(p + a(x) - knot), and p itself passes on as relu(p). Every weight between units is then non-negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from socicnn._arrays import Array, as_float64
from socicnn.frozen import FrozenNet, Layer, Output


class Hinges(NamedTuple):
    """The functions phi_ji of a layer with h sums over m inputs.

    Args:
        base: phi at `lower`, shape `(h, m)`.
        slope: first slope, shape `(h, m)`.
        rise: by how much the slope grows at each knot, >= 0, shape `(h, m, knots)`.
        knot: where, ascending, the same shape.
        lower: least value that each input is expected to have, shape `(m,)`.
        upper: largest such value, shape `(m,)`.
    """

    base: Tensor
    slope: Tensor
    rise: Tensor
    knot: Tensor
    lower: Tensor
    upper: Tensor

    def sums(self, t: Tensor, shift: Tensor | None = None) -> Tensor:
        """Return z_j at inputs t of shape `(*batch, m)`, whose knots lie lower by a shift: `(*batch, h)`."""
        moved = t if shift is None else t + shift
        hinges = torch.relu(moved[..., None, :, None] - self.knot)
        straight = torch.nn.functional.linear(t - self.lower, self.slope, self.base.sum(dim=-1))
        return straight + (hinges * self.rise).sum(dim=(-1, -2))  # einsum takes twice as long

    def image(self) -> tuple[Tensor, Tensor]:
        """Return the least and the largest value of each sum over the box of inputs, each of shape `(h,)`.

        A convex piecewise linear function has both at an end or a knot.
        """
        ends = torch.stack([self.lower, self.upper], dim=-1).expand(*self.base.shape, 2)
        at = torch.cat([ends, self.knot], dim=-1)
        bends = (self.rise[..., None, :] * torch.relu(at[..., :, None] - self.knot[..., None, :])).sum(dim=-1)
        values = self.base[..., None] + self.slope[..., None] * (at - self.lower[:, None]) + bends
        return values.amin(dim=-1).sum(dim=-1), values.amax(dim=-1).sum(dim=-1)


def as_units(layers: Sequence[Hinges], shifts: Sequence[Array | None], w: Array, v: Array, c: Array) -> FrozenNet:
    """Return w'z_L + v'x + c as a network of ReLU units.

    The units are, layer by layer, its hinges next to the sums p that pass on, then the sums p of the next layer.

    Args:
        layers: the layers, first to last.
        shifts: how much lower the knots of each lie, shape `(m,)` or `(contexts, m)`; None for none.
        w: >= 0, one per sum of the last layer, or stacked.
        v: slope in x, or stacked.
        c: constant, or one per context.
    """
    n = v.shape[-1]
    straight, constant = np.eye(n), np.zeros(n)  # a(x) = straight x + constant
    units: list[Layer] = []
    for layer, shift in zip(layers, shifts, strict=True):
        base, slope, rise, knot, lower = (as_float64(part.detach().double()) for part in layer[:5])
        h, m, knots = rise.shape
        column = np.tile(np.repeat(np.arange(m), knots), h)  # the input of each hinge
        pick = sparse.csr_array((np.ones(len(column)), (np.arange(len(column)), column)), shape=(len(column), m))
        weights = sparse.block_diag(list(rise.reshape(h, 1, -1)), format="csr")
        moved = constant if shift is None else constant + shift
        U, b = sparse.csr_array(pick @ straight), moved[..., column] - knot.reshape(-1)
        if units:
            pick = sparse.vstack([pick, sparse.eye_array(m)], format="csr")
            U, b = sparse.vstack([U, sparse.csr_array((m, n))], format="csr"), np.append(b, 0 * moved, axis=-1)
            weights = sparse.hstack([weights, sparse.csr_array(slope)], format="csr")
        units.append(Layer(pick if units else None, U, b))
        straight, constant = slope @ straight, base.sum(axis=1) + slope @ (constant - lower)
        if layer is not layers[-1]:
            units.append(Layer(weights, None, np.zeros(h)))
    return FrozenNet(units, Output(w @ weights, v + w @ straight, c + w @ constant))
