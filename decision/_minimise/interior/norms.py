"""The norms of a network on the path: lengths sigma > ||p|| and dual vectors u in the unit ball.

On the central path of the cone sigma >= ||p|| with multiplier gamma (1, -u) at mu,

    sigma = m / 2 + sqrt(m^2 / 4 + ||p||^2),    u = p / sigma,    gamma (sigma - u'p) = mu,    m = mu / gamma

Steps linearise sigma u = p with u a variable of its own, and cut u back into the ball: where p is away from zero, as it
mostly is, u turns with p and long steps stay possible, which a step inside the cone would not allow. Source of the
linearisation: Chan, Golub and Mulet, "A nonlinear primal-dual method for total variation-based image restoration"
(1999).
"""

from __future__ import annotations

import torch
from torch import Tensor

from decision._minimise.branch import Branch


def path_length(branch: Branch, x: Tensor, mu: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return p, sigma and sqrt(m^2/4 + ||p||^2) of each group at x; the last two of shape `(contexts, groups, 1)`."""
    p = branch.grouped(branch.image(x))
    half = 0.5 * _ratio(branch, mu)
    root = (half.square() + p.square().sum(dim=-1, keepdim=True)).sqrt()
    return p, half + root, root


def start(branch: Branch, x: Tensor, mu: Tensor) -> Tensor:
    """Return u on the path at mu, shape `(contexts, groups, group)`."""
    p, sigma, _ = path_length(branch, x, mu)
    return p / sigma


def product(branch: Branch, x: Tensor, u: Tensor, mu: Tensor) -> Tensor:
    """Return the sum over groups of gamma (sigma - u'p), shape `(contexts,)`."""
    p, sigma, _ = path_length(branch, x, mu)
    return (branch.weight * (sigma[..., 0] - (u * p).sum(dim=-1))).sum(dim=-1)


def _ratio(branch: Branch, mu: Tensor) -> Tensor:
    """Return m = mu / gamma, shape `(contexts, groups, 1)`; a norm without weight has no path, and any m will do."""
    return (mu[:, None] / branch.weight.clamp(min=1e-300)).clamp(max=1e6)[..., None]


class Turn:
    """The linearised condition of a branch at (x, u).

    Args:
        branch: the norm branch.
        x: shape `(contexts, n)`.
        u: dual vectors.
        mu: where on the path sigma is, shape `(contexts,)`.
    """

    def __init__(self, branch: Branch, x: Tensor, u: Tensor, mu: Tensor) -> None:
        self._branch, self._u, self._mu = branch, u, mu
        self._p, self._sigma, root = path_length(branch, x, mu)
        self._q = self._p / root.clamp(min=1e-300)
        self._rate = 0.5 * (1.0 + 0.5 * _ratio(branch, mu) / root.clamp(min=1e-300))  # d sigma / d m

    def hessian(self) -> Tensor:
        """Return gamma C'(I - (u q' + q u')/2) C / sigma summed over the groups, shape `(contexts, n, n)`."""
        weight = self._branch.weight / self._sigma[..., 0]
        windows = self._branch.matrix.windows(self._branch.group)
        if windows is not None:
            return windows.turned(weight, self._u, self._q)
        blocks = self._branch.matrix.dense.reshape(-1, self._branch.group, self._branch.matrix.shape[1])
        turned, along = (torch.einsum("cgi,gin->cgn", factor, blocks) for factor in (self._u, self._q))
        cross = turned.mT @ (0.5 * weight[..., None] * along)
        return self._branch.curvature(weight) - cross - cross.mT

    def aim(self, mu: Tensor, first: tuple[Tensor, Tensor] | None = None, share: Tensor | None = None) -> None:
        """Set the target of the next step: mu, less the products of the increments of a first step (dx, du) to 0."""
        m = _ratio(self._branch, self._mu)
        rest = self._p - self._rate * (_ratio(self._branch, mu) - m) * self._u
        if first is not None:
            dx, du = first
            dp = self._branch.grouped(self._branch.matrix.apply(dx))
            dsigma = (self._q * dp).sum(dim=-1, keepdim=True) - self._rate * m
            rest = rest - (1.0 if share is None else share[:, None, None]) * dsigma * du
        self._rest = rest / self._sigma  # u + du at dx = 0

    def miss(self) -> Tensor:
        """Return how far u is from p / sigma in the worst group, shape `(contexts,)`."""
        return torch.linalg.vector_norm(self._u - self._p / self._sigma, dim=-1).amax(dim=-1)

    def pull(self) -> Tensor:
        """Return gamma C'(u + du) at dx = 0, shape `(contexts, n)`."""
        scaled = self._branch.weight[..., None] * self._rest
        return self._branch.matrix.adjoint(scaled.reshape(len(scaled), -1))

    def step(self, dx: Tensor) -> Tensor:
        """Return du."""
        dp = self._branch.grouped(self._branch.matrix.apply(dx))
        along = (self._q * dp).sum(dim=-1, keepdim=True)
        return (dp - self._u * along) / self._sigma + self._rest - self._u


def cut(u: Tensor) -> Tensor:
    """Return the nearest vectors of the unit ball."""
    return u / torch.linalg.vector_norm(u, dim=-1, keepdim=True).clamp(min=1.0)
