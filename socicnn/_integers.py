"""Numbers of any kind: Python's, NumPy's, torch's; integers, those of a grid or of a search among them."""

from __future__ import annotations

import operator
from typing import Any

from socicnn.errors import ModelError


def is_number(value: Any) -> bool:
    """Return whether a value is one real number of any type; text is not, even if it reads as a number.

    >>> import numpy as np
    >>> [is_number(value) for value in (3, np.float32(0.5), np.array(2.0), "3", None, [1.0], 1j)]
    [True, True, True, False, False, False, False]
    """
    if isinstance(value, str | bytes) or getattr(value, "ndim", 0) != 0:
        return False
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError):  # torch's for complex numbers is a RuntimeError
        return False
    return True


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer of any type; booleans are not.

    >>> import numpy as np
    >>> [is_integer(value) for value in (3, np.int64(3), np.arange(3)[1], True, 3.0, "3")]
    [True, True, True, False, False, False]
    """
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        return False
    try:
        operator.index(value)
    except (TypeError, ValueError):
        return False
    return True


def as_integer(name: str, value: Any, minimum: int | None = 1, *, error: type[Exception] = ModelError) -> int:
    """Return a Python int.

    Args:
        name: of the argument, for the message.
        value: what was given.
        minimum: least value allowed; None for no limit.
        error: what to raise.

    Raises:
        ModelError: it is not an integer, or below the minimum; another class if `error` names one.

    >>> as_integer("epochs", 3)
    3
    >>> as_integer("epochs", 2.5)
    Traceback (most recent call last):
    ...
    socicnn.errors.ModelError: epochs must be an integer >= 1; received 2.5
    """
    if not is_integer(value) or (minimum is not None and operator.index(value) < minimum):
        least = "" if minimum is None else f" >= {minimum}"
        raise error(f"{name} must be an integer{least}; received {value!r}")
    return operator.index(value)


def as_seed(name: str, value: Any, *, error: type[Exception] = ModelError) -> int:
    """Return a seed that torch takes: an integer in [-2^63, 2^64).

    Raises:
        ModelError: it is not such an integer; another class if `error` names one.

    >>> as_seed("seed", 7)
    7
    """
    seed = as_integer(name, value, None, error=error)
    if not -(2**63) <= seed < 2**64:
        raise error(f"{name} must lie in [-2^63, 2^64); received {seed}")
    return seed
