"""Factors that the Newton system is put together from: Jacobians, and the layers' S with their inverses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from decision._minimise.interior.products import ChosenColumns, Product, adjoint, taken, times, turned

CACHE = 2**18  # numbers that are worked on at a time


class Jacobian(NamedTuple):
    """J = U + W A as its factors: U and W are parts of matrices that all contexts share."""

    U: Product
    W: Product
    A: Tensor


def moved(J: Tensor | Jacobian, dx: Tensor, reach: int) -> Tensor:
    """Return J dx."""
    if isinstance(J, Tensor):
        return times(J, dx[:, :reach])
    return times(J.U, dx) + times(J.W, times(J.A, dx[:, : J.A.shape[-1]]))


def pulled(J: Tensor | Jacobian, force: Tensor) -> Tensor:
    """Return J'force."""
    if isinstance(J, Tensor):
        return adjoint(J, force)
    pulled = adjoint(J.U, force)
    pulled[:, : J.A.shape[-1]] += adjoint(J.A, adjoint(J.W, force))
    return pulled


class LowRank(NamedTuple):
    """S = diag(1/d) + V V', V = W diag(root): S^-1 = diag(d) - (d V) (I + V' diag(d) V)^-1 (d V)'."""

    d: Tensor
    W: Product
    root: Tensor
    factor: Tensor  # of I + V' diag(d) V

    @classmethod
    def of(cls, d: Tensor, root: Tensor, J: Jacobian, M: Tensor) -> tuple[LowRank, Tensor | Jacobian]:
        """Return it and J, and add J' S^-1 J to M.

        Args:
            d: shape `(contexts, h)`.
            root: shape `(contexts, columns)`.
            J: with its W; as one tensor in what is returned, if W belongs to each context.
            M: shape `(contexts, reach, reach)`.
        """
        contexts, reach, own = len(d), M.shape[-1], not isinstance(J.W, ChosenColumns)
        factors, whole = [], []
        block = max(1, CACHE // (d.shape[1] * (reach + root.shape[1])))
        for start in range(0, contexts, block):
            some = slice(start, start + block)
            Wt, A = turned(taken(J.W, some)), J.A[some]
            Jt = turned(taken(J.U, some))[..., :reach, :]
            Jt = Jt + torch.nn.functional.pad(A.mT @ Wt, (0, 0, 0, reach - A.shape[-1]))
            Vt, weights = root[some, :, None] * Wt, d[some, None, :]
            weighed = weights * Vt
            inner = weighed @ Vt.mT
            inner.diagonal(dim1=1, dim2=2).add_(1.0)
            factors.append(cholesky_of(inner))
            white = torch.linalg.solve_triangular(factors[-1], weighed @ Jt.mT, upper=False)
            M[some] += (weights * Jt) @ Jt.mT - white.mT @ white
            whole += [Jt.mT] if own else []
        return cls(d, J.W, root, torch.cat(factors)), torch.cat(whole) if own else J

    def solved(self, right: Tensor) -> Tensor:
        """Return S^-1 right."""
        pulled = self.root * adjoint(self.W, self.d * right)
        inner = torch.cholesky_solve(pulled[..., None], self.factor)[..., 0]
        return self.d * (right - times(self.W, self.root * inner))


class Inverse(NamedTuple):
    """S^-1 = root' root, root the inverse of the Cholesky factor: products are faster than many small solves."""

    root: Tensor

    @classmethod
    def of(cls, S: Tensor) -> Inverse:
        """Return it from S, shape `(contexts, h, h)`."""
        eye = torch.eye(S.shape[-1], dtype=S.dtype, device=S.device)
        return cls(torch.linalg.solve_triangular(cholesky_of(S), eye, upper=False))

    def solved(self, right: Tensor) -> Tensor:
        """Return S^-1 right."""
        return adjoint(self.root, times(self.root, right))


def solved_by(S: Tensor | LowRank | Inverse, right: Tensor) -> Tensor:
    """Return S^-1 right: S is 1 / S of a diagonal, an inverse, or of low rank."""
    return S * right if isinstance(S, Tensor) else S.solved(right)


def weighed_by(J: Tensor, S: Tensor) -> Tensor:
    """Return J' diag(S) J of each context."""
    if J.ndim == 3:
        return J.mT @ (S[..., None] * J)
    n = J.shape[1]
    return (S @ (J[:, :, None] * J[:, None, :]).flatten(1)).reshape(-1, n, n)


def cholesky_of(M: Tensor) -> Tensor:
    """Return the Cholesky factor, of M plus a little of its diagonal where M is not positive to rounding."""
    factor, failed = torch.linalg.cholesky_ex(M)
    weight = 1e-13
    while bool(failed.any()) and weight < 1e-3:
        lifted = M.clone()
        diagonal = lifted.diagonal(dim1=-2, dim2=-1)
        diagonal += weight * diagonal.amax(dim=-1, keepdim=True)
        again, still = torch.linalg.cholesky_ex(lifted)
        factor = torch.where((failed > 0)[:, None, None], again, factor)
        failed = torch.where(failed > 0, still, failed)
        weight *= 100.0
    return factor
