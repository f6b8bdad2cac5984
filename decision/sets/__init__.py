"""Feasible sets: what a decision may be."""

from typing import Any, TypedDict, Unpack

from decision.sets._ball import Ball
from decision.sets._base import FeasibleSet
from decision.sets._box import Box
from decision.sets._budget import Budget
from decision.sets._combined import Intersection, Product
from decision.sets._conic_set import ConicSet
from decision.sets._cvxpy_set import CvxpySet
from decision.sets._ellipsoid import Ellipsoid
from decision.sets._horizon import Horizon
from decision.sets._moving import Affine
from decision.sets._oracles import OracleSet, OwnSet
from decision.sets._polytope import Polytope
from decision.sets._simplex import Simplex
from decision.sets._spec import read_set, set_of
from socicnn._registry import Registry
from socicnn.errors import ProgramError

__all__ = [
    "Affine",
    "Ball",
    "Box",
    "Budget",
    "ConicSet",
    "CvxpySet",
    "Ellipsoid",
    "FeasibleSet",
    "Horizon",
    "Intersection",
    "OracleSet",
    "OwnSet",
    "Polytope",
    "Product",
    "Simplex",
    "make",
    "names",
    "read_set",
    "set_of",
]

_SETS: Registry[type[FeasibleSet]] = Registry(
    "set", {kind.name: kind for kind in (Simplex, Box, Budget)}, error=ProgramError
)


class SetSettings(TypedDict, total=False):
    """The arguments of all sets that `make` knows, for editors and type checkers."""

    lower: Any  # box: one number, or one per coordinate
    upper: Any
    total: float  # budget
    equality: bool


def names() -> list[str]:
    """Return the names that `make` knows."""
    return _SETS.names()


def make(name: str, n: int, **options: Unpack[SetSettings]) -> FeasibleSet:
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
