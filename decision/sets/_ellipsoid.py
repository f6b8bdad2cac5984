"""The ellipsoid {centre + B u : ||u|| <= radius}, whose centre and radius may move with the context."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decision.sets._base import FeasibleSet
from decision.sets._conic_set import ConicSet, ConicSystem, Span
from decision.sets._moving import Moving, radius_of, refuse_infinite, with_gradients
from decision.sets._oracles import OracleSet
from socicnn._arrays import as_float64, owned
from socicnn._margins import relative_margin
from socicnn._moved import accepts_renamed
from socicnn.conic._cones import Cones
from socicnn.errors import ProgramError

STEPS = 200  # of the bisection for the multiplier of a projection


@final
class Ellipsoid(ConicSet):
    """The ellipsoid {centre + B u : ||u||_2 <= radius}, flat where B has rank below n.

    {x : ||A (x - c)|| <= 1} has B = A^-1; the region (x - mu)' S^-1 (x - mu) <= r^2 has B the Cholesky factor of S.

    Args:
        B: shape `(n, k)`, or `(n,)` for a diagonal, the half-axes along the coordinates.
        centre: a number, shape `(n,)`, `(contexts, n)`, or an `Affine`; the origin by default.
        radius: a number >= 0, one per context (shape `(contexts, 1)`), or an `Affine` with one output.

    Raises:
        ProgramError: shapes that disagree, an entry that is not finite, or a negative radius that does not move.

    >>> Ellipsoid([2.0, 1.0]).fixed().minimise_linear(torch.tensor([-1.0, 0.0]))
    tensor([2., 0.])
    """

    name = "ellipsoid"

    @accepts_renamed(center="centre")
    def __init__(self, B: Any, centre: Any = 0.0, radius: Any = 1.0) -> None:
        matrix = owned(as_float64(B, "B"))
        matrix = np.diag(matrix) if matrix.ndim == 1 else matrix
        if matrix.ndim != 2 or not matrix.shape[1]:
            raise ProgramError(f"B must be a matrix of shape (n, k) or a vector; received shape {matrix.shape}")
        bad = int((~np.isfinite(matrix)).sum())
        if bad:
            raise ProgramError(f"B of an Ellipsoid has {bad} non-finite entries; remove or replace them")
        super().__init__(len(matrix))
        self._B, self.detached = matrix, with_gradients(self, B=B)
        self._radius = radius_of(radius, "an Ellipsoid")
        self._centre = Moving.of(centre, self.n, "centre")
        refuse_infinite(self._centre, "centre of an Ellipsoid")

    def build(self) -> ConicSystem:
        """Return x - B u = centre and ||u|| <= radius on [x | u]."""
        n, k = self._B.shape
        G = np.block([[np.eye(n), -self._B], [np.zeros((1, n + k))], [np.zeros((k, n)), -np.eye(k)]])
        none = Moving(torch.zeros(1, k, dtype=torch.float64))
        h = Moving.joined([self._centre, self._radius, none])
        rows = np.linalg.norm(self._B, axis=1) * (1.0 + relative_margin(k + 8))
        reach = (
            Span(np.arange(n), np.arange(n), n, 1.0, rows),
            Span(n + np.arange(k), None, n, 1.0, np.ones(k)),
        )
        return ConicSystem(sparse.csr_array(G), h, Cones(zero=n, second_order=(k + 1,)), reach)

    def fixed(self) -> FeasibleSet | None:
        """Return the ellipsoid with exact oracles; None if it moves."""
        if self.moves:
            return None
        U, axes, _ = np.linalg.svd(self._B, full_matrices=False)
        basis, half = torch.tensor(U), torch.tensor(axes)
        r, c, B = float(self._radius.table[0, 0].detach()), self._centre.table[0].detach(), torch.tensor(self._B)

        def project(x: Tensor) -> Tensor:
            y = x.to(torch.float64) - c.to(x.device)
            near = _nearest(y @ basis.to(y), half.to(y), r)
            return (c.to(y) + near @ basis.to(y).T).to(x.dtype)

        def minimise(g: Tensor) -> Tensor:
            w = g.to(torch.float64) @ B.to(g.device)
            length = torch.linalg.vector_norm(w, dim=-1, keepdim=True)
            ends = c.to(w) - r * (w / torch.where(length > 0, length, 1.0)) @ B.to(w).T
            return ends.to(g.dtype)

        return OracleSet(self.n, project, minimise, rows=self.rows(), name=self.name)


def _nearest(y: Tensor, half: Tensor, r: float) -> Tensor:
    """Return the nearest s w, ||w|| <= r, to each y along the axes s: w_i = s_i y_i / (s_i^2 + t), t >= 0 the root.

    ||w(t)|| falls in t and is at most ||s y|| / t, so that the root lies below ||s y|| / r.
    """
    inverse = torch.where(half > 1e-15 * half.max(), 1.0 / half, 0.0)
    free = y * inverse
    outside = torch.linalg.vector_norm(free, dim=-1, keepdim=True) > r
    if r == 0.0:
        return torch.zeros_like(y)
    low = torch.zeros_like(y[..., :1])
    high = torch.linalg.vector_norm(half * y, dim=-1, keepdim=True) / r
    for _ in range(STEPS):
        t = 0.5 * (low + high)
        long = torch.linalg.vector_norm(half * y / (half.square() + t), dim=-1, keepdim=True) > r
        low, high = torch.where(long, t, low), torch.where(long, high, t)
    w = half * y / (half.square() + high).clamp(min=1e-300)
    return half * torch.where(outside, w, free)
