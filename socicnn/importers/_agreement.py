"""Compare a network that was read with values of what it was read from: the last step of every importer."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from socicnn._arrays import Array, as_float64
from socicnn.errors import ModelError
from socicnn.frozen._magnitude import HasAbsolute, magnitude

# relative to the size of the terms: about 160 roundings of float32, 20 of the short types
TOLERANCES = {"float64": 1e-12, "float32": 1e-5, "float16": 1e-2, "bfloat16": 8e-2}


class Imported(HasAbsolute, Protocol):
    """A frozen network that can be evaluated."""

    @property
    def in_features(self) -> int:
        """Length n of x, flattened."""

    def __call__(self, x: Any) -> Array:
        """Return f at each point."""


def disagreement(net: Imported, x: Any, values: Any, tolerance: float) -> tuple[int, float, float, float] | None:
    """Return where the network is furthest from the values, or None if |f(x) - value| <= tolerance S(x) everywhere.

    Args:
        net: the network.
        x: points, shape `(count, n)`.
        values: the original's values, shape `(count,)`.
        tolerance: relative to S, the size of the terms (`socicnn.frozen._magnitude`).

    Returns:
        The row of x, the network's value, the original's, and the difference allowed.
    """
    x, values = as_float64(x), as_float64(values)
    read = net(x)
    with np.errstate(invalid="ignore", over="ignore"):
        allowed = tolerance * magnitude(net, x)
        excess = np.abs(read - values) - allowed
    excess = np.where(np.isnan(excess), np.inf, excess)
    if (excess <= 0).all():
        return None
    at = int(np.argmax(excess))
    return at, float(read[at]), float(values[at]), float(allowed[at])


def demand(net: Imported, check: tuple[Any, Any], tolerance: float, what: str) -> None:
    """Raise a ModelError if the network differs from values that a user took from the original.

    Args:
        net: the network.
        check: points x, shape `(count, n)`, and their values, shape `(count,)`.
        tolerance: relative to the size of the terms.
        what: what was read, and which arguments say how, for the message.
    """
    x, values = points_and_values(check, net.in_features)
    far = disagreement(net, x, values, tolerance)
    if far is not None:
        at, read, original, allowed = far
        raise ModelError(
            f"the network read differs from the values given in check: at row {at} it has {read:.9g}, the original "
            f"{original:.9g} (difference allowed: {allowed:.1e}); {what}"
        )


def points_and_values(check: tuple[Any, Any], n: int) -> tuple[Array, Array]:
    """Return the points of `check`, shape `(count, n)`, and its values, shape `(count,)`.

    Raises:
        ModelError: it is not such a pair, or holds no points.
    """
    try:
        x, values = (as_float64(part) for part in check)
    except (TypeError, ValueError) as error:
        raise ModelError(f"check must be a pair (x, f) of points and the original's values at them: {error}") from error
    x = x[None] if x.ndim == 1 else x
    values = values.reshape(-1)
    if x.ndim != 2 or x.shape[1] != n or len(x) != len(values) or not len(x):
        raise ModelError(
            f"check must be a pair (x, f) of shapes (count, {n}) and (count,); received {x.shape} and {values.shape}"
        )
    if not (np.isfinite(x).all() and np.isfinite(values).all()):
        raise ModelError("check holds non-finite numbers; give points and values that are finite")
    return x, values
