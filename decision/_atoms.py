"""The convex functions that tasks and structured models are made of, in torch and in CVXPY."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, final

import torch
from torch import Tensor

from socicnn._arrays import Array
from socicnn.frozen import Logistic, LogSumExp, Norm, Quadratic
from socicnn.nn._activations import softplus


class Atom(ABC):
    """A convex function of u = A x - s: one value for a whole block of rows, or one for each row."""

    name: str
    elementwise: bool

    @abstractmethod
    def __call__(self, u: Tensor) -> Tensor:
        """Return the values, shape `(*batch, rows)` if elementwise, else `(*batch, 1)`, for u `(*batch, rows)`."""

    @abstractmethod
    def expression(self, u: Any) -> Any:
        """Return the same as a CVXPY expression, a vector if elementwise, else a scalar."""

    def branches(self, weight: Array, A: Array, offset: Array) -> dict[str, list[Any]] | None:
        """Return sum_j weight_j atom_j(A x + offset) as branches of a network; None if networks have no such branch.

        Args:
            weight: >= 0, shape `(*contexts, rows)` if elementwise, else `(*contexts, 1)`.
            A: shape `(rows, n)`.
            offset: shape `(*contexts, rows)`.
        """
        return None


@final
class NormAtom(Atom):
    """||u||_2; its subgradient at 0 is taken as 0."""

    name = "norm"
    elementwise = False

    def __call__(self, u: Tensor) -> Tensor:
        """Return ||u||_2."""
        return torch.linalg.vector_norm(u, dim=-1, keepdim=True)

    def expression(self, u: Any) -> Any:
        """Return `cvxpy.norm(u, 2)`."""
        import cvxpy as cp

        return cp.norm(u, 2)

    def branches(self, weight: Array, A: Array, offset: Array) -> dict[str, list[Any]]:
        """Return one norm."""
        return {"norms": [Norm(weight[..., 0], A, offset)]}


@final
class LogisticAtom(Atom):
    """log(1 + exp(u_j)) of each row."""

    name = "logistic"
    elementwise = True

    def __call__(self, u: Tensor) -> Tensor:
        """Return log(1 + exp(u)), to full precision at every u."""
        return softplus(u)

    def expression(self, u: Any) -> Any:
        """Return `cvxpy.logistic(u)`."""
        import cvxpy as cp

        return cp.logistic(u)

    def branches(self, weight: Array, A: Array, offset: Array) -> dict[str, list[Any]]:
        """Return one logistic branch."""
        return {"logistics": [Logistic(weight, A, offset)]}


@final
class LogSumExpAtom(Atom):
    """log sum_j exp(u_j)."""

    name = "logsumexp"
    elementwise = False

    def __call__(self, u: Tensor) -> Tensor:
        """Return log sum_j exp(u_j)."""
        return torch.logsumexp(u, dim=-1, keepdim=True)

    def expression(self, u: Any) -> Any:
        """Return `cvxpy.log_sum_exp(u)`."""
        import cvxpy as cp

        return cp.log_sum_exp(u)

    def branches(self, weight: Array, A: Array, offset: Array) -> dict[str, list[Any]]:
        """Return one log-sum-exp."""
        return {"logsumexps": [LogSumExp(weight[..., 0], A, offset)]}


@final
class Huber(Atom):
    """H(u) = u^2 where |u| <= M, else 2 M |u| - M^2, of each row; M = 0.35."""

    name = "huber"
    elementwise = True
    M = 0.35

    def __call__(self, u: Tensor) -> Tensor:
        """Return H(u)."""
        inner = u.clamp(-self.M, self.M)
        return inner * (2.0 * u - inner)

    def expression(self, u: Any) -> Any:
        """Return `cvxpy.huber(u, M)`."""
        import cvxpy as cp

        return cp.huber(u, self.M)


@final
class SquareAtom(Atom):
    """u_j^2 of each row."""

    name = "square"
    elementwise = True

    def __call__(self, u: Tensor) -> Tensor:
        """Return u^2."""
        return u.square()

    def expression(self, u: Any) -> Any:
        """Return `cvxpy.square(u)`."""
        import cvxpy as cp

        return cp.square(u)

    def branches(self, weight: Array, A: Array, offset: Array) -> dict[str, list[Any]]:
        """Return one quadratic for each row."""
        rows = range(len(A))
        return {"quadratics": [Quadratic(weight[..., i], A[[i]], offset[..., [i]]) for i in rows]}
