"""A feasible set as inequalities with an interior: E x = e and G x + s = h, s >= 0, with s > 0 at the centre."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from decision.sets._base import FeasibleSet

# an inequality that is nearly tight at the centre has no interior to move in
INTERIOR = 1e-9


@dataclass(frozen=True, eq=False)
class Polyhedron:
    """Bounds and general rows are kept apart: the barrier's Hessian of a bound is diagonal.

    Args:
        E: orthonormal rows of the equalities, shape `(equalities, n)`.
        bounds: rows of one entry, shape `(bounds, n)`.
        general: other rows, shape `(general, n)`.
        h: right-hand sides, bounds first, shape `(bounds + general,)`.
        centre: a point with every slack positive, shape `(n,)`.
    """

    E: Tensor
    bounds: Tensor
    general: Tensor
    h: Tensor
    centre: Tensor

    @classmethod
    def of(cls, feasible_set: FeasibleSet, device: torch.device | str | None = None) -> Polyhedron | None:
        """Return a set as inequalities; None if its rows are not linear or its centre is not an interior point."""
        place = str(torch.device("cpu" if device is None else device))
        known = _KNOWN.setdefault(feasible_set, {})  # sets are values: once for each
        if place not in known:
            known[place] = cls._of(feasible_set, device)
        return known[place]

    @classmethod
    def _of(cls, feasible_set: FeasibleSet, device: torch.device | str | None) -> Polyhedron | None:
        if not feasible_set.has_rows:
            return None
        rows = feasible_set.rows()
        if rows.cones.second_order or rows.G.shape[1] != feasible_set.n:
            return None
        G = torch.as_tensor(rows.G.toarray(), dtype=torch.float64, device=device)
        h = torch.tensor(rows.h, dtype=torch.float64, device=device)
        centre = feasible_set.centre(device=device)
        E, G, h = G[: rows.cones.zero], G[rows.cones.zero :], h[rows.cones.zero :]
        _, size, right = torch.linalg.svd(E, full_matrices=False)
        E = right[size > 1e-12 * (size[0] if len(size) else 1.0)]
        single = (G != 0).sum(dim=1) == 1
        G, h = torch.cat([G[single], G[~single]]), torch.cat([h[single], h[~single]])
        count = int(single.sum())
        polyhedron = cls(E, G[:count], G[count:], h, centre)
        slack = polyhedron.slack(centre)
        terms = h.abs() + G.abs() @ centre.abs()
        return None if bool((slack <= INTERIOR * terms).any()) else polyhedron

    def images(self, x: Tensor) -> Tensor:
        """Return G x for each row x."""
        return torch.cat([x @ self.bounds.T, x @ self.general.T], dim=-1)

    def slack(self, x: Tensor) -> Tensor:
        """Return h - G x for each row x."""
        return self.h - self.images(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return G'y for each row y."""
        count = len(self.bounds)
        return y[..., :count] @ self.bounds + y[..., count:] @ self.general

    def add_barrier(self, M: Tensor, weights: Tensor) -> None:
        """Add G' diag(weights) G to each matrix of M, shape `(contexts, n, n)`, in place."""
        count = len(self.bounds)
        M.diagonal(dim1=1, dim2=2).add_(weights[:, :count] @ self.bounds.square())
        if len(self.general):
            M += self.general.T @ (weights[:, count:, None] * self.general)


_KNOWN: WeakKeyDictionary[FeasibleSet, dict[str, Polyhedron | None]] = WeakKeyDictionary()
