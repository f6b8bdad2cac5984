"""Draws from independent components with log-concave laws, as a proposal for log Z of energies near to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from experiments.densities.components import Components
from socicnn._arrays import Array
from socicnn.density._rule import Proposal

CELLS = 20_000  # of the table that a component is drawn from


@dataclass(frozen=True, eq=False)
class ComponentProposal(Proposal):
    """Draws x = m + B^-1 s, every s_i from the law of its component by a table of its distribution function.

    Args:
        nodes: the draws, shape `(count, n)`.
        log_weights: -log q(x_i) - log count.
        factor: Cholesky factor of B^-1 B^-T.
        fitted: the components.
        tables: grid and distribution function of each component, shape `(n, 2, cells)`.
    """

    nodes: Tensor
    log_weights: Tensor
    factor: Tensor
    fitted: Components
    tables: Array

    def log_density(self, x: Tensor) -> Tensor:
        """Return log q(x), shape `(*batch,)`."""
        fitted = self.fitted
        s = (x - torch.from_numpy(fitted.location).to(x)) @ torch.from_numpy(fitted.directions).to(x).T
        total = torch.full(x.shape[:-1], float(np.linalg.slogdet(fitted.directions)[1])).to(x)
        for i, law in enumerate(fitted.laws):
            knots, k, omega = (torch.from_numpy(part).to(x) for part in (law.knots, law.sharpness, law.omega))
            bends = torch.nn.functional.softplus(k * (s[..., i : i + 1] - knots)) @ omega
            total = total - bends - law.slope * s[..., i] - law.log_z
        return total

    def draw(self, generator: torch.Generator | None = None) -> Self:
        """Return the rule with fresh draws."""
        return type(self)(
            *_drawn(self.fitted, self.tables, self.nodes, generator), self.factor, self.fitted, self.tables
        )


def component_proposal(
    fitted: Components, count: int, dtype: torch.dtype, generator: torch.Generator | None = None
) -> ComponentProposal:
    """Return a rule whose nodes are `count` draws from the components' law."""
    tables = []
    for law in fitted.laws:
        wide = law.knots[-1] - law.knots[0]
        grid = np.linspace(law.knots[0] - wide, law.knots[-1] + wide, CELLS + 1)
        mass = np.exp(law.log_density(0.5 * (grid[1:] + grid[:-1])))
        rise = np.concatenate([[0.0], np.cumsum(mass)])
        tables.append(np.stack([grid, rise / rise[-1]]))
    inverse = np.linalg.inv(fitted.directions)
    factor = torch.from_numpy(np.linalg.cholesky(inverse @ inverse.T))
    table, blank = np.stack(tables), torch.empty((count, len(fitted.location)), dtype=dtype)
    return ComponentProposal(*_drawn(fitted, table, blank, generator), factor.to(dtype), fitted, table)


def _drawn(fitted: Components, tables: Array, like: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Return draws, as many as there are rows of `like`, and their log weights."""
    u = torch.rand(like.shape, generator=generator, dtype=torch.float64).numpy()
    S = np.stack([np.interp(u[:, i], table[1], table[0]) for i, table in enumerate(tables)], axis=1)
    x = fitted.location + S @ np.linalg.inv(fitted.directions).T
    log_weights = -fitted.log_density(x) - math.log(len(x))
    return torch.from_numpy(x).to(like), torch.from_numpy(log_weights).to(like)
