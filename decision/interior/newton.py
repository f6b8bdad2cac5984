"""The Newton system of the interior-point method, reduced to n unknowns a context by block elimination.

Perturbed optimality conditions, with slacks s = h - G x, p_k = z_k - a_k and duals y, lambda_k, kappa_k, all > 0:

    grad(smooth part) + sum_k U_k'lambda_k + G'y + E'nu = 0,    lambda_k + kappa_k = q_k := w_k + W_{k+1}'lambda_{k+1}
    s y = mu,    p_k lambda_k = mu,    z_k kappa_k = mu

With D = lambda/p, C = kappa/z and T = D/(D + C) a unit's increment is dz = T da + ..., so that its slope T runs from 0
(off) to 1 (on), and the layers are eliminated first to last:

    J_k = U_k + W_k A_{k-1},    S_k = diag(1/D + 1/C) + W_k R_{k-1} W_k',    A_k = C^-1 S_k^-1 J_k
    R_k = (1/D + W_k R_{k-1} W_k') S_k^-1 (1/C)                (the compliance of z_k)
    (H + G' diag(y/s) G + sum_k J_k' S_k^-1 J_k) dx + E'nu = right-hand side
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from decision.interior.polyhedron import Polyhedron
from decision.interior.units import Kept


@dataclass(eq=False)
class Iterate:
    """Primal and dual variables, one row a context; z, p, lam and kap hold one tensor a layer."""

    x: Tensor
    s: Tensor
    y: Tensor
    z: list[Tensor]
    p: list[Tensor]
    lam: list[Tensor]
    kap: list[Tensor]

    def take(self, rows: Tensor) -> Iterate:
        """Return the iterates of some contexts."""
        lists = [[one[rows] for one in group] for group in (self.z, self.p, self.lam, self.kap)]
        return Iterate(self.x[rows], self.s[rows], self.y[rows], *lists)

    def products(self) -> Tensor:
        """Return s'y + sum_k p'lambda + z'kappa, shape `(contexts,)`."""
        total = (self.s * self.y).sum(dim=-1)
        for z, p, lam, kap in zip(self.z, self.p, self.lam, self.kap, strict=True):
            total = total + (p * lam).sum(dim=-1) + (z * kap).sum(dim=-1)
        return total

    def moved(self, step: Iterate, primal: Tensor, dual: Tensor) -> Iterate:
        """Return the iterate after a step of these lengths, shape `(contexts,)`."""
        a, b = primal[:, None], dual[:, None]

        def add(mine: list[Tensor], theirs: list[Tensor], length: Tensor) -> list[Tensor]:
            return [one + length * other for one, other in zip(mine, theirs, strict=True)]

        return Iterate(
            self.x + a * step.x,
            self.s + a * step.s,
            self.y + b * step.y,
            add(self.z, step.z, a),
            add(self.p, step.p, a),
            add(self.lam, step.lam, b),
            add(self.kap, step.kap, b),
        )

    def lengths(self, step: Iterate) -> tuple[Tensor, Tensor]:
        """Return the largest primal and dual steps, at most 1, that keep every variable non-negative."""
        primal = _ratios([self.s, *self.z, *self.p], [step.s, *step.z, *step.p])
        dual = _ratios([self.y, *self.lam, *self.kap], [step.y, *step.lam, *step.kap])
        return primal, dual


def _ratios(values: list[Tensor], steps: list[Tensor]) -> Tensor:
    """Return min(1, min over falling entries of -value/step)."""
    worst = torch.stack([(-dv / v).amax(dim=-1) for v, dv in zip(values, steps, strict=True) if v.shape[-1]])
    return 1.0 / worst.amax(dim=0).clamp(min=1.0)


class System:
    """The factorised Newton system at one iterate.

    Args:
        kept: the kept units.
        polyhedron: the feasible set.
        at: the iterate.
        boxes: q of each layer.
        H: Hessian of the smooth part (quadratics and norms), shape `(contexts, n, n)`; overwritten.
        gradient: gradient of the smooth part and of v'x, shape `(contexts, n)`.
    """

    def __init__(
        self, kept: Kept, polyhedron: Polyhedron, at: Iterate, boxes: list[Tensor], H: Tensor, gradient: Tensor
    ) -> None:
        self._kept, self._set, self._at = kept, polyhedron, at
        self._layers = len(at.z)
        self._factor(H)
        self._residuals(boxes, gradient)

    def _factor(self, M: Tensor) -> None:
        kept, at = self._kept, self._at
        self._set.add_barrier(M, at.y / at.s)
        self._A: list[Tensor] = []  # (contexts, r_k, n)
        self._R: list[Tensor] = []  # compliance: a vector for the first layer, a matrix after it
        self._S: list[Tensor] = []  # 1 / S for the first layer, the Cholesky factor after it
        self._J: list[Tensor] = []
        for k in range(self._layers):
            softness, W = at.p[k] / at.lam[k], kept.W[k]  # 1/D
            give = at.z[k] / at.kap[k]  # 1/C
            if W is None:
                J, S = kept.U[k], 1.0 / (softness + give)
                M += J.mT @ (S[..., None] * J)
                self._A.append((give * S)[..., None] * J)
                self._R.append(softness * S * give)
            else:
                before = self._R[k - 1]
                WR = W * before[:, None, :] if before.ndim == 2 else W @ before
                J = kept.U[k] + W @ self._A[k - 1]
                Y = WR @ W.mT
                Y.diagonal(dim1=1, dim2=2).add_(softness)
                S = Y.clone()
                S.diagonal(dim1=1, dim2=2).add_(give)
                S = _cholesky(S)
                J_white = torch.linalg.solve_triangular(S, J, upper=False)
                M += J_white.mT @ J_white
                if k + 1 < self._layers:
                    inner = torch.cat([J, torch.diag_embed(give)], dim=-1)
                    solved = torch.cholesky_solve(inner, S)
                    n = J.shape[-1]
                    self._A.append(give[..., None] * solved[..., :n])
                    R = Y @ solved[..., n:]
                    self._R.append(0.5 * (R + R.mT))
            self._J.append(J)
            self._S.append(S)
        self._M = _cholesky(M)
        E = self._set.E
        if len(E):
            self._ME = torch.cholesky_solve(E.T.expand(len(M), -1, -1), self._M)
            self._EME = _cholesky(E @ self._ME)

    def _residuals(self, boxes: list[Tensor], gradient: Tensor) -> None:
        kept, at = self._kept, self._at
        self._primal: list[Tensor] = []  # a - (z - p)
        for k in range(self._layers):
            self._primal.append(kept.preactivation(k, at.x, at.z[k - 1] if k else None) - at.z[k] + at.p[k])
        self._dual = [q - lam - kap for q, lam, kap in zip(boxes, at.lam, at.kap, strict=True)]
        for k in range(self._layers):
            gradient = gradient + (kept.U[k].mT @ at.lam[k][..., None])[..., 0]
        self._gradient = gradient

    def direction(self, mu: Tensor, second: Iterate | None = None) -> Iterate:
        """Return the step towards the point of the path at mu, shape `(contexts,)`.

        Args:
            mu: target of the products.
            second: a first step whose products of increments are taken off the target (Mehrotra's corrector).
        """
        kept, at, layers = self._kept, self._at, self._layers
        target = mu[:, None]

        def aim(value: Tensor, other: Tensor, dv: Tensor | None, dother: Tensor | None) -> Tensor:
            """Return (mu - dv dother) / value - other."""
            goal = target if dv is None or dother is None else target - dv * dother
            return goal / value - other

        pull_y = aim(at.s, at.y, *((None, None) if second is None else (second.s, second.y)))
        rhs = -(self._gradient + self._set.adjoint(at.y + pull_y))
        push: list[Tensor] = []  # c: force on z
        rest: list[Tensor] = []  # c_0: change of lambda at da = 0 and no force from above
        right: list[Tensor] = []  # right-hand side of dlambda
        drift: list[Tensor] = []  # alpha: dz at dx = 0 and no force from above
        kappa_pull: list[Tensor] = []
        for k in range(layers):
            p, z, lam, kap = at.p[k], at.z[k], at.lam[k], at.kap[k]
            dp, dl, dz_, dk = (None,) * 4 if second is None else (second.p[k], second.lam[k], second.z[k], second.kap[k])
            softness, give = p / lam, z / kap
            share = give / (softness + give)  # T
            a_lam = aim(p, lam, dp, dl) + self._primal[k] / softness
            a_kap = aim(z, kap, dz_, dk)
            force = a_lam + a_kap - self._dual[k]
            c0 = a_lam - share * force
            W = kept.W[k]
            if W is None:
                r = c0 * (softness + give)
                white = c0
                rhs = rhs - (self._J[k].mT @ c0[..., None])[..., 0]
            else:
                r = c0 * (softness + give) + (W @ drift[k - 1][..., None])[..., 0]
                white = torch.cholesky_solve(r[..., None], self._S[k])[..., 0]
                rhs = rhs - (self._J[k].mT @ white[..., None])[..., 0]
            drift.append(give * (white - c0) + self._soft(softness, give) * force)
            right.append(r)
            rest.append(c0)
            push.append(force)
            kappa_pull.append(a_kap)
        dx = torch.cholesky_solve(rhs[..., None], self._M)
        E = self._set.E
        if len(E):
            dx = dx - self._ME @ torch.cholesky_solve(E @ dx, self._EME)
        dx = dx[..., 0]
        dlam: list[Tensor] = []
        above: list[Tensor] = []  # W_{k+1}'dlambda_{k+1}
        for k in reversed(range(layers)):
            W = kept.W[k + 1] if k + 1 < layers else None
            force = torch.zeros_like(at.z[k]) if W is None else (W.mT @ dlam[0][..., None])[..., 0]
            r = right[k] + (self._J[k] @ dx[..., None])[..., 0] + at.z[k] / at.kap[k] * force
            S = self._S[k]
            dlam.insert(0, S * r if kept.W[k] is None else torch.cholesky_solve(r[..., None], S)[..., 0])
            above.insert(0, force)
        dz: list[Tensor] = []
        dp_: list[Tensor] = []
        for k in range(layers):
            softness, give = at.p[k] / at.lam[k], at.z[k] / at.kap[k]
            da = (kept.U[k] @ dx[..., None])[..., 0]
            W = kept.W[k]
            if W is not None:
                da = da + (W @ dz[k - 1][..., None])[..., 0]
            dz.append(give / (softness + give) * da + self._soft(softness, give) * (push[k] - above[k]))
            dp_.append(dz[k] - da - self._primal[k])
        ds = -self._set.images(dx)
        dkap = [one - kap / z * d for one, kap, z, d in zip(kappa_pull, at.kap, at.z, dz, strict=True)]
        return Iterate(dx, ds, pull_y - at.y / at.s * ds, dz, dp_, dlam, dkap)

    @staticmethod
    def _soft(softness: Tensor, give: Tensor) -> Tensor:
        """Return 1 / (D + C)."""
        return softness * give / (softness + give)


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
