"""The smooth piece of a convex torch module around a point: which kinks x sits at, and on which side of the others.

While `Pieces` is entered, relu(a) is a, 0 or held at its kink a = 0, as a state says, and so is a Euclidean norm at
u = 0. What is evaluated is then one smooth function of x, of the weights and of the context, and the arguments of the
kinks are recorded, to be held at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from decision._minimise.kinks import RELUS, depends, in_known_kinks, is_unknown
from socicnn.errors import ModelError

LAYOUT = (
    "relu, or a norm, takes an argument of which row i does not belong to point i, so that its kinks cannot be told "
    "apart; compute with one row per point, x @ W.T in place of W @ x.T"
)
UNKNOWN = (
    "the module calls {} on what depends on x, and the layer does not see its kinks: a gradient there could be wrong; "
    "write it in relu, abs, maximum, clamp(min=...), Euclidean norms or torch.logsumexp"
)


@final
@dataclass(frozen=True, eq=False)
class Kinks:
    """One call of relu or of a norm with an argument that depends on x.

    Args:
        rows: its argument, one group of entries per unit or norm, shape `(contexts, groups, group)`.
        output: what it gave, before any reshaping.
        root: whether it is a norm.
        scale: how far the arguments reach over the set, shape `(contexts, 1)`.
        state: on which side of the kink it was evaluated.
    """

    rows: Tensor
    output: Tensor
    root: bool
    scale: Tensor
    state: State

    @property
    def above(self) -> Tensor:
        """Whether each unit is on, shape `(contexts, groups)`; true for norms."""
        return above(self.rows.detach(), self.root)

    def near(self, tolerance: float | Tensor) -> Tensor:
        """Return which groups are at their kink, relative to `scale`."""
        return torch.linalg.vector_norm(self.rows.detach(), dim=-1) <= tolerance * self.scale

    @property
    def held_rows(self) -> Tensor:
        """Whether each entry of `rows` is held, shape `(contexts, groups * group)`."""
        return self.state.held[..., None].expand(self.rows.shape).flatten(1)


def above(rows: Tensor, root: bool) -> Tensor:
    """Return whether each unit is on; true for norms."""
    return torch.ones_like(rows[..., 0], dtype=torch.bool) if root else rows[..., 0] > 0


@final
@dataclass(frozen=True, eq=False)
class State:
    """On which side of its kink each group of one call is.

    Args:
        on: shape `(contexts, groups)`.
        held: held at the kink, whatever `on` says.
    """

    on: Tensor
    held: Tensor

    def take(self, rows: Tensor) -> State:
        """Return the state of some contexts."""
        return State(self.on[rows], self.held[rows])

    def put(self, rows: Tensor, other: State) -> None:
        """Overwrite the state of some contexts."""
        self.on[rows], self.held[rows] = other.on, other.held


class OnPiece:
    """A function around points, one row per context; the entries of all kinks' arguments are numbered through."""

    x: Tensor  # [x | u], shape `(contexts, columns)`
    calls: Sequence[Kinks]

    @property
    def at(self) -> Tensor:
        """The points, without a graph."""
        return self.x.detach()

    def rows(self) -> Tensor:
        """Return r, the arguments of all kinks, shape `(contexts, R)`."""
        return torch.cat([self.x.new_zeros(len(self.x), 0), *(call.rows.flatten(1) for call in self.calls)], dim=1)

    def held(self) -> Tensor:
        """Return which entries of r are held at zero, shape `(contexts, R)`."""
        none = torch.zeros(len(self.x), 0, dtype=torch.bool, device=self.x.device)
        return torch.cat([none, *(call.held_rows for call in self.calls)], dim=1)


@final
@dataclass(frozen=True, eq=False)
class Explored:
    """What is known of a function's calls before its pieces are looked for.

    Args:
        numbers: of the calls whose argument depends on x.
        rows: their arguments at another point of about the set's size, in the shape of `Kinks.rows`.
    """

    numbers: tuple[int, ...]
    rows: tuple[Tensor, ...]

    def take(self, rows: Tensor) -> Explored:
        """Return the same for some contexts."""
        return Explored(self.numbers, tuple(argument[rows] for argument in self.rows))


@final
class Pieces(TorchFunctionMode):
    """While it is entered, kinks of x follow their states, and are recorded.

    Args:
        contexts: length of the first axis of everything that depends on x.
        known: which calls to record; None to record those whose argument requires a gradient.
        states: of each recorded call; None to follow the arguments.
        tolerance: without states, what is nearer to its kink is held, relative to its reach over the set.
    """

    def __init__(
        self,
        contexts: int,
        known: Explored | None = None,
        states: Sequence[State] | None = None,
        tolerance: float | Tensor = 0.0,
    ) -> None:
        super().__init__()
        self._contexts, self._known, self._states, self._tolerance = contexts, known, states, tolerance
        self._count = 0
        self.calls: list[Kinks] = []
        self.numbers: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace what has a kink, pass on the rest."""
        kwargs = kwargs or {}
        root = func is torch.linalg.vector_norm and len(args) == 1 and "ord" not in kwargs
        if not (root or func in RELUS):
            rewritten = in_known_kinks(func, args, kwargs)
            if rewritten is not None:
                with self:
                    return rewritten()
            if self._known is None and is_unknown(func) and depends((*args, *kwargs.values())):
                raise ModelError(UNKNOWN.format(getattr(func, "__name__", func)))
            return func(*args, **kwargs)
        if not args or not self._moves(args[0]):
            return func(*args, **kwargs)
        if root:
            return self._norm(func, args, kwargs)
        return self._unit(args[0])

    def _moves(self, argument: Any) -> bool:
        """Return whether a call's argument depends on x."""
        number, self._count = self._count, self._count + 1
        if self._known is not None:
            moves = number in self._known.numbers
        else:
            moves = isinstance(argument, Tensor) and argument.requires_grad
            if moves and (not argument.ndim or len(argument) != self._contexts):
                raise ModelError(LAYOUT)
        if moves:
            self.numbers.append(number)
        return moves

    def _placed(self, rows: Tensor, root: bool) -> tuple[Tensor, State]:
        return placed(rows, root, len(self.calls), self._known, self._states, self._tolerance)

    def _unit(self, a: Tensor) -> Tensor:
        rows = a.reshape(len(a), -1, 1)
        scale, state = self._placed(rows, root=False)
        output = a * (state.on & ~state.held).reshape(a.shape)
        self.calls.append(Kinks(rows, output, False, scale, state))
        return output

    def _norm(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if len(args) != 1 or set(kwargs) - {"dim", "keepdim"}:
            self.numbers.pop()  # another norm, which `decide` refuses
            return func(*args, **kwargs)
        argument, dim = args[0], kwargs.get("dim")
        named = range(argument.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
        axes = sorted({axis % argument.ndim for axis in named})
        if 0 in axes:
            raise ModelError(LAYOUT)
        groups = argument.movedim(axes, tuple(range(-len(axes), 0))).flatten(-len(axes))
        rows = groups.flatten(1, -2) if groups.ndim > 2 else groups[:, None, :]
        scale, state = self._placed(rows, root=True)
        zero = state.held | (rows.detach() == 0).all(dim=-1)  # the slope at zero is 0, not NaN
        square = rows.square().sum(dim=-1)
        length = torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt())
        output = length.reshape(groups.shape[:-1])
        for axis in axes if kwargs.get("keepdim") else ():
            output = output.unsqueeze(axis)
        self.calls.append(Kinks(rows, output, True, scale, state))
        return output


def placed(
    rows: Tensor,
    root: bool,
    place: int,
    known: Explored | None,
    states: Sequence[State] | None,
    tolerance: float | Tensor,
) -> tuple[Tensor, State]:
    """Return the scale of a call's kinks and their state: the one given, or the one that its arguments say.

    Args:
        rows: arguments, shape `(contexts, groups, group)`.
        root: whether it is a norm.
        place: number of the call among those that depend on x.
        known: the arguments elsewhere.
        states: of all calls, or None.
        tolerance: without states, what is nearer to its kink is held, relative to the scale.
    """
    rows = rows.detach()
    other = torch.zeros_like(rows) if known is None else known.rows[place]
    scale = torch.linalg.vector_norm(rows - other, dim=-1).mean(dim=1, keepdim=True)
    if states is not None:
        return scale, states[place]
    return scale, State(above(rows, root), torch.linalg.vector_norm(rows, dim=-1) <= tolerance * scale)
