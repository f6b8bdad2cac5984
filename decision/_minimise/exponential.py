"""Log-sum-exp and logistic branches of a stack of networks as tensors: value, slope, curvature.

w log sum_j exp(p_j) over groups of rows p = M x + o has the slope w M'q, q the softmax of each group, and curvature
w M'(diag(q) - q q')M; w log(1 + exp(p)) of one row w q M', q = 1 / (1 + exp(-p)), and w q (1 - q) M'M. They are
smooth: what smooths kinks leaves them as they are, and their tangent at any x is a minorant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from decision._minimise.linear_map import Map
from decision._minimise.smoothing import softplus
from socicnn.frozen._exponentials import ExpTerm
from verify._proof.exponentials import ExpColumns


@dataclass(frozen=True, eq=False)
class ExpBranch:
    """A branch of the networks.

    Args:
        weight: of the groups, shape `(contexts, 1 or groups)`.
        matrix: M, shape `(rows, n)`.
        offset: o, shape `(contexts, rows)`.
        group: rows of each group.
        logistic: whether it is log(1 + exp(p)) of each row.
    """

    weight: Tensor
    matrix: Map
    offset: Tensor
    group: int
    logistic: bool

    @classmethod
    def of(cls, term: ExpTerm, weight: Tensor, offset: Tensor) -> ExpBranch:
        """Return a term of a frozen network, its weight and offset as tensors."""
        return cls(weight, Map(term.matrix, offset.device), offset, term.rows, term.KIND == "logistic")

    def image(self, x: Tensor) -> Tensor:
        """Return p = M x + o, shape `(contexts, rows)`."""
        return self.matrix.add(self.offset, x)

    def size(self, x: Tensor) -> Tensor:
        """Return |M| x + |o| for x >= 0."""
        return self.matrix.absolute().apply(x) + self.offset.abs()

    def total(self, p: Tensor) -> Tensor:
        """Return the weighted sum over the groups, for p of shape `(contexts, ..., rows)`."""
        own = softplus(p, 1.0)[0] if self.logistic else self._grouped(p).logsumexp(dim=-1)
        weight = self.weight.reshape(len(self.weight), *(1,) * (p.ndim - 2), -1)
        return (weight * own).sum(dim=-1)

    def grid(self, points: Tensor) -> Tensor:
        """Return the branch of each context at each point, shape `(contexts, points)`."""
        return self.total(self.matrix.apply(points) + self.offset[:, None, :])

    def shares(self, p: Tensor) -> Tensor:
        """Return q, shape `(contexts, rows)`."""
        return torch.sigmoid(p) if self.logistic else self._grouped(p).softmax(dim=-1).flatten(-2)

    def slope(self, p: Tensor) -> Tensor:
        """Return the gradient in x, shape `(contexts, n)`."""
        return self.matrix.adjoint(self.priced(self.shares(p)))

    def hessian(self, p: Tensor) -> Tensor:
        """Return the Hessian, shape `(contexts, n, n)`."""
        q, M = self.shares(p), self.matrix.dense
        priced = self.priced(q)
        if self.logistic:
            return M.T @ ((priced * torch.sigmoid(-p))[..., None] * M)
        means = torch.einsum("cgk,gkn->cgn", self._grouped(q), M.reshape(-1, self.group, M.shape[1]))
        return M.T @ (priced[..., None] * M) - means.mT @ (self.weight[..., None] * means)

    def _grouped(self, p: Tensor) -> Tensor:
        return p.reshape(*p.shape[:-1], -1, self.group)

    def priced(self, q: Tensor) -> Tensor:
        """Return w q, of each row, shape `(contexts, rows)`."""
        weight = self.weight if self.weight.shape[1] == 1 else self.weight.repeat_interleave(self.group, dim=1)
        return weight * q

    def columns(self) -> ExpColumns:
        """Return the branch as what the passes of a proof read."""
        own = self.matrix, self.matrix.absolute(), self.offset.T
        return ExpColumns(self.weight.T, *own, self.group, self.logistic, torch)

    def take(self, rows: Tensor | slice) -> ExpBranch:
        """Return the branch in some contexts."""
        return replace(self, weight=self.weight[rows], offset=self.offset[rows])

    def to(self, dtype: torch.dtype) -> ExpBranch:
        """Return the branch in another float type."""
        own: dict[str, Any] = {name: getattr(self, name).to(dtype) for name in ("weight", "matrix", "offset")}
        return replace(self, **own)

    def in_units(self, by: Tensor, stretch: float) -> ExpBranch:
        """Return the branch of stretch x, divided by `by`, shape `(contexts, 1)`."""
        return replace(self, weight=self.weight / by, matrix=self.matrix.scaled(stretch))
