"""A convex function of x at a batch of contexts, on one smooth piece: its slopes, curvature and kinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor

from decision._layer.array_local import ArrayLocal, kink_rows
from decision._layer.pieces import LAYOUT, Explored, Kinks, OnPiece, Pieces, State
from decision._minimise.stack import Stack
from socicnn.errors import ModelError

Function = Callable[[Tensor, Tensor | None], Tensor]


@final
@dataclass(frozen=True, eq=False)
class Local(OnPiece):
    """The function around points, differentiated by torch.

    Args:
        x: [x | u], shape `(contexts, columns)`, the leaf that the rest is differentiated in.
        value: f on the piece, shape `(contexts,)`.
        calls: its kinks.
    """

    x: Tensor
    value: Tensor
    calls: Sequence[Kinks]

    def lagrangian(self, mu: Tensor) -> Tensor:
        """Return f + mu'r, shape `(contexts,)`."""
        return self.value + (mu * self.rows()).sum(dim=1)

    def gradient(self, mu: Tensor) -> Tensor:
        """Return the gradient of f + mu'r in [x | u], with a graph."""
        return _gradients(self.lagrangian(mu), [self.x])[0]

    def gradients(self, mu: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return that gradient, and the slope in the output of each unit or norm, shape `(contexts, groups)`."""
        own, *slopes = _gradients(self.lagrangian(mu), [self.x, *(call.output for call in self.calls)])
        return own, [
            slope.detach().reshape(call.rows.shape[:2]) for call, slope in zip(self.calls, slopes, strict=True)
        ]

    def jacobian(self, chosen: Tensor) -> Tensor:
        """Return the gradients of chosen entries of r, shape `(contexts, K, columns)`.

        Args:
            chosen: their numbers, shape `(contexts, K)`; R for none.
        """
        r, (contexts, K) = self.rows(), chosen.shape
        if not K:
            return self.x.new_zeros(contexts, 0, self.x.shape[1])
        pick = torch.zeros(K, contexts, r.shape[1] + 1, dtype=r.dtype, device=r.device)
        pick.scatter_(2, chosen.T[..., None], 1.0)
        return _each(r, self.x, pick[..., :-1].contiguous())

    def hessian(self, mu: Tensor) -> Tensor:
        """Return the Hessian of f + mu'r in [x | u], one product of it with a vector per column."""
        gradient, (contexts, columns) = self.gradient(mu), self.x.shape
        if not gradient.requires_grad:
            return self.x.new_zeros(contexts, columns, columns)
        units = torch.eye(columns, dtype=gradient.dtype, device=gradient.device)
        H = _each(gradient, self.x, units[:, None, :].expand(columns, contexts, columns))
        return 0.5 * (H + H.mT)


def _gradients(value: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    if not value.requires_grad:
        return tuple(torch.zeros_like(tensor) for tensor in inputs)
    return torch.autograd.grad(value.sum(), inputs, create_graph=True, materialize_grads=True)


def _each(values: Tensor, x: Tensor, vectors: Tensor) -> Tensor:
    """Return the gradients of several combinations of values, shape `(contexts, combinations, columns)`."""
    (slopes,) = torch.autograd.grad(values, x, vectors, is_grads_batched=True, retain_graph=True, allow_unused=True)
    if slopes is None:
        return x.new_zeros(len(x), len(vectors), x.shape[1])
    return slopes.transpose(0, 1).detach()


@final
@dataclass(frozen=True, eq=False)
class Objective:
    """A function at contexts.

    Args:
        n: length of x.
        function: gives f at x `(contexts, n)` and theta, shape `(contexts,)`, in float64; None for that of `stack`.
        theta: contexts in float64; None without.
        stack: the networks that are the function, if it is None.
        known: what is known of its kinks.
        size: by which distances are judged, shape `(contexts, 1)`.
    """

    n: int
    function: Function | None
    theta: Tensor | None = None
    stack: Stack | None = None
    known: Explored | None = None
    size: Tensor = field(default_factory=lambda: torch.ones(1, 1))

    def take(self, rows: Tensor) -> Objective:
        """Return the function at some contexts."""
        theta = None if self.theta is None else self.theta[rows]
        stack = None if self.stack is None else self.stack.take(rows)
        known = None if self.known is None else self.known.take(rows)
        return replace(self, theta=theta, stack=stack, known=known, size=self.size[rows])

    def scales(self, x: Tensor) -> list[Tensor]:
        """Return how far the arguments of a stack's kinks reach over the set, call by call, one column per kink."""
        assert self.stack is not None  # a stack
        assert self.known is not None  # explored
        pairs = zip(kink_rows(self.stack, x[:, : self.n]), self.known.rows, strict=True)
        lengths = [torch.linalg.vector_norm(rows - other, dim=-1) for rows, other in pairs]
        return [length.mean(dim=1, keepdim=True).expand_as(length) for length in lengths]

    def value(self, x: Tensor) -> Tensor:
        """Return f, shape `(contexts,)`, without a graph; x as in `at`."""
        if self.stack is not None:
            return self.stack.value(x[:, : self.n])
        return self.at(x).value.detach()

    def at(
        self, x: Tensor, states: Sequence[State] | None = None, tolerance: float | Tensor = 0.0
    ) -> Local | ArrayLocal:
        """Evaluate on a piece.

        Args:
            x: [x | u], shape `(contexts, columns)`.
            states: the piece; None for the one that x lies on.
            tolerance: without states, what is nearer to its kink is held.
        """
        if self.function is None:
            return ArrayLocal(self.stack, x, self.known, states, tolerance)
        x = x.detach().requires_grad_()
        with Pieces(len(x), self.known, states, tolerance) as pieces:
            value = self.function(x[:, : self.n], self.theta)
        return Local(x, value, pieces.calls)

    def explored(self, x: Tensor, size: Tensor) -> Objective:
        """Return the same, knowing its kinks; nothing but x may require a gradient in it.

        Args:
            x: shape `(contexts, n)`.
            size: of the set, shape `(contexts, 1)`: the function is evaluated about as far away from x.

        Raises:
            ModelError: the argument of a kink does not hold one row per point.
        """
        # a direction that no function of a user is likely to be blind to
        away = torch.sin(1.0 + torch.arange(self.n, dtype=x.dtype, device=x.device).square())
        other = x + size * away / away.norm()
        if self.function is None:
            assert self.stack is not None  # an objective has a function or a stack
            return replace(self, size=size, known=Explored((), tuple(kink_rows(self.stack, other))))
        leaf = other.detach().requires_grad_()
        with Pieces(len(x)) as pieces:
            self.function(leaf, self.theta)
        if len(x) > 1 and pieces.calls:
            _check_rows(pieces.calls, leaf)
        return replace(
            self, size=size, known=Explored(tuple(pieces.numbers), tuple(call.rows.detach() for call in pieces.calls))
        )


def _check_rows(calls: Sequence[Kinks], x: Tensor) -> None:
    """Raise a ModelError if the first row of a kink's argument depends on other points than the first.

    An axis of units may be as long as that of points by chance.
    """
    for call in calls:
        (slope,) = torch.autograd.grad(call.rows[0].sum(), x, retain_graph=True, materialize_grads=True)
        if bool(slope[1:].any()):
            raise ModelError(LAYOUT)
