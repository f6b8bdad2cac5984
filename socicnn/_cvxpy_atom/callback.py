"""Parameters that follow a context: b, q, d and r of the program, computed once per value of theta."""

from __future__ import annotations

from typing import Any, final

import cvxpy as cp
import numpy as np

from socicnn._arrays import Array
from socicnn._compile import Piece
from socicnn._cvxpy_atom.context_program import ContextProgram
from socicnn.errors import ModelError


@final
class Following:
    """The moved pieces at the value that a context has now; None while it has none.

    Args:
        map: the program as a function of the context.
        context: CVXPY expression without variables, of the context's shape.
    """

    def __init__(self, map: ContextProgram, context: Any) -> None:
        self._map, self._context = map, context
        self._last: tuple[bytes, dict[Piece, Array]] | None = None

    def now(self, name: Piece) -> Array | None:
        """Return one piece."""
        value = self._context.value
        if value is None:
            return None
        theta = np.asarray(value, dtype=np.float64).reshape(self._map.context_shape)
        if self._last is None or self._last[0] != theta.tobytes():
            self._last = theta.tobytes(), self._map.at(theta)
        return self._last[1][name]


@final
class _Piece:
    """One piece of `Following` as a callback; a class, so that a problem can be pickled."""

    def __init__(self, following: Following, name: Piece) -> None:
        self._following, self._name = following, name

    def __call__(self) -> Array | None:
        return self._following.now(self._name)


def following(map: ContextProgram, context: Any) -> list[cp.Parameter]:
    """Return a Parameter per moved piece, in the order of `map.moved`.

    Raises:
        ModelError: the context has another shape.
    """
    shape, received = map.context_shape, tuple(context.shape)
    if received != shape and not (received == () and shape == (1,)):
        raise ModelError(f"context must have shape {shape} or (contexts, *{shape}); received {received}")
    source = Following(map, context)
    label = context.name()
    return [
        cp.CallbackParam(_Piece(source, name), size, name=f"{name}({label})")
        for name, size in zip(map.moved, map.sizes, strict=True)
    ]
