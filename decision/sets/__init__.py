"""Feasible sets: what a decision may be."""

from typing import Any

from decision.sets.base import FeasibleSet
from decision.sets.box import Box
from decision.sets.budget import Budget
from decision.sets.simplex import Simplex
from socicnn.errors import ProgramError

__all__ = ["Box", "Budget", "FeasibleSet", "Simplex", "make", "names"]

_SETS: dict[str, type[FeasibleSet]] = {kind.name: kind for kind in (Simplex, Box, Budget)}


def names() -> list[str]:
    """Return the names that `make` knows."""
    return list(_SETS)


def make(name: str, n: int, **options: Any) -> FeasibleSet:
    """Return the set of that name.

    Args:
        name: one of `names()`.
        n: length of x.
        options: arguments of the set: `lower` and `upper` of a box, `total` and `equality` of a budget.

    Raises:
        ProgramError: the name is unknown, an option does not belong to the set, or the set is empty or unbounded.

    >>> make("budget", 10, total=3.0)
    Budget(n=10, total=3.0, equality=True)
    """
    if name not in _SETS:
        raise ProgramError(f"unknown set {name!r}; choose one of {', '.join(_SETS)}")
    try:
        return _SETS[name](n, **options)
    except TypeError as error:
        raise ProgramError(f"the set {name!r} cannot be made with {sorted(options)}: {error}") from error
