"""The face that a decision lies on: what holds x, the linear system there, and what to hold next.

On a face the decision solves grad f + mu'grad r + y'grad c = 0, r = 0, c = 0, with r the kinks and c the constraints
that hold x. A unit belongs on its kink while 0 <= mu <= q, q being the slope of f in its output, a norm while
||mu|| <= q, an inequality while y >= 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from decision._layer.array_local import ArrayLocal
from decision._layer.numbered import gathered, numbers_of, scattered
from decision._layer.objective import Local
from decision._layer.pieces import Kinks, State
from decision._layer.rows import SetRows
from decision._layer.system import FaceSystem

ROUGH = 1e-5  # of the set's size: nearer to a kink is held at first
SMALL = 1e-8  # of the set's size: a step of this length ends, as the next would have its square
EXACT = 1e-10  # of the size of set or function: nearer to a kink is on it
SLACK = 1e-9  # of multipliers, relative to the largest


@final
@dataclass(frozen=True, eq=False)
class Face:
    """What holds x in each context.

    Args:
        states: of the kinks, call by call.
        held: of the set's constraints, shape `(contexts, count)`.
    """

    states: Sequence[State]
    held: Tensor

    @classmethod
    def of(cls, local: Local | ArrayLocal, rows: SetRows, h: Tensor, distance: Tensor) -> Face:
        """Return the face on which a function was evaluated, and what of the set is within a distance of x."""
        return cls([call.state for call in local.calls], rows.near(local.at, h, distance))

    def take(self, rows: Tensor) -> Face:
        """Return the faces of some contexts."""
        return Face([state.take(rows) for state in self.states], self.held[rows])

    def same(self, other: Face) -> Tensor:
        """Return in which contexts two faces are the same."""
        same = (self.held == other.held).all(dim=1)
        for a, b in zip(self.states, other.states, strict=True):
            same &= ((a.held == b.held) & (a.held | (a.on == b.on))).all(dim=1)
        return same


@final
@dataclass(frozen=True, eq=False)
class ActiveRows:
    """What holds x, numbered, and its gradients.

    Args:
        kinks: numbers of the entries of r that are held, R for padding, shape `(contexts, K)`.
        constraints: the same of the set's constraints.
        A: gradients of both, shape `(contexts, held, columns)`.
        columns: coordinate that each of them fixes if its gradient has a single entry, else the number of columns.
        sizes: number R of all entries of r, and number of all constraints.
    """

    kinks: Tensor
    constraints: Tensor
    A: Tensor
    columns: Tensor
    sizes: tuple[int, int]

    @classmethod
    def of(cls, local: Local | ArrayLocal, rows: SetRows, h: Tensor, held: Tensor) -> ActiveRows:
        """Return what holds x: the kinks of a function on its face, and these constraints of a set."""
        kinks, constraints = numbers_of(local.held()), numbers_of(held)
        A = torch.cat([local.jacobian(kinks), gathered(rows.jacobian(local.at, h), constraints)], dim=1)
        single = torch.cat([rows.columns, rows.columns.new_full((1,), A.shape[2])])[constraints]
        columns = torch.cat([torch.full_like(kinks, A.shape[2]), single], dim=1)
        return cls(kinks, constraints, A, columns, (local.held().shape[1], rows.count))

    def system(self, H: Tensor) -> FaceSystem:
        """Return the factorised system with this Hessian."""
        return FaceSystem(H, self.A, self.columns)

    def multipliers(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Return the least-norm mu and y that balance the gradient of f best."""
        identity = torch.eye(self.A.shape[2], dtype=self.A.dtype, device=self.A.device).expand(len(self.A), -1, -1)
        _, dual = self.system(identity).solve(-gradient, self.A.new_zeros(self.A.shape[:2]))
        return self.spread(dual)

    def residual(self, local: Local | ArrayLocal, rows: SetRows, h: Tensor) -> Tensor:
        """Return the entries of r and c that are to be zero, shape `(contexts, held)`, with their graph."""
        return torch.cat([gathered(local.rows(), self.kinks), gathered(rows.values(local.x, h), self.constraints)], 1)

    def spread(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return values of what is held at their places among all entries of r and all constraints."""
        own = self.kinks.shape[1]
        kinks, constraints = values[:, :own], values[:, own:]
        return scattered(kinks, self.kinks, self.sizes[0]), scattered(constraints, self.constraints, self.sizes[1])


def revised(
    local: Local | ArrayLocal,
    slopes: Sequence[Tensor],
    rows: SetRows,
    h: Tensor,
    face: Face,
    mu: Tensor,
    y: Tensor,
    size: Tensor,
) -> tuple[Face, Tensor, Tensor]:
    """Return what is to be held next, and the multipliers of that.

    Args:
        local: the function after a step on the face.
        slopes: in the output of each unit or norm.
        rows: the set.
        h: its right-hand sides.
        face: what was held.
        mu: multipliers of the kinks.
        y: multipliers of the constraints.
        size: of set or function, shape `(contexts, 1)`.

    Source: Hintermueller, Ito and Kunisch, "The primal-dual active set strategy as a semismooth Newton method" (2002).
    """
    sizes = [call.rows.shape[1] * call.rows.shape[2] for call in local.calls]
    states, kept = [], []
    for call, slope, own in zip(local.calls, slopes, mu.split(sizes, dim=1) if sizes else (), strict=True):
        groups = own.reshape(call.rows.shape)
        state = _revised(call, slope, groups)
        states.append(state)
        kept.append(torch.where(state.held[..., None], groups, 0.0).flatten(1))
    held = rows.revised(local.at, h, face.held, y, EXACT * size, SLACK)
    return Face(states, held), torch.cat(kept, dim=1) if kept else mu, torch.where(held, y, 0.0)


def _revised(call: Kinks, slope: Tensor, mu: Tensor) -> State:
    """Return the next state of one call, whose groups have the multipliers mu `(contexts, groups, group)`."""
    state, most = call.state, slope.abs()
    tolerance = SLACK * most.amax(dim=1, keepdim=True)
    if call.root:
        return State(state.on, state.held & (torch.linalg.vector_norm(mu, dim=-1) <= most + tolerance))
    mu = mu[..., 0]
    inside = (mu >= -tolerance) & (mu <= most + tolerance)
    crossed = (call.above != state.on) & ~call.near(EXACT)
    return State(torch.where(state.held, mu > 0.5 * most, state.on), torch.where(state.held, inside, crossed))
