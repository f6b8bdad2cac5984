"""A network as matrices that act on columns of points: what the passes of a proof read, in NumPy or in torch.

Both write `@`, `abs`, `where`, `minimum`, `maximum`, `sqrt`, `einsum` alike, so that each pass is written once. Vectors
are columns: shape `(size, 1)`, or `(size, N)` with one column per context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from socicnn._margins import EPS, TINY, column, group_sums, relative_margin
from socicnn.frozen._network import ConvexNet
from socicnn.frozen._terms import Term
from verify._proof.exponentials import ExpColumns
from verify._proof.images import Image as Image
from verify._proof.images import Linear as Linear
from verify._proof.images import Values as Values
from verify._proof.images import image


@dataclass(frozen=True, eq=False)
class TermColumns:
    """A term weight_i h((M x + o)_i), h the squared length of a group of rows or its root."""

    weight: Values  # `(N,)`, `(1,)` or `(1 or groups, N)`; inside a layer of each unit, `(h, 1)`
    matrix: Linear  # M, shape `(rows in all, n)`
    absolute: Linear  # |M|
    offset: Values  # o
    rows: int  # of each group
    root: bool  # whether h is the length, not its square
    xp: Any  # `numpy` or `torch`

    def image(self, x: Values, size: Values) -> Image:
        """Return M x + o at columns x, |x| = size, with what rounding can have changed in it."""
        return image(self.matrix, self.absolute, self.offset, x, size)

    def high(self, image: Image) -> Values:
        """Return h of each group rounded up, shape `(groups, N)`."""
        widest = (abs(image.y) + image.margin) ** 2
        square = group_sums(widest, self.rows) * (1 + relative_margin(self.rows + 2)) + TINY
        return self.xp.sqrt(square) * (1 + 4 * EPS) if self.root else square

    def low(self, image: Image) -> Values:
        """Return h of each group rounded down, shape `(groups, N)`."""
        narrowest = positive(abs(image.y) - image.margin) ** 2
        square = positive(group_sums(narrowest, self.rows) * (1 - relative_margin(self.rows + 2)) - TINY)
        return self.xp.sqrt(square) * (1 - 4 * EPS) if self.root else square


@dataclass(frozen=True, eq=False)
class LayerColumns:
    """A layer: W, U and |U|, b, the terms inside, and how smooth its units are."""

    W: Linear  # without columns in the first layer
    absolute: Linear | None  # |W| if W has a negative entry
    U: Linear
    U_absolute: Linear
    b: Values
    inner: Sequence[TermColumns] = ()
    smoothing: Values = 0.0  # tau of softplus units, 0 for ReLU: a float, or a column with one number per unit

    @property
    def smooth(self) -> bool:
        """Whether there are softplus units."""
        return not isinstance(self.smoothing, float) or self.smoothing > 0

    def weighed(self, z: Values) -> tuple[Values, Values]:
        """Return W z and |W| z."""
        product = self.W @ z
        return product, product if self.absolute is None else self.absolute @ z

    def box(self, lam: Values) -> tuple[Values, Values]:
        """Return W'lambda rounded down, and cut at 0: the upper bound of the multipliers of the layer before."""
        product = self.W.T @ lam
        size = product if self.absolute is None else self.absolute.T @ lam
        raw = product - (relative_margin(self.W.shape[0]) * size + TINY)
        return raw, positive(raw)


@dataclass(frozen=True, eq=False)
class NetColumns:
    """A network: layers, read-out w, v and c, and branches."""

    layers: Sequence[LayerColumns]
    w: Values  # column, as v
    v: Values
    c: Values  # shape `(1,)` or `(N,)`
    terms: Sequence[TermColumns]  # quadratic branches, then norms
    xp: Any  # `numpy` or `torch`
    exponentials: Sequence[ExpColumns] = ()  # log-sum-exp branches, then logistic ones

    @classmethod
    def of(cls, net: ConvexNet) -> NetColumns:
        """Return a frozen network as NumPy columns; weights may be negative."""
        layers = [
            LayerColumns(
                layer.W,
                abs(layer.W) if least(layer.W) < 0 else None,
                layer.U,
                abs(layer.U),
                layer.b.T,
                [_columns(term, column(term.weight)) for term in layer.inner],
                column(layer.smoothing) if layer.smoothing.ndim else float(layer.smoothing),
            )
            for layer in net.layers
        ]
        terms = [_columns(term, term.weight) for term in net.terms]
        out, smooth = net.output, [ExpColumns.of(term) for term in net.exponentials]
        return cls(layers, out.w.T, out.v.T, out.c, terms, np, smooth)

    @property
    def n(self) -> int:
        """Length of x."""
        return len(self.v)

    @cached_property
    def groups(self) -> int:
        """Number of groups of the branches."""
        own = sum(len(term.offset) // term.rows for term in self.terms)
        return own + sum(term.groups for term in self.exponentials)

    def dot(self, weights: Values, values: Values) -> Values:
        """Return weights'values of each column; weights of shape `(size, 1)` or `(size, N)`."""
        if weights.shape[1] == 1:
            return weights[:, 0] @ values
        return self.xp.einsum("ij,ij->j", weights, values)


def positive(values: Values) -> Values:
    """Return max(values, 0)."""
    return np.maximum(values, 0.0) if isinstance(values, np.ndarray) else values.clamp(min=0.0)


def least(array: Any) -> float:
    """Return the least entry, 0 if there is none."""
    return 0.0 if not array.size else float(array.min())


def _columns(term: Term, weight: Values) -> TermColumns:
    return TermColumns(weight, term.matrix, abs(term.matrix), term.offset.T, term.rows, term.ROOT, np)
