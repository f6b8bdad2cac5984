"""Sizes of cones given as a list, or as numbers of NumPy's, as plain integers; claims hold these already."""

from __future__ import annotations

import operator
from typing import Any

from socicnn.errors import ProgramError


def as_integers(cones: Any) -> None:
    """Make the sizes of cones integers, in a tuple, so that equal cones compare as equal.

    Raises:
        ProgramError: one is no integer.
    """
    try:
        plain = {name: operator.index(getattr(cones, name)) for name in ("zero", "nonnegative", "exponential")}
        second = tuple(map(operator.index, cones.second_order))
    except TypeError:
        raise ProgramError(
            f"cone sizes must be integers, second_order a tuple of them such as (3,); received {cones}"
        ) from None
    for name, value in {**plain, "second_order": second}.items():
        object.__setattr__(cones, name, value)  # a frozen class
