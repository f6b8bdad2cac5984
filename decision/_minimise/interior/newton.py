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

Softplus units have no products: p_k = -tau log(lambda_k / q_k) and z_k = -tau log(kappa_k / q_k) hold at every iterate,
with the width mu / q in place of a smaller tau (`start.settled`). Their increments are the same with 1/D = tau / lambda
and 1/K = tau / kappa, but for dz = T da, to which a force from above adds nothing:
R_k = T W_k R_{k-1} W_k' S_k^-1 K^-1, which is zero over softplus units alone. A layer of both kinds has both, by row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from decision._minimise.interior.factors import (
    Inverse,
    Jacobian,
    LowRank,
    cholesky_of,
    moved,
    pulled,
    solved_by,
    weighed_by,
)
from decision._minimise.interior.iterate import Iterate
from decision._minimise.interior.norms import Turn
from decision._minimise.interior.polyhedron import Polyhedron
from decision._minimise.interior.products import ChosenColumns, adjoint, dense, times
from decision._minimise.interior.units import Kept, by_kind

FLAT = 1e-15  # share of q below which the multipliers of a softplus unit count as no less

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
        pairs = [_compliances(at, k) for k in layers]
        self._soft, self._give = [pair[0] for pair in pairs], [pair[1] for pair in pairs]  # 1/D and 1/K
        for turn in turns:
            H += turn.hessian()
        self._factor(H)
        self._primal = []  # softplus units are where they belong
        for k, tau in enumerate(kept.smoothing):
            a = at.z[k] if isinstance(tau, float) else kept.preactivation(k, at.x, at.z[k - 1] if k else None)
            self._primal.append(by_kind(tau, torch.zeros_like(a), a - at.z[k] + at.p[k]))
        self._dual = [q - lam - kap for q, lam, kap in zip(boxes, at.lam, at.kap, strict=True)]
        for U, lam in zip(kept.U, at.lam, strict=True):
            gradient = gradient + adjoint(U, lam)
        self._gradient = gradient

    def _factor(self, M: Tensor) -> None:
        kept, at = self._kept, self._at
        layers = len(at.z)
        self._set.add_barrier(M, at.y / at.s)
        # 1 / S where nothing below gives way; else its inverse, or the factor of a part of low rank
        self._S: list[Tensor | LowRank | Inverse] = []
        self._J: list[Tensor | Jacobian] = []
        S: Tensor | LowRank | Inverse
        A, R = torch.empty(0), None  # R: of a first layer of ReLU units its diagonal
        for k in range(layers):
            soft, give, W, tau = self._soft[k], self._give[k], kept.W[k], kept.smoothing[k]
            reach = kept.reach[k]
            part = M[:, :reach, :reach]
            if W is not None and R is not None and R.ndim == 2 and k + 1 == layers and 2 * R.shape[1] <= soft.shape[1]:
                few, factors = LowRank.of(1.0 / (soft + give), R.sqrt(), Jacobian(kept.U[k], W, A), part)
                self._J.append(factors)
                self._S.append(few)
                break
            J = dense(kept.U[k])[..., :reach]
            self._J.append(J)
            if W is not None:
                J = J + torch.nn.functional.pad(dense(W) @ A, (0, reach - A.shape[-1]))
                self._J[k] = Jacobian(kept.U[k], W, A) if isinstance(W, ChosenColumns) else J
            if W is None or R is None:
                S = 1.0 / (soft + give)
                part += weighed_by(J, S)
                if k + 1 < layers:
                    A, R = (give * S)[..., None] * J, None
                    if tau is None or isinstance(tau, Tensor):
                        R = by_kind(tau, torch.zeros_like(S), soft * S * give)
            else:
                wide = dense(W)
                WR = wide * R[:, None, :] if R.ndim == 2 else wide @ R
                Y = WR @ wide.mT
                full = Y.clone()
                full.diagonal(dim1=1, dim2=2).add_(soft + give)
                S = Inverse.of(full)
                root = S.root
                white = root @ J
                part += white.mT @ white
                if k + 1 < layers:
                    if tau is not None:
                        Y = by_kind(tau, give / (soft + give), torch.ones_like(give))[..., None] * Y
                    Y.diagonal(dim1=1, dim2=2).add_(by_kind(tau, torch.zeros_like(soft), soft))
                    A = give[..., None] * (root.mT @ white)
                    R = Y @ (root.mT @ (root * give[:, None, :]))
                    R = 0.5 * (R + R.mT)
            self._S.append(S)
        self._M = cholesky_of(M)
        E = self._set.E
        if len(E):
            self._ME = torch.cholesky_solve(E.T.expand(len(M), -1, -1), self._M)
            self._EME = cholesky_of(E @ self._ME)

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
        return Iterate(dx, ds, lift - at.y / at.s * ds, dz, dp, dlam, dkap, du, mu - at.turn, at.widths)

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
            up = lifted = pushed = torch.zeros_like(soft)  # softplus units are where they belong
            if (tau := kept.smoothing[k]) is None or isinstance(tau, Tensor):
                aims = self._aim(mu, at.p[k], at.lam[k], None if first is None else first.p[k] * first.lam[k])
                lifts = self._aim(mu, at.z[k], at.kap[k], None if first is None else first.z[k] * first.kap[k])
                up, lifted = by_kind(tau, up, aims + self._primal[k] / soft), by_kind(tau, lifted, lifts)
                pushed = by_kind(tau, pushed, up + lifted - self._dual[k])
            lift.append(lifted)
            push.append(pushed)
            rest = up - give / (soft + give) * push[k]  # dlambda at da = 0 and no force from above
            r = rest * (soft + give)
            if W is not None:
                r = r + times(W, drift[k - 1])
            white = solved_by(self._S[k], r)
            rhs[:, : kept.reach[k]] -= pulled(self._J[k], white)[:, : kept.reach[k]]
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
            above.insert(0, torch.zeros_like(at.z[k]) if W is None else adjoint(W, dlam[0]))
            r = right[k] + moved(self._J[k], dx, kept.reach[k]) + self._give[k] * above[0]
            dlam.insert(0, solved_by(self._S[k], r))
        dz: list[Tensor] = []
        dp: list[Tensor] = []
        for k in layers:
            soft, give, W, tau = self._soft[k], self._give[k], kept.W[k], kept.smoothing[k]
            da = force = torch.empty(0)
            if tau is not None:
                da, force = (soft + give) * dlam[k] - give * above[k], torch.zeros_like(soft)
            if tau is None or isinstance(tau, Tensor):
                through = times(kept.U[k], dx) if W is None else times(kept.U[k], dx) + times(W, dz[k - 1])
                da, force = by_kind(tau, da, through), by_kind(tau, force, soft * (push[k] - above[k]))
            dz.append(give / (soft + give) * (da + force))
            dp.append(dz[k] - da - self._primal[k])
        dkap = [lift[k] - dz[k] / self._give[k] for k in layers]
        return dx, dz, dp, dlam, dkap


def _compliances(at: Iterate, k: int) -> tuple[Tensor, Tensor]:
    """Return 1/D and 1/K of a layer."""
    tau = at.widths[k]
    if tau is None:
        return at.p[k] / at.lam[k], at.z[k] / at.kap[k]
    least = FLAT * (at.lam[k] + at.kap[k]) + torch.finfo(at.x.dtype).tiny ** 0.5
    soft, give = tau / (at.lam[k] + least), tau / (at.kap[k] + least)
    if not any(place == k for place, _ in at.kinked):
        return soft, give
    return torch.where(tau > 0, soft, at.p[k] / at.lam[k]), torch.where(tau > 0, give, at.z[k] / at.kap[k])
