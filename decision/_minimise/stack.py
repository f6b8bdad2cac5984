"""A stack of frozen networks as torch tensors: what the batched optimisers compute with, one row per context.

a_k = W_k z_{k-1} + U_k x + b_k + terms inside (rho_ki ||F_ki x + g_ki||^2, or norms)_i
z_k = relu(a_k) or softplus with smoothing tau_k
f(x) = w'z_L + v'x + c + sum_m beta_m ||A_m x + e_m||^2 + sum_r gamma_r ||C_r x + d_r||_2 + terms of exponentials
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decision._minimise.branch import Branch
from decision._minimise.dual import Dual as Dual
from decision._minimise.exponential import ExpBranch
from decision._minimise.linear_map import Map
from decision._minimise.smoothing import softplus
from socicnn._arrays import Matrix
from socicnn.frozen import FrozenNet
from socicnn.frozen._terms import Term


@dataclass(frozen=True, eq=False)
class StackLayer:
    """W `(h, h_previous)` or None, U `(h, n)` or None, b `(contexts, h)`, terms inside, a group per unit; tau."""

    W: Map | None
    U: Map | None
    b: Tensor
    inner: tuple[Branch, ...] = ()
    smoothing: float | Tensor = 0.0  # tau of softplus units, 0 for ReLU; shape `(h,)` in a layer of both

    @property
    def smooth(self) -> bool:
        """Whether there are softplus units."""
        return isinstance(self.smoothing, Tensor) or self.smoothing > 0

    @property
    def width(self) -> float | Tensor:
        """Smoothing to divide by: of ReLU units beside softplus units next to none, which no value feels."""
        tau = self.smoothing
        return tau.clamp(min=torch.finfo(tau.dtype).tiny) if isinstance(tau, Tensor) else tau

    def unit(self, a: Tensor) -> Tensor:
        """Return z at pre-activations a."""
        return softplus(a, self.width)[0] if self.smooth else a.relu()

    @property
    def roots(self) -> tuple[Branch, ...]:
        """Norms inside."""
        return tuple(term for term in self.inner if term.root)

    def preactivation(self, x: Tensor, z: Tensor | None, delta: Tensor | None = None) -> Tensor:
        """Return a at x, z being the layer before (None for the first), norms smoothed by delta if given."""
        a = self.b
        if self.U is not None:
            a = self.U.add(a, x)
        if self.W is not None and z is not None:
            a = self.W.add(a, z)
        for term in self.inner:
            a = a + term.weight * term.values(term.image(x), delta)
        return a

    def slopes(self, x: Tensor, delta: Tensor | None = None) -> list[Tensor]:
        """Return the gradient of h of each term inside in its rows."""
        return [term.slope(term.image(x), delta) for term in self.inner]

    def minorant(self, x: Tensor, slopes: list[Tensor]) -> Tensor:
        """Return at x, without z, what is linear in the norms inside: u'p in place of ||p||, with u their slopes."""
        a = self.preactivation(x, None)
        for term, u in zip(self.inner, slopes, strict=True):
            if term.root:
                p = term.image(x)
                a = a + term.weight * (term.grouped(u * p).sum(dim=-1) - term.values(p))
        return a

    def size(self, x: Tensor, z: Tensor | None) -> Tensor:
        """Return the sum of the absolute values of the terms of a, for x >= 0 and the sizes z of the layer before."""
        size = self.b.abs()
        if self.U is not None:
            size = size + self.U.absolute().apply(x)
        if self.W is not None and z is not None:
            size = size + self.W.apply(z)
        for term in self.inner:
            size = size + term.weight * term.values(term.size(x))
        return size

    def pull(self, lam: Tensor, x: Tensor, slopes: list[Tensor] | None = None) -> Tensor:
        """Return the gradient in x of lambda'a with z fixed: U'lambda + sum_i lambda_i rho_i 2 F_i'p_i, norms alike."""
        pulled = torch.zeros_like(x) if self.U is None else self.U.adjoint(lam)
        for term, slope in zip(self.inner, self.slopes(x) if slopes is None else slopes, strict=True):
            pulled = pulled + term.matrix.adjoint(term.spread(term.weight * lam) * slope)
        return pulled

    def take(self, rows: Tensor | slice) -> StackLayer:
        """Return the layer in some contexts."""
        return replace(self, b=self.b[rows], inner=tuple(term.take(rows) for term in self.inner))

    def to(self, dtype: torch.dtype) -> StackLayer:
        """Return the layer in another float type."""
        W, U = (None if matrix is None else matrix.to(dtype) for matrix in (self.W, self.U))
        tau = self.smoothing.to(dtype) if isinstance(self.smoothing, Tensor) else self.smoothing
        return StackLayer(W, U, self.b.to(dtype), tuple(term.to(dtype) for term in self.inner), tau)


@dataclass(frozen=True, eq=False)
class Stack:
    """The networks of a batch of contexts in float64; matrices are shared, every vector has one row per context.

    Norms whose groups have the same number of rows are one branch (`alike`).
    """

    layers: tuple[StackLayer, ...]
    w: Tensor
    v: Tensor
    c: Tensor
    quadratics: tuple[Branch, ...]
    norms: tuple[Branch, ...]
    kept: dict[Any, Any] = field(default_factory=dict)  # what is computed once for the matrices, shared by parts
    exponentials: tuple[ExpBranch, ...] = ()

    @classmethod
    def of(cls, net: FrozenNet, device: torch.device | str | None = None) -> Stack:
        """Return a frozen network as tensors; one without stacked contexts is a stack of one."""

        def rows(values: Any, *tail: int) -> Tensor:
            array = np.array(np.broadcast_to(values, (*(net.batch or (1,)), *tail)), dtype=np.float64)
            return torch.as_tensor(array, device=device)

        image = net.input_shape[1:] if net.input_shape else ()

        def mapped(matrix: Matrix) -> Map:
            return Map(matrix, device, image=image)

        def inside(term: Term) -> Branch:
            return Branch.of(term, rows(term.weight, term.groups)[:1], rows(term.offset, term.matrix.shape[0]))

        def branch(term: Term) -> Branch:
            return Branch(
                rows(term.weight)[:, None],
                mapped(term.matrix),
                rows(term.offset, term.matrix.shape[0]),
                term.rows,
                term.ROOT,
            )

        def merged(terms: Sequence[Term]) -> Branch:
            weight = torch.cat([rows(part.weight)[:, None].expand(-1, part.groups) for part in terms], dim=1)
            offset = torch.cat([rows(part.offset, part.matrix.shape[0]) for part in terms], dim=1)
            return Branch(weight, mapped(stacked([part.matrix for part in terms])), offset, terms[0].rows, root=True)

        output, n = net.output, net.in_features
        quadratics, norms = net.weighted()
        layers = [
            StackLayer(
                mapped(part.W) if part.W.shape[1] else None,
                mapped(part.U) if part.U.size else None,
                rows(part.b, part.width),
                tuple(inside(term) for term in part.inner),
                torch.tensor(part.smoothing, device=device) if part.smoothing.ndim else float(part.smoothing),
            )
            for part in net.layers
        ]
        return cls(
            tuple(layers),
            rows(output.w, output.w.shape[-1]),
            rows(output.v, n),
            rows(output.c),
            tuple(branch(part) for part in quadratics),
            tuple(merged([norms[i] for i in some]) for some in alike(norms)),
            exponentials=tuple(
                ExpBranch.of(term, rows(term.prices, term.prices.shape[-1]), rows(term.offset, term.matrix.shape[0]))
                for _, term in net.named_exponentials()
            ),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave what can be computed again behind on the way to another process."""
        return Stack, (self.layers, self.w, self.v, self.c, self.quadratics, self.norms, {}, self.exponentials)

    def __len__(self) -> int:
        return len(self.v)

    @property
    def in_features(self) -> int:
        """Length n of x."""
        return self.v.shape[1]

    def take(self, rows: Tensor | slice) -> Stack:
        """Return the networks of some contexts."""
        return self._changed(lambda part: part.take(rows), lambda entries: entries[rows], self.kept)

    def to(self, dtype: torch.dtype) -> Stack:
        """Return the networks in another float type."""
        return self._changed(lambda part: part.to(dtype), lambda entries: entries.to(dtype), {})

    def _changed(self, part: Callable[[Any], Any], entries: Callable[[Tensor], Tensor], kept: dict[Any, Any]) -> Stack:
        parts = (self.layers, self.quadratics, self.norms, self.exponentials)
        layers, quadratics, norms, exponentials = (tuple(part(each) for each in some) for some in parts)
        w, v, c = map(entries, (self.w, self.v, self.c))
        return Stack(layers, w, v, c, quadratics, norms, kept, exponentials)

    @property
    def smooth(self) -> bool:
        """Whether a layer has softplus units, or there are terms of exponentials."""
        return bool(self.exponentials) or any(layer.smooth for layer in self.layers)

    @property
    def curved(self) -> tuple[Branch, ...]:
        """Every quadratic: the branches, then those inside layers."""
        return (*self.quadratics, *(term for layer in self.layers for term in layer.inner if not term.root))

    @property
    def roots(self) -> tuple[Branch, ...]:
        """The norms inside layers."""
        return tuple(term for layer in self.layers for term in layer.roots)

    def preactivations(self, x: Tensor) -> list[Tensor]:
        """Return a_1, ..., a_L at x of shape `(contexts, n)`."""
        preactivations: list[Tensor] = []
        z: Tensor | None = None
        for layer in self.layers:
            preactivations.append(layer.preactivation(x, z))
            z = layer.unit(preactivations[-1])
        return preactivations

    def value(self, x: Tensor, preactivations: list[Tensor] | None = None) -> Tensor:
        """Return f(x), one value per context."""
        a = self.preactivations(x) if preactivations is None else preactivations
        value = (x * self.v).sum(dim=-1) + self.c
        if a:
            value = value + (self.layers[-1].unit(a[-1]) * self.w).sum(dim=-1)
        for branch in (*self.quadratics, *self.norms):
            value = value + branch.total(branch.image(x))
        for smooth in self.exponentials:
            value = value + smooth.total(smooth.image(x))
        return value

    def grid(self, points: Tensor) -> Tensor:
        """Return f of each context at each point, shape `(contexts, points)`: what x enters is computed once."""
        if any(layer.U is not None and layer.U.is_sparse for layer in self.layers):
            points = points.T.contiguous().T  # or every product with a sparse matrix would copy them
        z: Tensor | None = None
        for layer in self.layers:
            a = layer.b[:, None, :].expand(-1, len(points), -1)
            if layer.U is not None:
                a = a + layer.U.apply(points)
            if layer.W is not None and z is not None:
                a = a + layer.W.apply(z.flatten(0, 1)).reshape(len(z), len(points), -1)
            for term in layer.inner:
                a = a + term.weight * term.spread_values(points)
            z = layer.unit(a)
        value = self.v @ points.T + self.c[:, None]
        if z is not None:
            value = value + (z @ self.w[..., None])[..., 0]
        for branch in (*self.quadratics, *self.norms):
            value = (
                value + (branch.spread_values(points) @ branch.weight[..., None].expand(-1, branch.groups, 1))[..., 0]
            )
        for smooth in self.exponentials:
            value = value + smooth.grid(points)
        return value

    def in_units(self, unit: Tensor, stretch: float) -> Stack | None:
        """Return f(stretch x) / unit, both powers of two; None if a number would overflow."""
        by = unit[:, None]

        def composed(term: Branch, weight: Tensor) -> Branch:
            return replace(term, weight=weight, matrix=term.matrix.scaled(stretch))

        layers = tuple(
            replace(
                layer,
                U=None if layer.U is None else layer.U.scaled(stretch),
                inner=tuple(composed(term, term.weight) for term in layer.inner),
            )
            for layer in self.layers
        )
        quadratics, norms = (
            tuple(composed(term, term.weight / by) for term in terms) for terms in (self.quadratics, self.norms)
        )
        kept = self.kept if stretch == 1.0 else self.kept.setdefault(stretch, {})
        smooth = tuple(term.in_units(by, stretch) for term in self.exponentials)
        scaled = Stack(layers, self.w / by, self.v * stretch / by, self.c / unit, quadratics, norms, kept, smooth)
        numbers = [scaled.w, scaled.v, *(term.weight for term in (*quadratics, *norms))]
        numbers += [term.weight for term in smooth]
        finite = all(bool(entries.isfinite().all()) for entries in numbers)
        maps = [matrix for matrix, *_ in scaled.rows()] if stretch != 1.0 else []
        return scaled if finite and all(matrix.isfinite() for matrix in maps) else None

    def rows(self) -> list[tuple[Map, Tensor, float | Tensor]]:
        """Return the matrices that act on x, offsets and smoothing: of branches, layers and terms inside these."""
        rows: list[tuple[Map, Tensor, float | Tensor]]
        rows = [(term.matrix, term.offset, 0.0) for term in (*self.quadratics, *self.norms)]
        rows += [(term.matrix, term.offset, 1.0) for term in self.exponentials]
        rows += [(layer.U, layer.b, layer.smoothing) for layer in self.layers if layer.U is not None]
        return rows + [(term.matrix, term.offset, 0.0) for layer in self.layers for term in layer.inner]

    def images(self, x: Tensor, known: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
        """Return p of every quadratic at x, the branches, then those inside layers, and the softmax of exponentials.

        Args:
            x: shape `(contexts, n)`.
            known: the first of them, which are not computed again.
        """
        images = (*known, *(branch.image(x) for branch in self.curved[len(known) :]))
        return images + tuple(branch.shares(branch.image(x)) for branch in self.exponentials)

    def zero_dual(self, x: Tensor) -> Dual:
        """Return the dual point lambda = 0, u = 0, with the quadratics' tangents at x."""
        return Dual(
            tuple(torch.zeros_like(layer.b) for layer in self.layers),
            tuple(torch.zeros_like(branch.offset) for branch in (*self.norms, *self.roots)),
            self.images(x),
        )


def alike(norms: Sequence[Term]) -> list[list[int]]:
    """Return the places of norms that are computed as one: as many rows per group, all dense or all sparse.

    >>> from socicnn.frozen import Norm
    >>> alike([Norm(1.0, [[1.0]]), Norm(1.0, [[1.0], [0.0]]), Norm(2.0, [[3.0]])])
    [[0, 2], [1]]
    """
    places: dict[tuple[int, bool], list[int]] = {}
    for i, norm in enumerate(norms):
        places.setdefault((norm.rows, isinstance(norm.matrix, np.ndarray)), []).append(i)
    return list(places.values())


def stacked(matrices: Sequence[Matrix]) -> Matrix:
    """Return matrices on top of each other; all are dense or all are sparse."""
    if len(matrices) == 1:
        return matrices[0]
    dense = [matrix for matrix in matrices if isinstance(matrix, np.ndarray)]
    return np.concatenate(dense) if dense else sparse.csr_array(sparse.vstack(matrices, format="csr"))
