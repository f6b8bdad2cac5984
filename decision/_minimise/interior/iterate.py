"""One point of the interior-point method: primal and dual variables of every inequality, unit and cone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from decision._minimise.branch import Branch
from decision._minimise.interior.norms import cut, product


@dataclass(eq=False)
class Iterate:
    """Primal and dual variables, one row per context, or a step of them.

    Args:
        x: shape `(contexts, n)`.
        s: slacks of the inequalities.
        y: their multipliers.
        z: activations of each layer.
        p: slacks z - a of each layer.
        lam: multipliers of p.
        kap: multipliers of z.
        u: dual vectors of each norm branch, shape `(contexts, groups, group)`.
        turn: where on the path the norms' lengths are, a value of mu, shape `(contexts,)`.
    """

    x: Tensor
    s: Tensor
    y: Tensor
    z: list[Tensor]
    p: list[Tensor]
    lam: list[Tensor]
    kap: list[Tensor]
    u: list[Tensor]
    turn: Tensor

    def take(self, rows: Tensor) -> Iterate:
        """Return the iterates of some contexts."""
        z, p, lam, kap, u = (
            [tensor[rows] for tensor in group] for group in (self.z, self.p, self.lam, self.kap, self.u)
        )
        return Iterate(self.x[rows], self.s[rows], self.y[rows], z, p, lam, kap, u, self.turn[rows])

    def products(self, norms: tuple[Branch, ...]) -> Tensor:
        """Return s'y + sum_k (p'lambda + z'kappa) + sum gamma (sigma - u'p), shape `(contexts,)`."""
        total = (self.s * self.y).sum(dim=-1)
        for z, p, lam, kap in zip(self.z, self.p, self.lam, self.kap, strict=True):
            total = total + (p * lam).sum(dim=-1) + (z * kap).sum(dim=-1)
        for branch, u in zip(norms, self.u, strict=True):
            total = total + product(branch, self.x, u, self.turn)
        return total

    @property
    def pairs(self) -> int:
        """Number of products: one per inequality, two per unit, one per norm."""
        units, norms = sum(tensor.shape[1] for tensor in self.z), sum(tensor.shape[1] for tensor in self.u)
        return max(self.s.shape[1] + 2 * units + norms, 1)

    def moved(self, step: Iterate, primal: Tensor, dual: Tensor) -> Iterate:
        """Return the iterate after a step of these lengths, shape `(contexts,)`."""
        a, b = primal[:, None], dual[:, None]

        def add(first: list[Tensor], second: list[Tensor], length: Tensor) -> list[Tensor]:
            return [value + length * other for value, other in zip(first, second, strict=True)]

        return Iterate(
            self.x + a * step.x,
            self.s + a * step.s,
            self.y + b * step.y,
            add(self.z, step.z, a),
            add(self.p, step.p, a),
            add(self.lam, step.lam, b),
            add(self.kap, step.kap, b),
            [cut(value + dual[:, None, None] * other) for value, other in zip(self.u, step.u, strict=True)],
            self.turn + primal * step.turn,
        )

    def lengths(self, step: Iterate) -> tuple[Tensor, Tensor]:
        """Return the largest primal and dual steps, at most 1, that keep every inequality."""
        primal = _ratios(self.x, [self.s, *self.z, *self.p], [step.s, *step.z, *step.p])
        dual = _ratios(self.x, [self.y, *self.lam, *self.kap], [step.y, *step.lam, *step.kap])
        return primal, dual


def _ratios(x: Tensor, values: list[Tensor], steps: list[Tensor]) -> Tensor:
    """Return min(1, min over falling entries of -value/step), shape `(contexts,)`."""
    worst = torch.ones_like(x[:, 0])
    for value, step in zip(values, steps, strict=True):
        if value.shape[-1]:
            worst = torch.maximum(worst, (-step / value).amax(dim=-1))
    return 1.0 / worst
