"""A stack of frozen networks as torch tensors: what the batched optimisers compute with, one row a context.

a_k = W_k z_{k-1} + U_k x + b_k + (rho_ki ||F_ki x + g_ki||^2)_i,   z_k = relu(a_k)
f(x) = w'z_L + v'x + c + sum_m beta_m ||A_m x + e_m||^2 + sum_r gamma_r ||C_r x + d_r||_2
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from decision.minimise.linear_map import Map
from socicnn.arrays import Matrix
from socicnn.frozen import FrozenNet


@dataclass(frozen=True, eq=False)
class Branch:
    """A quadratic or norm branch: weight `(contexts,)`, matrix `(rows, n)`, offset `(contexts, rows)`, rows a group."""

    weight: Tensor
    matrix: Map
    offset: Tensor
    group: int

    def image(self, x: Tensor) -> Tensor:
        """Return p = matrix x + offset."""
        return self.matrix.add(self.offset, x)

    def grouped(self, p: Tensor) -> Tensor:
        """Return p split into its groups, shape `(contexts, groups, group)`."""
        return p.reshape(len(p), -1, self.group)

    def take(self, rows: Tensor | slice) -> Branch:
        """Return the branch in some contexts."""
        return replace(self, weight=self.weight[rows], offset=self.offset[rows])


@dataclass(frozen=True, eq=False)
class Squares:
    """Quadratics inside a layer: rho `(h,)`, F `(h k, n)`, g `(contexts, h k)`; unit i adds rho_i ||F_i x + g_i||^2."""

    rho: Tensor
    F: Map
    g: Tensor

    def image(self, x: Tensor) -> Tensor:
        """Return p = F x + g, unit by unit, shape `(contexts, h, k)`."""
        p = self.F.apply(x) + self.g
        return p.reshape(len(p), len(self.rho), -1)

    def pull(self, lam: Tensor, p: Tensor) -> Tensor:
        """Return sum_i lambda_i rho_i 2 F_i'p_i, the gradient of their Lagrangian."""
        scaled = (2.0 * self.rho * lam)[..., None] * p
        return self.F.adjoint(scaled.reshape(len(lam), -1))


@dataclass(frozen=True, eq=False)
class Layer:
    """W `(h, h_previous)` or None, U `(h, n)` or None, b `(contexts, h)`, perhaps quadratics inside."""

    W: Map | None
    U: Map | None
    b: Tensor
    squares: Squares | None = None

    def preactivation(self, x: Tensor, z: Tensor | None) -> Tensor:
        """Return a at x, z being the layer before (None for the first)."""
        a = self.b
        if self.U is not None:
            a = self.U.add(a, x)
        if self.W is not None and z is not None:
            a = self.W.add(a, z)
        if self.squares is not None:
            a = a + self.squares.rho * self.squares.image(x).square().sum(dim=-1)
        return a

    def pull(self, lam: Tensor, x: Tensor) -> Tensor:
        """Return the gradient in x of lambda'a with z fixed."""
        pulled = torch.zeros_like(x) if self.U is None else self.U.adjoint(lam)
        return pulled if self.squares is None else pulled + self.squares.pull(lam, self.squares.image(x))

    def take(self, rows: Tensor | slice) -> Layer:
        """Return the layer in some contexts."""
        squares = None if self.squares is None else replace(self.squares, g=self.squares.g[rows])
        return replace(self, b=self.b[rows], squares=squares)


@dataclass(frozen=True, eq=False)
class Dual:
    """A dual point of each context: a global minorant of f.

    Args:
        lam: multiplier lambda_k of each layer, shape `(contexts, h_k)`; 0 <= lambda_k <= W_{k+1}'lambda_{k+1} (or w).
        u: unit-ball vector of each norm branch, shape `(contexts, rows)`, ||u|| <= 1 in each group.
        p: where each quadratic is linearised, omega / 2, shape `(contexts, rows)`: the branches, then those inside
            layers; any p will do, and p = A x + e is the tangent at x.
    """

    lam: tuple[Tensor, ...]
    u: tuple[Tensor, ...]
    p: tuple[Tensor, ...]

    def take(self, rows: Tensor) -> Dual:
        """Return the dual points of some contexts."""
        return Dual(*(tuple(one[rows] for one in group) for group in (self.lam, self.u, self.p)))

    def where(self, keep: Tensor, other: Dual) -> Dual:
        """Return these dual points where `keep` is true, the others elsewhere."""
        pairs = ((self.lam, other.lam), (self.u, other.u), (self.p, other.p))
        keep = keep[:, None]
        return Dual(
            *(tuple(torch.where(keep, a, b) for a, b in zip(mine, theirs, strict=True)) for mine, theirs in pairs)
        )

    def put(self, rows: Tensor, other: Dual) -> None:
        """Overwrite the dual points of some contexts."""
        for mine, theirs in zip((*self.lam, *self.u, *self.p), (*other.lam, *other.u, *other.p), strict=True):
            mine[rows] = theirs


@dataclass(frozen=True, eq=False)
class Stack:
    """The networks of a batch of contexts in float64; matrices are shared, every vector has one row a context."""

    layers: tuple[Layer, ...]
    w: Tensor
    v: Tensor
    c: Tensor
    quadratics: tuple[Branch, ...]
    norms: tuple[Branch, ...]

    @classmethod
    def of(cls, net: FrozenNet, device: torch.device | str | None = None) -> Stack:
        """Return a frozen network as tensors; one without stacked contexts is a stack of one."""
        contexts = 1 if net.contexts is None else net.contexts

        def rows(values: Any, *tail: int) -> Tensor:
            array = np.array(np.broadcast_to(values, (contexts, *tail)), dtype=np.float64)
            return torch.as_tensor(array, device=device)

        def branch(weight: Any, matrix: Matrix, offset: Any, group: int | None) -> Branch:
            count = int(matrix.shape[0])
            offset = 0.0 if offset is None else offset
            return Branch(rows(weight), Map(matrix, device), rows(offset, count), group or count)

        def mapped(matrix: Matrix | None) -> Map | None:
            return None if matrix is None else Map(matrix, device)

        def squares(one: Any) -> Squares | None:
            if one is None:
                return None
            F = Map(one.F, device)
            return Squares(rows(one.rho, len(one.rho))[0], F, rows(0.0 if one.g is None else one.g, F.shape[0]))

        output, n = net.output, net.in_features
        quadratics, norms = net.weighted()
        layers = [
            Layer(mapped(one.W), mapped(one.U), rows(one.b, one.b.shape[-1]), squares(one.squares))
            for one in net.layers
        ]
        return cls(
            tuple(layers),
            rows(output.w, output.w.shape[-1]),
            rows(output.v, n),
            rows(output.c),
            tuple(branch(one.beta, one.A, one.e, None) for one in quadratics),
            tuple(branch(one.gamma, one.C, one.d, one.group) for one in norms),
        )

    def __len__(self) -> int:
        return len(self.v)

    @property
    def in_features(self) -> int:
        """Length n of x."""
        return self.v.shape[1]

    def take(self, rows: Tensor | slice) -> Stack:
        """Return the networks of some contexts."""
        return Stack(
            tuple(layer.take(rows) for layer in self.layers),
            self.w[rows],
            self.v[rows],
            self.c[rows],
            tuple(one.take(rows) for one in self.quadratics),
            tuple(one.take(rows) for one in self.norms),
        )

    def to(self, dtype: torch.dtype) -> Stack:
        """Return the networks in another float type."""

        def branch(one: Branch) -> Branch:
            return Branch(one.weight.to(dtype), one.matrix.to(dtype), one.offset.to(dtype), one.group)

        def layer(one: Layer) -> Layer:
            W, U = (None if matrix is None else matrix.to(dtype) for matrix in (one.W, one.U))
            inside = one.squares
            if inside is not None:
                inside = Squares(inside.rho.to(dtype), inside.F.to(dtype), inside.g.to(dtype))
            return Layer(W, U, one.b.to(dtype), inside)

        return Stack(
            tuple(layer(one) for one in self.layers),
            self.w.to(dtype),
            self.v.to(dtype),
            self.c.to(dtype),
            tuple(branch(one) for one in self.quadratics),
            tuple(branch(one) for one in self.norms),
        )

    def preactivations(self, x: Tensor) -> list[Tensor]:
        """Return a_1, ..., a_L at x of shape `(contexts, n)`."""
        found: list[Tensor] = []
        for layer in self.layers:
            found.append(layer.preactivation(x, found[-1].relu() if found else None))
        return found

    def value(self, x: Tensor, preactivations: list[Tensor] | None = None) -> Tensor:
        """Return f(x), one value a context."""
        a = self.preactivations(x) if preactivations is None else preactivations
        value = (x * self.v).sum(dim=-1) + self.c
        if a:
            value = value + (a[-1].relu() * self.w).sum(dim=-1)
        for one in self.quadratics:
            value = value + one.weight * one.image(x).square().sum(dim=-1)
        for one in self.norms:
            lengths = torch.linalg.vector_norm(one.grouped(one.image(x)), dim=-1)
            value = value + one.weight * lengths.sum(dim=-1)
        return value

    def images(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return p of every quadratic at x: the branches, then those inside layers, shape `(contexts, rows)`."""
        inside = [one.squares.image(x).flatten(1) for one in self.layers if one.squares is not None]
        return (*(one.image(x) for one in self.quadratics), *inside)

    def zero_dual(self, x: Tensor) -> Dual:
        """Return the dual point lambda = 0, u = 0, with the quadratics' tangents at x."""
        return Dual(
            tuple(torch.zeros_like(layer.b) for layer in self.layers),
            tuple(torch.zeros_like(one.offset) for one in self.norms),
            self.images(x),
        )
