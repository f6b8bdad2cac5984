"""A context that is a Parameter of CVXPY: pieces follow its value, and pass the derivatives of a solution on to it."""

from __future__ import annotations

from functools import partial
from typing import Any, final

import cvxpy as cp
import numpy as np
import torch
from cvxpy.atoms.affine.index import index, special_index

from socicnn._arrays import Array, IntArray
from socicnn._compile import Piece
from socicnn._cvxpy_atom.context_program import ContextProgram
from socicnn.errors import ModelError


@final
class _Following:
    """The moved pieces at the value that a context, a CVXPY expression, has now; None while it has none."""

    def __init__(self, map: ContextProgram, context: Any) -> None:
        self._map, self._context = map, context
        self._last: tuple[bytes, dict[Piece, Array]] | None = None

    def now(self, name: Piece) -> Array | None:
        """Return one piece."""
        theta = self._theta()
        if theta is None:
            return None
        if self._last is None or self._last[0] != theta.tobytes():
            self._last = theta.tobytes(), self._map.at(theta)
        return self._last[1][name]

    def pull(self, name: Piece, gradient: Array) -> None:
        """Add what a gradient with respect to one piece means for the Parameter that the context is."""
        theta = torch.tensor(self._theta(), requires_grad=True)
        moved = torch.as_tensor(np.asarray(gradient, dtype=np.float64).reshape(-1))
        piece = self._map.differentiable(theta)[name]  # where the model is
        (own,) = torch.autograd.grad(piece, theta, moved.to(piece))
        parameter, places = self._parameter()
        total = np.zeros(parameter.size)
        total[places] = own.numpy().reshape(-1)
        before = 0.0 if parameter.gradient is None else parameter.gradient
        parameter.gradient = before + total.reshape(parameter.shape)

    def push(self, name: Piece) -> Array | None:
        """Return how one piece changes with the Parameter that the context is; None if that does not change."""
        if all(parameter.delta is None for parameter in self._context.parameters()):
            return None
        parameter, places = self._parameter()
        entries = np.asarray(parameter.delta, dtype=np.float64).reshape(-1)[places]
        change = torch.as_tensor(entries.reshape(self._map.context_shape))
        theta = torch.as_tensor(self._theta())
        moved = torch.autograd.functional.jvp(lambda t: self._map.differentiable(t)[name], theta, change)[1]
        return np.asarray(moved.cpu().numpy())

    def _theta(self) -> Array | None:
        value = self._context.value
        return None if value is None else np.asarray(value, dtype=np.float64).reshape(self._map.context_shape)

    def _parameter(self) -> tuple[cp.Parameter, IntArray]:
        """Return the Parameter that the context is, or is an entry or row of, and the places of its entries there.

        Raises:
            ModelError: it is another expression.
        """
        context = self._context
        if isinstance(context, cp.Parameter):
            return context, np.arange(context.size)
        if isinstance(context, index | special_index) and isinstance(context.args[0], cp.Parameter):
            parameter = context.args[0]
            numbered = cp.Constant(np.arange(parameter.size).reshape(parameter.shape))
            return parameter, np.asarray(context.copy([numbered]).value, dtype=np.int64).reshape(-1)
        raise ModelError(
            f"derivatives pass to a context that is a Parameter, or a row of one; received {context}: make it a "
            "Parameter, or use ContextParameters"
        )


@final
class MovedPiece(cp.CallbackParam):
    """A piece that follows a context, and passes the derivatives of a solution on to it.

    CVXPY gives every Parameter its gradient, and asks each for its change.
    """

    def __init__(self, source: _Following, piece: Piece, size: int, name: str) -> None:
        self._source, self._piece, self._gradient = source, piece, None
        super().__init__(partial(source.now, piece), size, name=name)

    @property
    def gradient(self) -> Any:
        """The gradient with respect to this piece."""
        return self._gradient

    @gradient.setter
    def gradient(self, value: Any) -> None:
        self._gradient = value
        if value is not None:
            self._source.pull(self._piece, value)

    @property
    def delta(self) -> Any:
        """How the piece changes with the context."""
        return self._source.push(self._piece)

    @delta.setter
    def delta(self, value: Any) -> None:
        """Set nothing: the change is the context's."""


def following(map: ContextProgram, context: Any) -> list[cp.Parameter]:
    """Return a Parameter per moved piece, in the order of `map.moved`.

    Raises:
        ModelError: the context has another shape.
    """
    shape, received = map.context_shape, tuple(context.shape)
    if received != shape and not (received == () and shape == (1,)):
        raise ModelError(f"context must have shape {shape} or (contexts, *{shape}); received {received}")
    source = _Following(map, context)
    label = context.name()
    return [MovedPiece(source, name, size, f"{name}({label})") for name, size in zip(map.moved, map.sizes, strict=True)]
