"""A quadratic, a norm, or norms of equal groups, of a stack of networks as tensors: weight_i h((M x + o)_i)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from decision._minimise.linear_map import Map
from decision._minimise.smoothing import smooth_length
from socicnn.frozen._terms import Term

NARROW = 8  # rows of a group that are added one by one
LARGEST = 2**23  # entries of M_i'M_i that are kept for all groups of a branch


@dataclass(frozen=True, eq=False)
class Branch:
    """Terms of the networks: weight_i h((M x + o)_i) over consecutive groups i of rows.

    Args:
        weight: of quadratics one per context, shape `(contexts, 1)`; of norms one per group, shape
            `(contexts, groups)`; of a term inside a layer one per unit, shape `(1, h)`.
        matrix: M, shape `(rows, n)`.
        offset: o, shape `(contexts, rows)`.
        group: rows of each group.
        root: whether h is the length of a group, not its square.
    """

    weight: Tensor
    matrix: Map
    offset: Tensor
    group: int
    root: bool = False

    @classmethod
    def of(cls, term: Term, weight: Tensor, offset: Tensor) -> Branch:
        """Return a term of a frozen network, its weight and offset as tensors."""
        return cls(weight, Map(term.matrix, offset.device), offset, term.rows, term.ROOT)

    def image(self, x: Tensor) -> Tensor:
        """Return p = matrix x + offset."""
        return self.matrix.add(self.offset, x)

    def grouped(self, p: Tensor) -> Tensor:
        """Return p split into its groups, shape `(contexts, groups, group)`."""
        return p.reshape(len(p), -1, self.group)

    def values(self, p: Tensor, delta: Tensor | None = None) -> Tensor:
        """Return h of each group of p, shape `(contexts, groups)`; lengths smoothed by delta, shape `(contexts,)`."""
        groups = self.grouped(p)
        if self.root and delta is None:
            return torch.linalg.vector_norm(groups, dim=-1)
        square = groups.square().sum(dim=-1)
        return square if not self.root or delta is None else smooth_length(square, delta[:, None])

    def slope(self, p: Tensor, delta: Tensor | None = None) -> Tensor:
        """Return the gradient of h in p: 2 p, or p / ||p||, 0 at a kink, in which delta smooths the length."""
        if not self.root:
            return 2.0 * p
        return p / self.spread(self.values(p, delta).clamp(min=torch.finfo(p.dtype).tiny))

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self.offset.shape[1] // self.group

    def spread_values(self, points: Tensor) -> Tensor:
        """Return h of each group of each context at each point, shape `(contexts, points, groups)`."""
        p = self.matrix.apply(points) + self.offset[:, None, :]
        squares = p.square_().reshape(*p.shape[:2], -1, self.group)
        if self.group <= NARROW:  # a sum over a short last axis is slow
            total = sum((squares[..., i] for i in range(1, self.group)), squares[..., 0])
        else:
            total = squares.sum(dim=-1)
        return total.sqrt() if self.root else total

    def size(self, x: Tensor) -> Tensor:
        """Return |M| x + |o| for x >= 0: the size of what the rows add up."""
        return self.matrix.absolute().apply(x) + self.offset.abs()

    def total(self, p: Tensor) -> Tensor:
        """Return sum_i weight_i h(p_i), shape `(contexts,)`."""
        return (self.weight * self.values(p)).sum(dim=-1)

    def spread(self, values: Tensor) -> Tensor:
        """Return values of the groups as values of their rows."""
        return values if self.group == 1 else values.repeat_interleave(self.group, dim=1)

    @property
    def row_weight(self) -> Tensor:
        """The weights as weights of the rows, shape `(contexts, rows)`, or `(contexts, 1)` if all are alike."""
        return self.weight if self.weight.shape[1] == 1 else self.spread(self.weight)

    def curvature(self, weight: Tensor) -> Tensor:
        """Return sum_i weight_i M_i'M_i over the groups, weight being of shape `(contexts, groups)`."""
        n, rows = self.matrix.shape[1], self.matrix.shape[0]
        if self.group == rows:
            return weight[..., None] * self.matrix.gram
        if self.group > 1 and rows // self.group * n * n <= LARGEST:
            return (weight @ self.matrix.grams(self.group)).reshape(-1, n, n)
        dense = self.matrix.dense
        return dense.T @ (self.spread(weight)[..., None] * dense)

    def take(self, rows: Tensor | slice) -> Branch:
        """Return the branch in some contexts."""
        # inside a layer all contexts share the weights
        weight = self.weight[rows] if len(self.weight) == len(self.offset) else self.weight
        return replace(self, weight=weight, offset=self.offset[rows])

    def to(self, dtype: torch.dtype) -> Branch:
        """Return the branch in another float type."""
        return replace(self, weight=self.weight.to(dtype), matrix=self.matrix.to(dtype), offset=self.offset.to(dtype))
