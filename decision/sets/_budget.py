"""The budget {0 <= x <= 1, sum x = total}, the capped simplex, and its inequality form."""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decision.sets._base import FeasibleSet
from decision.sets._capped_sampling import sample_at_most, sample_equal
from decision.sets._moving import with_gradients
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.errors import ProgramError
from socicnn.nn._checks import as_device, as_dtype


@final
class Budget(FeasibleSet):
    """The budget {x in R^n : 0 <= x <= 1, sum_i x_i = total}, or sum_i x_i <= total.

    Args:
        n: length of x.
        total: the budget; within [0, n] with equality, at least 0 without.
        equality: whether the whole budget is to be spent.

    Raises:
        ProgramError: the set is empty (total < 0, or total > n with equality), total is not finite, or equality is
            neither True nor False.

    >>> import torch
    >>> Budget(3, 2.0).project(torch.tensor([3.0, 0.5, 0.5]))
    tensor([1.0000, 0.5000, 0.5000])
    """

    name = "budget"

    def __init__(self, n: int, total: float, *, equality: bool = True) -> None:
        super().__init__(n)
        if not isinstance(equality, bool | np.bool_):  # "false" would be true
            raise ProgramError(f"equality of a Budget must be True or False; received {equality!r}")
        self.detached = with_gradients(self, total=total)
        total = float(total.detach() if isinstance(total, Tensor) else total)
        if not math.isfinite(total):
            raise ProgramError(f"total of a Budget must be finite; received {total}")
        if total < 0 or (equality and total > n):
            raise ProgramError(
                f"the budget is empty: {n} coordinates within [0, 1] cannot sum to "
                f"{'' if equality else 'at most '}{total}; choose total within [0, {n}]"
            )
        self._total, self._equality = total, bool(equality)
        self._sum = min(total, float(n))  # n coordinates within [0, 1] cannot spend more
        # With total at an end of [0, n] a single point is left.
        self._point = 0.0 if total == 0 else 1.0 if equality and total == n else None

    @property
    def total(self) -> float:
        """The budget, as it was given."""
        return self._total

    @property
    def equality(self) -> bool:
        """Whether the whole budget is to be spent."""
        return self._equality

    @property
    def diameter(self) -> float:
        """The bound sqrt of the 1-norm's: sqrt(2 min(total, n - total)), or sqrt(min(2 total, n)) with inequality."""
        if self._equality:
            return math.sqrt(2.0 * min(self._sum, self.n - self._sum))
        return math.sqrt(min(2.0 * self._sum, self.n))

    def config(self) -> dict[str, Any]:
        """Return n, total and equality."""
        return {"n": self.n, "total": self._total, "equality": self._equality}

    def _make_constants(self) -> tuple[Tensor, ...]:
        ranks = torch.arange(self.n, dtype=torch.float64)
        capped = (ranks < math.ceil(self._sum) - 1).to(torch.float64)
        return (self._sum - ranks).clamp(0.0, 1.0), capped, 1.0 - 2.0 * capped

    def project(self, x: Tensor) -> Tensor:
        """Return clamp(x - tau, 0, 1), tau the root of sum_i clamp(x_i - tau, 0, 1) = total, found on the breakpoints.

        With K = ceil(total) the root lies within 1 below the K-th largest entry a: from there the K - 1 larger entries
        fall, each with one breakpoint x_i - a - 1 where it reaches the cap, and each other entry has one breakpoint
        x_i - a where it leaves zero. One sort of these n breakpoints makes the sum piecewise linear with known pieces,
        and the root is solved for on its own piece. Entries are measured from a, so huge ones stay exact.
        """
        self._check(x)
        if self._point is not None:
            return x.clamp(self._point, self._point)
        if self._equality:
            return self._project_equal(x)
        inside = x.clamp(0.0, 1.0)
        if self._sum >= self.n:
            return inside
        return torch.where(inside.sum(dim=-1, keepdim=True) <= self._sum, inside, self._project_equal(x))

    def _project_equal(self, x: Tensor) -> Tensor:
        _, capped, sign = self._like(x)
        k = math.ceil(self._sum)
        u = x.sort(dim=-1, descending=True).values
        anchor = u[..., k - 1 : k]
        u = (u - anchor).clamp(-1.0, 1.0)
        v, order = (u - capped).sort(dim=-1, descending=True)
        turn = sign[order]
        # On the piece below breakpoint j the sum is level_j - slope_j tau.
        slope = turn.cumsum(dim=-1) + (k - 1)
        level = (turn * v).cumsum(dim=-1) + (u * capped).sum(dim=-1, keepdim=True)
        piece = (level - slope * v < self._sum).sum(dim=-1, keepdim=True).sub_(1).clamp_(min=0)
        tau = (level.gather(-1, piece) - self._sum) / slope.gather(-1, piece)
        return (x - anchor - tau).clamp(0.0, 1.0)

    def minimise_linear(self, g: Tensor) -> Tensor:
        """Return 1 at the floor(total) least coefficients and the fraction left at the next.

        With inequality only negative coefficients receive anything.
        """
        self._check(g, "g")
        share = self._like(g)[0]
        spent = torch.empty_like(g).scatter_(-1, g.argsort(dim=-1), share.expand_as(g))
        return spent if self._equality else spent * (g < 0)

    def violation(self, x: Tensor) -> Tensor:
        """Return max(max_i -x_i, max_i x_i - 1, |sum x - total|, 0); the excess alone with inequality.

        Where a single point is left, its constraints are x_i = 0 or x_i = 1, and |x_i - point| counts.
        """
        self._check(x)
        if self._point is not None:
            return (x - self._point).abs().amax(dim=-1)
        bounds = torch.maximum(-x, x - 1.0).amax(dim=-1).clamp(min=0.0)
        excess = x.sum(dim=-1) - self._sum
        return torch.maximum(bounds, excess.abs() if self._equality else excess)

    def _uniform(self, count: int, generator: torch.Generator | None) -> Tensor:
        if self._point is not None:
            device = None if generator is None else generator.device
            return torch.full((count, self.n), self._point, dtype=torch.float64, device=device)
        draw = sample_equal if self._equality else sample_at_most
        return draw(count, self.n, self._sum, generator)

    def centre(self, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
        """Return (total/n, ...); with inequality (min(total/(n+1), 1/2), ...), which leaves a share unspent."""
        value = self._sum / self.n if self._equality else min(self._sum / (self.n + 1), 0.5)
        return torch.full((self.n,), value, dtype=as_dtype(dtype), device=as_device(device))

    def constraints(self, x: Any) -> list[Any]:
        """Return [x >= 0, x <= 1, sum(x) == total] (or <=); [x == 0] or [x == 1] where that is all there is."""
        self._check_expression(x)
        if self._point is not None:
            return [x == self._point]
        return [x >= 0, x <= 1, x.sum() == self._sum if self._equality else x.sum() <= self._sum]

    def rows(self) -> Rows:
        """Return the sum as the first row (an equality, or an inequality), then -x <= 0 and x <= 1."""
        eye = sparse.csr_array(sparse.eye_array(self.n))
        if self._point is not None:
            return Rows(eye, np.full(self.n, self._point), Cones(zero=self.n))
        G = sparse.csr_array(sparse.vstack([np.ones((1, self.n)), -eye, eye]))
        h = np.concatenate([[self._sum], np.zeros(self.n), np.ones(self.n)])
        equalities = int(self._equality)
        return Rows(G, h, Cones(zero=equalities, nonnegative=2 * self.n + 1 - equalities))
