"""One point of the interior-point method: primal and dual variables of every inequality, unit and cone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from decision._minimise.branch import Branch
from decision._minimise.interior.norms import cut, product

BEYOND = 2.0  # widths that a softplus unit may pass its bend by in one step


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
        widths: of the softplus units of each layer, shape `(contexts, h_k)`, 0 of ReLU units among them; None of layers
            of ReLU units. Softplus units have no products and bound no step (`newton`).
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
    widths: list[Tensor | None]

    def take(self, rows: Tensor) -> Iterate:
        """Return the iterates of some contexts."""
        z, p, lam, kap, u = (
            [tensor[rows] for tensor in group] for group in (self.z, self.p, self.lam, self.kap, self.u)
        )
        widths = [None if width is None else width[rows] for width in self.widths]
        return Iterate(self.x[rows], self.s[rows], self.y[rows], z, p, lam, kap, u, self.turn[rows], widths)

    @cached_property
    def kinked(self) -> list[tuple[int, Any]]:
        """Layers that have ReLU units, and which of their units these are: an index of columns."""
        every: list[tuple[int, Any]] = []
        for k, width in enumerate(self.widths):
            if width is None:
                every.append((k, slice(None)))
            elif len(some := (width == 0).all(dim=0).nonzero()[:, 0]):
                every.append((k, some))
        return every

    def bend(self, k: int) -> Tensor:
        """Return a / width of a layer with softplus units; 0 of ReLU units among them."""
        width = self.widths[k]
        assert width is not None, "softplus units have a width"
        return torch.where(width > 0, (self.z[k] - self.p[k]) / width, 0.0)

    def products(self, norms: tuple[Branch, ...]) -> Tensor:
        """Return s'y + sum_k (p'lambda + z'kappa) + sum gamma (sigma - u'p), shape `(contexts,)`."""
        total = (self.s * self.y).sum(dim=-1)
        for k, some in self.kinked:
            pairs = (self.p[k] * self.lam[k], self.z[k] * self.kap[k])
            total = total + pairs[0][:, some].sum(dim=-1) + pairs[1][:, some].sum(dim=-1)
        for branch, u in zip(norms, self.u, strict=True):
            total = total + product(branch, self.x, u, self.turn)
        return total

    @property
    def pairs(self) -> int:
        """Number of products: one per inequality, two per ReLU unit, one per norm."""
        units = sum(self.z[k][:, some].shape[1] for k, some in self.kinked)
        norms = sum(tensor.shape[1] for tensor in self.u)
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
            self.widths,
        )

    def lengths(self, step: Iterate) -> tuple[Tensor, Tensor]:
        """Return the largest primal and dual steps, at most 1, that keep every inequality.

        No softplus unit may pass its bend by far either: what is linear before it says nothing of what is behind.
        """

        def kinked(*groups: list[Tensor]) -> list[Tensor]:
            return [group[k][:, some] for group in groups for k, some in self.kinked]

        primal = _ratios(self.x, [self.s, *kinked(self.z, self.p)], [step.s, *kinked(step.z, step.p)])
        for k, width in enumerate(self.widths):
            if width is not None:
                a, da = self.z[k] - self.p[k], step.z[k] - step.p[k]
                far = torch.where((a * da < 0) & (width > 0), da.abs() / (a.abs() + BEYOND * width), 0.0).amax(dim=-1)
                primal = torch.minimum(primal, 1.0 / far.clamp(min=1.0))
        dual = _ratios(self.x, [self.y, *kinked(self.lam, self.kap)], [step.y, *kinked(step.lam, step.kap)])
        return primal, dual


def _ratios(x: Tensor, values: list[Tensor], steps: list[Tensor]) -> Tensor:
    """Return min(1, min over falling entries of -value/step), shape `(contexts,)`."""
    worst = torch.ones_like(x[:, 0])
    for value, step in zip(values, steps, strict=True):
        if value.shape[-1]:
            worst = torch.maximum(worst, (-step / value).amax(dim=-1))
    return 1.0 / worst
