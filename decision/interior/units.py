"""The units that matter: the part of a stack of networks that a context's minimisation keeps.

A unit left out counts as zero. As W, w >= 0 this makes the network smaller everywhere, so that what is minimised is a
minorant of f, its dual points are dual points of the whole network (lambda = 0 outside), and it equals f wherever the
units left out are off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from decision.stack import Layer, Stack


@dataclass(frozen=True, eq=False)
class Kept:
    """The kept units of each context, padded to a common number r_k a layer by units that are always off.

    Args:
        index: units of each layer, shape `(contexts, r_k)`; the layer's width stands for a pad.
        U: shape `(contexts, r_k, n)` of each layer.
        W: shape `(contexts, r_k, r_{k-1})` of each layer after the first.
        b: shape `(contexts, r_k)`.
        w: read-out weights, shape `(contexts, r_k)` of each layer, zero before the last.
        extra: what a pad's read-out weight is instead, zero for the others, shape `(contexts, r_k)`.
        inside: rho, F and g of the quadratics inside each layer, shapes `(contexts, r_k)`, `(contexts, r_k, rows, n)`
            and `(contexts, r_k, rows)`; None where there are none.
    """

    index: tuple[Tensor, ...]
    U: tuple[Tensor, ...]
    W: tuple[Tensor | None, ...]
    b: tuple[Tensor, ...]
    w: tuple[Tensor, ...]
    extra: tuple[Tensor, ...]
    inside: tuple[tuple[Tensor, Tensor, Tensor] | None, ...]

    def take(self, rows: Tensor) -> Kept:
        """Return the kept units of some contexts."""
        return Kept(
            tuple(one[rows] for one in self.index),
            tuple(one[rows] for one in self.U),
            tuple(None if one is None else one[rows] for one in self.W),
            tuple(one[rows] for one in self.b),
            tuple(one[rows] for one in self.w),
            tuple(one[rows] for one in self.extra),
            tuple(None if one is None else (one[0][rows], one[1][rows], one[2][rows]) for one in self.inside),
        )

    def at(self, x: Tensor) -> Kept:
        """Return the kept units with their inner quadratics replaced by tangents at x: an affine layer again."""
        if all(one is None for one in self.inside):
            return self
        U, b = list(self.U), list(self.b)
        for k, one in enumerate(self.inside):
            if one is not None:
                rho, F, g = one
                p = torch.einsum("crin,cn->cri", F, x) + g
                slope = 2.0 * torch.einsum("cri,crin->crn", rho[..., None] * p, F)
                U[k] = U[k] + slope
                b[k] = b[k] + rho * p.square().sum(dim=-1) - (slope @ x[..., None])[..., 0]
        return replace(self, U=tuple(U), b=tuple(b))

    def curvature(self, lam: list[Tensor]) -> Tensor | float:
        """Return the Hessian of the Lagrangian sum_i lambda_i rho_i ||F_i x + g_i||^2; 0 without such quadratics."""
        total: Tensor | float = 0.0
        for one, multiplier in zip(self.inside, lam, strict=True):
            if one is not None:
                rho, F, _ = one
                rows = F.reshape(len(F), -1, F.shape[-1])
                weight = (2.0 * rho * multiplier).repeat_interleave(F.shape[2], dim=1)
                total = total + rows.mT @ (weight[..., None] * rows)
        return total

    def preactivation(self, k: int, x: Tensor, z: Tensor | None) -> Tensor:
        """Return a of layer k."""
        a = self.b[k] + (self.U[k] @ x[..., None])[..., 0]
        W = self.W[k]
        return a if W is None or z is None else a + (W @ z[..., None])[..., 0]

    def box(self, k: int, lam: Tensor | None) -> Tensor:
        """Return the upper bound of lambda_k: w in the last layer, else W_{k+1}'lambda_{k+1}; zero for pads."""
        W = self.W[k + 1] if k + 1 < len(self.W) else None
        return self.w[k] if W is None or lam is None else (W.mT @ lam[..., None])[..., 0]

    def rest(self, k: int, mu: Tensor, scale: list[Tensor]) -> Tensor:
        """Return what is added to the box on the path: about mu / |a| for the units left out, and the pads' own."""
        return self.extra[k] + mu[:, None] / scale[k]

    def full(self, values: tuple[Tensor, ...], stack: Stack) -> tuple[Tensor, ...]:
        """Return values of the kept units as values of all units, zero elsewhere."""
        found = []
        for index, value, layer in zip(self.index, values, stack.layers, strict=True):
            wide = torch.zeros(len(layer.b), layer.b.shape[1] + 1, dtype=value.dtype, device=value.device)
            found.append(wide.scatter_(1, index, value)[:, :-1])
        return tuple(found)


class Selector:
    """Gathers the kept units of a stack.

    Args:
        stack: the networks.
        scale: size of the pre-activations, shape `(L,)`; pads sit at minus that.
    """

    def __init__(self, stack: Stack, scale: list[Tensor]) -> None:
        self._stack = stack
        self._scale = scale
        weights = stack.w.mean() if stack.w.numel() else stack.w.new_zeros(())
        self._price = weights.clamp(min=1e-12)
        n = stack.in_features
        self._U: list[Tensor] = []
        self._W: list[Tensor | None] = []
        self._inside: list[tuple[Tensor, Tensor] | None] = []
        for layer in stack.layers:
            inside = layer.squares
            if inside is None:
                self._inside.append(None)
            else:
                F = inside.F.dense.reshape(len(inside.rho), -1, n)
                pad = torch.nn.functional.pad
                self._inside.append((pad(inside.rho, (0, 1)), pad(F, (0, 0, 0, 0, 0, 1))))
            h = layer.b.shape[1]
            U = layer.b.new_zeros(h, n) if layer.U is None else layer.U.dense
            self._U.append(torch.cat([U, U.new_zeros(1, n)]))
            if layer.W is None:
                self._W.append(None)
            else:
                self._W.append(torch.nn.functional.pad(layer.W.dense, (0, 1, 0, 1)))

    def gather(self, index: list[Tensor], stack: Stack) -> Kept:
        """Return the kept units; `stack` holds the vectors of the contexts that `index` has rows for."""
        U, W, b, w, extra, quadratics = [], [], [], [], [], []
        last = len(index) - 1
        for k, (units, layer) in enumerate(zip(index, stack.layers, strict=True)):
            pad = units == layer.b.shape[1]
            inside = units.clamp(max=layer.b.shape[1] - 1)
            U.append(self._U[k][units])
            W_k = self._W[k]
            W.append(None if W_k is None else W_k[units[:, :, None], index[k - 1][:, None, :]])
            b.append(torch.where(pad, -self._scale[k], layer.b.gather(1, inside)))
            weight = stack.w.gather(1, inside) if k == last else torch.zeros_like(b[k])
            w.append(torch.where(pad, 0.0, weight))
            extra.append(torch.where(pad, self._price, 0.0))
            quadratics.append(self._gathered(k, units, layer))
        return Kept(tuple(index), tuple(U), tuple(W), tuple(b), tuple(w), tuple(extra), tuple(quadratics))

    def _gathered(self, k: int, units: Tensor, layer: Layer) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return rho, F and g of the quadratics inside layer k."""
        shared = self._inside[k]
        if shared is None or layer.squares is None:
            return None
        rho, F = shared
        g = layer.squares.g.reshape(len(units), len(rho) - 1, -1)
        rows = torch.arange(len(units), device=units.device)[:, None]
        return rho[units], F[units], torch.nn.functional.pad(g, (0, 0, 0, 1))[rows, units]

    @staticmethod
    def mask(units: Tensor, h: int) -> Tensor:
        """Return which of h units are among `units`, shape `(contexts, h)`."""
        found = torch.zeros(len(units), h + 1, dtype=torch.bool, device=units.device)
        return found.scatter_(1, units, True)[:, :h]

    @staticmethod
    def insert(index: list[Tensor], wanted: list[Tensor], counts: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return index and counts with the wanted units, shape `(contexts, h_k)`, appended where they are not kept."""
        grown, totals = [], []
        for units, want, count in zip(index, wanted, counts, strict=True):
            h = want.shape[1]
            new = want & ~Selector.mask(units, h)
            rank = new.cumsum(dim=1) - 1 + count[:, None]
            total = count + new.sum(dim=1)
            size = max(int(total.max()), 1)
            if size > units.shape[1]:
                units = torch.nn.functional.pad(units, (0, size - units.shape[1]), value=h)
            rows, columns = new.nonzero(as_tuple=True)
            units = units.clone()
            units[rows, rank[rows, columns]] = columns
            grown.append(units)
            totals.append(total)
        return grown, totals
