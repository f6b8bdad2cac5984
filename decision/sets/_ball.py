"""Balls of the 2-, 1- and max-norm, whose centre and radius may move with the context."""

from __future__ import annotations

from typing import Any, Literal, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decision.sets._base import FeasibleSet
from decision.sets._box import Box
from decision.sets._conic_set import ConicSet, ConicSystem, Span
from decision.sets._moving import Moving, radius_of, refuse_infinite
from decision.sets._oracles import OracleSet
from decision.sets._simplex import Simplex
from socicnn._arrays import Array
from socicnn._moved import accepts_renamed
from socicnn.conic._cones import Cones
from socicnn.errors import ProgramError

Norm = Literal["2", "1", "inf"]


@final
class Ball(ConicSet):
    """The ball {x in R^n : ||x - centre|| <= radius} of the 2-norm, the 1-norm or the max-norm.

    Args:
        n: length of x.
        radius: a number >= 0, one per context (shape `(contexts, 1)`), or an `Affine` map of theta with one output.
        centre: a number, shape `(n,)`, `(contexts, n)`, or an `Affine`; the origin by default.
        norm: "2", "1" or "inf"; the numbers 2, 1 and infinity will do, too.

    Raises:
        ProgramError: the norm is unknown, shapes disagree, or a radius that does not move is negative or not finite.

    >>> Ball(2, 5.0).fixed().project(torch.tensor([6.0, 8.0]))
    tensor([3., 4.])
    """

    name = "ball"

    @accepts_renamed(center="centre")
    def __init__(self, n: int, radius: Any = 1.0, centre: Any = 0.0, norm: Norm | float = "2") -> None:
        super().__init__(n)
        kinds = {"2": "2", "1": "1", "inf": "inf", "2.0": "2", "1.0": "1"}
        if str(norm) not in kinds:
            raise ProgramError(f"norm of a Ball must be '2', '1' or 'inf'; received {norm!r}")
        self._norm = kinds[str(norm)]
        self._radius = radius_of(radius, "a Ball")
        self._centre = Moving.of(centre, self.n, "centre")
        refuse_infinite(self._centre, "centre of a Ball")

    def build(self) -> ConicSystem:
        """Return one cone for the 2-norm, 2 n planes for the max-norm, 2 n + 1 planes on [x | t] for the 1-norm."""
        n, eye = self.n, np.eye(self.n)
        h = Moving.joined([self._radius, self._centre])
        places = 1 + np.arange(n)
        if self._norm == "2":
            G = sparse.csr_array(np.vstack([np.zeros((1, n)), -eye]))
            ends = Span(np.arange(n), places, 0, -1.0, np.ones(n))
            return ConicSystem(G, h.mapped(np.diag([1.0, *[-1.0] * n])), Cones(second_order=(n + 1,)), (ends,))
        if self._norm == "inf":
            sums = np.block([[np.ones((n, 1)), eye], [np.ones((n, 1)), -eye]])
            return ConicSystem.inequalities(np.vstack([eye, -eye]), h.mapped(sums))
        G = np.block([[np.zeros((1, n)), np.ones((1, n))], [eye, -eye], [-eye, -eye]])
        right = h.mapped(
            np.block([[np.ones((1, 1)), np.zeros((1, n))], [np.zeros((n, 1)), eye], [np.zeros((n, 1)), -eye]])
        )
        reach = (Span(np.arange(n), places, 0, 1.0, np.ones(n)), Span(n + np.arange(n), None, 0, 1.0, np.ones(n)))
        return ConicSystem(sparse.csr_array(G), right, Cones(nonnegative=2 * n + 1), reach)

    def fixed(self) -> FeasibleSet | None:
        """Return the ball with exact oracles; None if it moves."""
        if self.moves:
            return None
        r, c = float(self._radius.table[0, 0].detach()), self._centre.table[0].detach()
        if self._norm == "inf":
            return Box(self.n, -_sum_upward(-c.numpy(), r), _sum_upward(c.numpy(), r))
        project, minimise = (_round, _round_end) if self._norm == "2" else (_cross, _cross_end)

        def projected(x: Tensor) -> Tensor:
            middle = c.to(x)
            return middle + project(x - middle, r)

        def minimised(g: Tensor) -> Tensor:
            return c.to(g) + minimise(g, r)

        return OracleSet(self.n, projected, minimised, rows=self.rows(), name=self.name)


def _sum_upward(c: Array, r: float) -> Array:
    """Return c + r, rounded up: a box must not be smaller than the ball; sums that are floats stay as they are."""
    total = c + r
    part = total - c
    error = (c - (total - part)) + (r - part)  # exactly c + r - total (Knuth's two-sum)
    return np.where(error > 0.0, np.nextafter(total, np.inf), total)


def _round(y: Tensor, r: float) -> Tensor:
    """Return y, cut to length r; divided by its largest entry first, whose square may overflow."""
    largest = y.abs().amax(dim=-1, keepdim=True)
    unit = y / torch.where(largest > 0, largest, 1.0)
    length = torch.linalg.vector_norm(unit, dim=-1, keepdim=True)
    inside = largest * length <= r
    return torch.where(inside, y, unit * (r / torch.where(length > 0, length, 1.0)))


def _round_end(g: Tensor, r: float) -> Tensor:
    largest = g.abs().amax(dim=-1, keepdim=True)
    unit = g / torch.where(largest > 0, largest, 1.0)
    length = torch.linalg.vector_norm(unit, dim=-1, keepdim=True)
    return -r * unit / torch.where(length > 0, length, 1.0)


def _cross(y: Tensor, r: float) -> Tensor:
    """Return the projection onto ||y||_1 <= r: that of |y| onto the simplex of size r, with the signs of y."""
    if r == 0.0:
        return torch.zeros_like(y)
    inside = y.abs().sum(dim=-1, keepdim=True) <= r
    return torch.where(inside, y, y.sign() * r * Simplex(y.shape[-1]).project(y.abs() / r))


def _cross_end(g: Tensor, r: float) -> Tensor:
    place = g.abs().argmax(dim=-1, keepdim=True)
    return torch.zeros_like(g).scatter_(-1, place, -r * g.gather(-1, place).sign())
