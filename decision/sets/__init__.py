"""Feasible sets: what a decision may be."""

from typing import Any

from decision.sets._base import FeasibleSet
from decision.sets._box import Box
from decision.sets._budget import Budget
from decision.sets._simplex import Simplex
from socicnn._registry import Registry
from socicnn.errors import ProgramError

__all__ = ["Box", "Budget", "FeasibleSet", "Simplex", "make", "names"]

_SETS: Registry[type[FeasibleSet]] = Registry(
    "set", {kind.name: kind for kind in (Simplex, Box, Budget)}, error=ProgramError
)


def names() -> list[str]:
    """Return the names that `make` knows."""
    return _SETS.names()


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
    made: FeasibleSet = _SETS.make(_SETS.known(name), n, **options)
    return made
