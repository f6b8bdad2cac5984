"""The unit simplex {x >= 0, sum x = 1}."""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decision.sets._base import FeasibleSet
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.nn._checks import as_device, as_dtype


@final
class Simplex(FeasibleSet):
    """The simplex {x in R^n : x >= 0, sum_i x_i = 1}.

    Args:
        n: length of x.

    >>> import torch
    >>> Simplex(3).project(torch.tensor([0.5, 1.5, -1.0]))
    tensor([0., 1., 0.])
    """

    name = "simplex"

    @property
    def diameter(self) -> float:
        """The distance sqrt(2) of two vertices; 0 where n = 1."""
        return math.sqrt(2.0) if self.n > 1 else 0.0

    def config(self) -> dict[str, Any]:
        """Return `{"n": n}`."""
        return {"n": self.n}

    def _make_constants(self) -> tuple[Tensor, ...]:
        return (1.0 / torch.arange(1, self.n + 1, dtype=torch.float64),)

    def project(self, x: Tensor) -> Tensor:
        """Return max(x - tau, 0) with tau = max_k (sum of the k largest - 1) / k.

        The rows are shifted by their largest entry and cut at -1 first, which moves no projection and keeps huge
        entries exact. Source: Held, Wolfe and Crowder, "Validation of subgradient optimization" (1974), whose
        threshold is the largest of the k candidates.
        """
        self._check(x)
        (reciprocal,) = self._like(x)
        x = (x - x.amax(dim=-1, keepdim=True)).clamp(min=-1.0)
        largest_first = x.sort(dim=-1, descending=True).values
        tau = ((largest_first.cumsum(dim=-1) - 1.0) * reciprocal).amax(dim=-1, keepdim=True)
        return (x - tau).clamp(min=0.0)

    def minimise_linear(self, g: Tensor) -> Tensor:
        """Return the vertex e_i of the least coefficient g_i (the first, where several are least)."""
        self._check(g, "g")
        return torch.zeros_like(g).scatter_(-1, g.argmin(dim=-1, keepdim=True), 1.0)

    def violation(self, x: Tensor) -> Tensor:
        """Return max(max_i -x_i, |sum x - 1|, 0)."""
        self._check(x)
        below = (-x).amax(dim=-1).clamp(min=0.0)
        return torch.maximum(below, (x.sum(dim=-1) - 1.0).abs())

    def _uniform(self, count: int, generator: torch.Generator | None) -> Tensor:
        return dirichlet(count, self.n, generator)

    def centre(self, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
        """Return (1/n, ..., 1/n)."""
        return torch.full((self.n,), 1.0 / self.n, dtype=as_dtype(dtype), device=as_device(device))

    def constraints(self, x: Any) -> list[Any]:
        """Return [x >= 0, sum(x) == 1]."""
        self._check_expression(x)
        return [x >= 0, x.sum() == 1]

    def rows(self) -> Rows:
        """Return sum x = 1 as one equality, then -x <= 0; the point {1} as x = 1 where n = 1."""
        ones = sparse.csr_array(np.ones((1, self.n)))
        if self.n == 1:
            return Rows(ones, np.ones(1), Cones(zero=1))
        G = sparse.csr_array(sparse.vstack([ones, -sparse.eye_array(self.n)]))
        return Rows(G, np.concatenate([np.ones(1), np.zeros(self.n)]), Cones(zero=1, nonnegative=self.n))


def dirichlet(count: int, n: int, generator: torch.Generator | None) -> Tensor:
    """Draw uniform points of the simplex, Dirichlet(1), as normalised exponentials; float64, shape `(count, n)`."""
    device = torch.device("cpu") if generator is None else generator.device
    e = torch.empty(count, n, dtype=torch.float64, device=device).exponential_(generator=generator)
    return e / e.sum(dim=-1, keepdim=True)
