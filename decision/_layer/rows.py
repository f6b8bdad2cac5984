"""A feasible set's conic rows around points: which of them hold x, their gradients and their curvature.

G [x | u] + s = h, s in K, with helper variables u. Linear rows give c = G [x | u] - h <= 0, or = 0. A second-order cone
gives ||z|| - t <= 0 with (t, z) = s; where x sits in its tip, t = 0 and z = 0, its rows count one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from decision.sets._conic_set import ConicSystem

ROUNDING = 64 * 2.0**-53  # of a right-hand side
LEAST = 2.0**-50  # violation that is rounding


@final
@dataclass(frozen=True, eq=False)
class SetRows:
    """The rows of a set; constraints are numbered equalities, inequalities, cones, then the rows of the cones.

    Args:
        G: shape `(rows, columns)`, x first among the columns.
        zero: number of equalities.
        linear: number of equalities and inequalities.
        cones: first row and size of each second-order cone.
        columns: column of each constraint with a single entry, else their number, shape `(count,)`.
    """

    G: Tensor
    zero: int
    linear: int
    cones: tuple[tuple[int, int], ...]
    columns: Tensor

    @classmethod
    def of(cls, rows: ConicSystem, device: torch.device | str | None = None) -> SetRows:
        """Return the rows of a set as tensors."""
        linear = rows.cones.zero + rows.cones.nonnegative
        sizes = rows.cones.second_order
        cones = tuple((linear + sum(sizes[:k]), size) for k, size in enumerate(sizes))
        G = torch.as_tensor(rows.G.toarray(), dtype=torch.float64, device=device)
        single = torch.where((G != 0).sum(dim=1) == 1, (G != 0).int().argmax(dim=1), G.shape[1])
        columns = torch.cat([single[:linear], single.new_full((len(cones),), G.shape[1]), single[linear:]])
        return cls(G, rows.cones.zero, linear, cones, columns)

    @property
    def count(self) -> int:
        """Number of constraints."""
        return len(self.G) + len(self.cones)

    @property
    def tips(self) -> int:
        """Number of the first row of a cone."""
        return self.linear + len(self.cones)

    def size(self, x: Tensor, h: Tensor, own: Tensor | None = None) -> Tensor:
        """Return the size by which distances are judged in each context, shape `(contexts, 1)`.

        It is about that of the set; of a set that is far wider than x and the function's own length, that of these.

        Args:
            x: [x | u], shape `(contexts, columns)`.
            h: shape `(contexts, rows)`.
            own: a length over which the function changes its course, shape `(contexts,)`; None if not known.
        """
        length = torch.linalg.vector_norm(self.G, dim=1)
        reach = (h.abs() / torch.where(length > 0, length, torch.inf)).amax(dim=1)
        far = x.abs().amax(dim=1)
        size = torch.maximum(reach, far)
        if own is not None:
            size = torch.minimum(size, torch.maximum(own, far))
        return torch.where(size > 0, size, 1.0)[:, None]

    def lengths(self, h: Tensor, distance: Tensor) -> Tensor:
        """Return by how much each constraint changes over a distance, and by rounding, shape `(contexts, count)`."""
        rows = torch.linalg.vector_norm(self.G, dim=1) * distance + ROUNDING * h.abs()
        cones = [rows[:, first : first + size].amax(dim=1, keepdim=True) for first, size in self.cones]
        return torch.cat([rows[:, : self.linear], *cones, rows[:, self.linear :]], dim=1)

    def values(self, x: Tensor, h: Tensor) -> Tensor:
        """Return c of each constraint, shape `(contexts, count)`, differentiable in x and h.

        Args:
            x: [x | u], shape `(contexts, columns)`.
            h: shape `(contexts, rows)`.
        """
        c = x @ self.G.T - h
        cones = [_excess(-c[:, first : first + size]) for first, size in self.cones]
        return torch.cat([c[:, : self.linear], *cones, c[:, self.linear :]], dim=1)

    def violation(self, x: Tensor, h: Tensor) -> Tensor:
        """Return the worst violation of a row or cone, relative to its own size, max(|h_i|, |G_i| |x|), `(contexts,)`.

        What is rounding of numbers as large as x or the set's data counts as that.

        Args:
            x: [x | u], shape `(contexts, columns)`.
            h: shape `(contexts, rows)`.
        """
        missed = self.values(x, h)[:, : self.tips]
        missed = torch.cat([missed[:, : self.zero].abs(), missed[:, self.zero :].clamp(min=0.0)], dim=1)
        own = torch.maximum(h.abs(), x.abs() @ self.G.abs().T)
        cones = [own[:, first : first + size].amax(dim=1, keepdim=True) for first, size in self.cones]
        own = torch.cat([own[:, : self.linear], *cones], dim=1)
        largest = self.lengths(torch.zeros_like(h), self.size(x, h))[:, : self.tips]
        own = torch.where(missed <= LEAST * largest, torch.maximum(own, largest), own)
        return torch.where(missed > 0.0, missed / own, missed).amax(dim=1)

    def near(self, x: Tensor, h: Tensor, distance: Tensor) -> Tensor:
        """Return which constraints hold x: the equalities, and others that are within a distance, `(contexts, 1)`."""
        c, most = self.values(x, h), self.lengths(h, distance)
        held = c >= -most
        held[:, : self.zero] = True
        place = self.tips
        for k, (_, size) in enumerate(self.cones):
            rows = slice(place, place + size)
            tip = (c[:, rows].abs() <= most[:, rows]).all(dim=1)
            held[:, rows] = tip[:, None]
            held[:, self.linear + k] &= ~tip
            place += size
        return held

    def revised(self, x: Tensor, h: Tensor, held: Tensor, y: Tensor, distance: Tensor, slack: float) -> Tensor:
        """Return what holds x next: what it has crossed, and what was held by a multiplier of the right sign."""
        crossed = self.values(x, h) > self.lengths(h, distance)
        tolerance = slack * y.abs().amax(dim=1, keepdim=True) if self.count else 0.0
        new = torch.where(held, y >= -tolerance, crossed)
        new[:, : self.zero] = True
        place = self.tips
        for k, (_, size) in enumerate(self.cones):
            rows = slice(place, place + size)
            # the rows t = 0 and z = 0 have multipliers (-a, b) with ||b|| <= a if the tip is where x belongs
            kept = held[:, place] & (
                torch.linalg.vector_norm(y[:, rows][:, 1:], dim=1) <= y[:, place] + slack * y[:, place].abs()
            )
            new[:, rows] = kept[:, None]
            new[:, self.linear + k] = (new[:, self.linear + k] | held[:, place]) & ~kept
            place += size
        return new

    def jacobian(self, x: Tensor, h: Tensor) -> Tensor:
        """Return the gradients of the constraints, shape `(contexts, count, columns)`."""
        J = self.G.expand(len(x), -1, -1)
        if not self.cones:
            return J
        s, slopes = h - x @ self.G.T, []
        for first, size in self.cones:
            G, z = self.G[first : first + size], s[:, first + 1 : first + size]
            unit = z / torch.linalg.vector_norm(z, dim=1, keepdim=True).clamp(min=1e-300)
            slopes.append((G[0] - unit @ G[1:])[:, None, :])
        return torch.cat([J[:, : self.linear], *slopes, J[:, self.linear :]], dim=1)

    def pulled(self, x: Tensor, h: Tensor, y: Tensor, u: Tensor, nu: Tensor, price: Tensor) -> Tensor:
        """Return the gradient of price y'c - u'grad(y'c) - nu'c in h, shape `(contexts, rows)`.

        Args:
            x: [x | u] of the decisions, shape `(contexts, columns)`.
            h: shape `(contexts, rows)`.
            y: multipliers of the constraints, shape `(contexts, count)`.
            u: shape `(contexts, columns)`.
            nu: shape `(contexts, count)`.
            price: shape `(contexts,)`.
        """
        if not self.cones:
            return nu - price[:, None] * y
        with torch.enable_grad():
            leaf, side = x.detach().requires_grad_(), h.detach().requires_grad_()
            c = self.values(leaf, side)
            (gradient,) = torch.autograd.grad((y * c).sum(), leaf, create_graph=True)
            total = (price[:, None] * y * c - nu * c).sum() - (u * gradient).sum()
            (slope,) = torch.autograd.grad(total, side)
        return slope

    def curvature(self, x: Tensor, h: Tensor, y: Tensor) -> Tensor | float:
        """Return the Hessian of y'c, shape `(contexts, columns, columns)`, or 0 if all rows are linear."""
        if not self.cones:
            return 0.0
        s = h - x @ self.G.T
        total = x.new_zeros(len(x), x.shape[1], x.shape[1])
        for k, (first, size) in enumerate(self.cones):
            G, z = self.G[first + 1 : first + size], s[:, first + 1 : first + size]
            length = torch.linalg.vector_norm(z, dim=1).clamp(min=1e-300)
            along = (z / length[:, None]) @ G
            weight = (y[:, self.linear + k] / length)[:, None, None]
            total += weight * (G.T @ G - along[:, :, None] * along[:, None, :])
        return total


def _excess(s: Tensor) -> Tensor:
    """Return ||z|| - t of (t, z), shape `(contexts, 1)`; at z = 0 its slope is that of -t."""
    square = s[:, 1:].square().sum(dim=1, keepdim=True)
    zero = square.detach() == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt()) - s[:, :1]
