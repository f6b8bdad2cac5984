"""The Newton system of the interior-point method, reduced to n unknowns a context by block elimination.

Perturbed optimality conditions, with slacks s = h - G x, p_k = z_k - a_k and duals y, lambda_k, kappa_k, all > 0, and
the norms as in `norms`:

    grad(quadratics) + v + sum_k U_k'lambda_k + sum_r gamma_r C_r'u_r + G'y + E'nu = 0,    lambda_k + kappa_k = q_k
    s y = mu,    p_k lambda_k = mu,    z_k kappa_k = mu,    q_k = w (last layer) or W_{k+1}'lambda_{k+1}

With D = lambda/p, K = kappa/z and T = D/(D + K) a unit's increment is dz = T da + ..., so that its slope T runs from 0
(off) to 1 (on), and the layers are eliminated first to last:

    J_k = U_k + W_k A_{k-1},    S_k = diag(1/D + 1/K) + W_k R_{k-1} W_k',    A_k = K^-1 S_k^-1 J_k
    R_k = (diag(1/D) + W_k R_{k-1} W_k') S_k^-1 K^-1               (the compliance of z_k)
    (H + G' diag(y/s) G + sum_k J_k' S_k^-1 J_k) dx + E'nu = right-hand side
"""

from __future__ import annotations

import torch
from torch import Tensor

from decision._minimise.interior.iterate import Iterate
from decision._minimise.interior.norms import Turn
from decision._minimise.interior.polyhedron import Polyhedron
from decision._minimise.interior.units import Kept

_Steps = tuple[Tensor, list[Tensor], list[Tensor], list[Tensor], list[Tensor]]


class System:
    """The factorised Newton system at one iterate.

    Args:
        kept: the kept units, their layers affine.
        polyhedron: the feasible set.
        at: the iterate.
        boxes: q of each layer.
        turns: of each norm branch.
        H: Hessian of the quadratics, shape `(contexts, n, n)`; overwritten.
        gradient: gradient of the quadratics and of v'x, shape `(contexts, n)`.
    """

    def __init__(
        self,
        kept: Kept,
        polyhedron: Polyhedron,
        at: Iterate,
        boxes: list[Tensor],
        turns: list[Turn],
        H: Tensor,
        gradient: Tensor,
    ) -> None:
        self._kept, self._set, self._at, self._turns = kept, polyhedron, at, turns
        layers = range(len(at.z))
        self._soft = [at.p[k] / at.lam[k] for k in layers]  # 1/D
        self._give = [at.z[k] / at.kap[k] for k in layers]  # 1/K
        for turn in turns:
            H += turn.hessian()
        self._factor(H)
        self._primal = [kept.preactivation(k, at.x, at.z[k - 1] if k else None) - at.z[k] + at.p[k] for k in layers]
        self._dual = [q - lam - kap for q, lam, kap in zip(boxes, at.lam, at.kap, strict=True)]
        for U, lam in zip(kept.U, at.lam, strict=True):
            gradient = gradient + _times(U.mT, lam)
        self._gradient = gradient

    def _factor(self, M: Tensor) -> None:
        kept, at = self._kept, self._at
        layers = len(at.z)
        self._set.add_barrier(M, at.y / at.s)
        self._S: list[Tensor] = []  # 1 / S for the first layer, its Cholesky factor after it
        self._J: list[Tensor] = []
        A = R = torch.empty(0)
        for k in range(layers):
            soft, give, W = self._soft[k], self._give[k], kept.W[k]
            if W is None:
                J, S = kept.U[k], 1.0 / (soft + give)
                M += J.mT @ (S[..., None] * J)
                A, R = (give * S)[..., None] * J, soft * S * give
            else:
                WR = W * R[:, None, :] if R.ndim == 2 else W @ R
                J = kept.U[k] + W @ A
                Y = WR @ W.mT
                Y.diagonal(dim1=1, dim2=2).add_(soft)
                S = Y.clone()
                S.diagonal(dim1=1, dim2=2).add_(give)
                S = _cholesky(S)
                white = torch.linalg.solve_triangular(S, J, upper=False)
                M += white.mT @ white
                if k + 1 < layers:
                    solved = torch.cholesky_solve(torch.cat([J, torch.diag_embed(give)], dim=-1), S)
                    A, R = give[..., None] * solved[..., : J.shape[-1]], Y @ solved[..., J.shape[-1] :]
                    R = 0.5 * (R + R.mT)
            self._J.append(J)
            self._S.append(S)
        self._M = _cholesky(M)
        E = self._set.E
        if len(E):
            self._ME = torch.cholesky_solve(E.T.expand(len(M), -1, -1), self._M)
            self._EME = _cholesky(E @ self._ME)

    def miss(self) -> Tensor:
        """Return how far the norms' duals are from where they belong, shape `(contexts,)`."""
        worst = torch.zeros_like(self._at.turn)
        for turn in self._turns:
            worst = torch.maximum(worst, turn.miss())
        return worst

    def direction(self, mu: Tensor, first: Iterate | None = None, share: Tensor | None = None) -> Iterate:
        """Return the step towards the point of the path at mu.

        Args:
            mu: target of the products, shape `(contexts,)`.
            first: a first step whose products of increments are taken off the target (Mehrotra's corrector).
            share: how much of them, shape `(contexts,)`.
        """
        at = self._at
        self._share = None if share is None else share[:, None]
        lift = self._aim(mu, at.s, at.y, None if first is None else first.s * first.y)
        rhs = -(self._gradient + self._set.adjoint(at.y + lift))
        for r, turn in enumerate(self._turns):
            turn.aim(mu, None if first is None else (first.x, first.u[r]), share)
            rhs = rhs - turn.pull()
        dx, dz, dp, dlam, dkap = self._units(mu, first, rhs)
        ds = -self._set.images(dx)
        du = [turn.step(dx) for turn in self._turns]
        return Iterate(dx, ds, lift - at.y / at.s * ds, dz, dp, dlam, dkap, du, mu - at.turn)

    def _aim(self, mu: Tensor, value: Tensor, other: Tensor, product: Tensor | None) -> Tensor:
        """Return (mu - product) / value - other."""
        goal = mu[:, None]
        if product is not None:
            goal = goal - (product if self._share is None else self._share * product)
        return goal / value - other

    def _units(self, mu: Tensor, first: Iterate | None, rhs: Tensor) -> _Steps:
        """Return dx and the steps of z, p, lambda and kappa: up the layers, across to dx, and down again."""
        kept, at = self._kept, self._at
        layers = range(len(at.z))
        push: list[Tensor] = []  # force on z
        right: list[Tensor] = []  # right-hand side of dlambda
        drift: list[Tensor] = []  # dz at dx = 0 and no force from above
        lift: list[Tensor] = []  # of kappa
        for k in layers:
            soft, give, W = self._soft[k], self._give[k], kept.W[k]
            up = self._aim(mu, at.p[k], at.lam[k], None if first is None else first.p[k] * first.lam[k])
            up = up + self._primal[k] / soft
            lift.append(self._aim(mu, at.z[k], at.kap[k], None if first is None else first.z[k] * first.kap[k]))
            push.append(up + lift[k] - self._dual[k])
            rest = up - give / (soft + give) * push[k]  # dlambda at da = 0 and no force from above
            r = rest * (soft + give)
            if W is None:
                white = rest
            else:
                r = r + _times(W, drift[k - 1])
                white = torch.cholesky_solve(r[..., None], self._S[k])[..., 0]
            rhs = rhs - _times(self._J[k].mT, white)
            drift.append(give * (white - rest) + soft * give / (soft + give) * push[k])
            right.append(r)
        dx = torch.cholesky_solve(rhs[..., None], self._M)
        E = self._set.E
        if len(E):
            dx = dx - self._ME @ torch.cholesky_solve(E @ dx, self._EME)
        dx = dx[..., 0]
        dlam: list[Tensor] = []
        above: list[Tensor] = []  # W_{k+1}'dlambda_{k+1}
        for k in reversed(layers):
            W = kept.W[k + 1] if dlam else None
            above.insert(0, torch.zeros_like(at.z[k]) if W is None else _times(W.mT, dlam[0]))
            r = right[k] + _times(self._J[k], dx) + self._give[k] * above[0]
            S = self._S[k]
            dlam.insert(0, S * r if kept.W[k] is None else torch.cholesky_solve(r[..., None], S)[..., 0])
        dz: list[Tensor] = []
        dp: list[Tensor] = []
        for k in layers:
            soft, give, W = self._soft[k], self._give[k], kept.W[k]
            da = _times(kept.U[k], dx)
            if W is not None:
                da = da + _times(W, dz[k - 1])
            dz.append(give / (soft + give) * (da + soft * (push[k] - above[k])))
            dp.append(dz[k] - da - self._primal[k])
        dkap = [lift[k] - dz[k] / self._give[k] for k in layers]
        return dx, dz, dp, dlam, dkap


def _times(M: Tensor, vector: Tensor) -> Tensor:
    return (M @ vector[..., None])[..., 0]


def _cholesky(M: Tensor) -> Tensor:
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
