"""Products and intersections of sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from decision.sets._base import FeasibleSet
from decision.sets._conic_set import ConicSet, ConicSystem
from decision.sets._oracles import OracleSet
from decision.sets._recognised import recognised
from socicnn._arrays import IntArray
from socicnn.errors import ProgramError


@final
class Product(ConicSet):
    """The product {x = [x_1 | x_2 | ...] : x_k in X_k}: decisions that do not limit each other.

    Args:
        sets: the factors, of `decision.sets`.

    Raises:
        ProgramError: there are no factors, or one is not a set.

    >>> from decision.sets import Box, Simplex
    >>> Product([Simplex(2), Box(1, 0.0, 5.0)]).fixed().minimise_linear(torch.tensor([1.0, 2.0, -1.0]))
    tensor([1., 0., 5.])
    """

    name = "product"

    def __init__(self, sets: Sequence[FeasibleSet | ConicSet]) -> None:
        self._sets = _checked(sets, "Product")
        self.detached = detached_of(self._sets)
        super().__init__(sum(member.n for member in self._sets))

    def build(self) -> ConicSystem:
        """Return the rows of all factors, side by side."""
        places = np.split(np.arange(self.n), np.cumsum([member.n for member in self._sets])[:-1])
        return ConicSystem.stacked(rows_of(self._sets, places, self.n))

    def fixed(self) -> FeasibleSet | None:
        """Return the product with the oracles of its factors; None if one of them moves or has none."""
        known = [member if isinstance(member, FeasibleSet) else member.fixed() for member in self._sets]
        if any(member is None for member in known):
            return None
        factors = [member for member in known if member is not None]
        sizes = [member.n for member in factors]

        def blocks(oracle: str, x: Tensor) -> Tensor:
            pieces = zip(factors, x.split(sizes, dim=-1), strict=True)
            return torch.cat([getattr(member, oracle)(piece) for member, piece in pieces], dim=-1)

        return OracleSet(
            self.n,
            lambda x: blocks("project", x),
            lambda g: blocks("minimise_linear", g),
            rows=self.rows(),
            centre=torch.cat([member.centre() for member in factors]),
            name=self.name,
        )


@final
class Intersection(ConicSet):
    """The intersection {x : x in X_k for every k} of sets of the same length.

    Args:
        sets: of `decision.sets`, each with the same n.

    Raises:
        ProgramError: there are no sets, or their lengths differ.

    >>> from decision.sets import Ball, Simplex
    >>> Intersection([Simplex(3), Ball(3, 0.8)])
    Intersection(n=3)
    """

    name = "intersection"

    def __init__(self, sets: Sequence[FeasibleSet | ConicSet]) -> None:
        self._sets = _checked(sets, "Intersection")
        self.detached = detached_of(self._sets)
        lengths = {member.n for member in self._sets}
        if len(lengths) != 1:
            raise ProgramError(f"sets of an Intersection must have one length; received {sorted(lengths)}")
        super().__init__(lengths.pop())

    def build(self) -> ConicSystem:
        """Return the rows of all sets, one below the other."""
        return ConicSystem.stacked(rows_of(self._sets, [np.arange(self.n)] * len(self._sets), self.n))

    def fixed(self) -> FeasibleSet | None:
        """Return the simplex, box or budget that the intersection is; else None."""
        return None if self.moves or self.system.G.shape[1] > self.n else recognised(self.rows())


def detached_of(sets: Sequence[FeasibleSet | ConicSet]) -> tuple[str, ...]:
    """Return the `detached` of all sets, each argument once."""
    return tuple(dict.fromkeys(name for member in sets for name in member.detached))


def system_of(member: FeasibleSet | ConicSet) -> ConicSystem:
    """Return the rows of any set."""
    return member.fresh() if isinstance(member, ConicSet) else ConicSystem.of(member.rows())


def rows_of(sets: Sequence[FeasibleSet | ConicSet], places: Sequence[IntArray], n: int) -> list[ConicSystem]:
    """Return the rows of sets whose x have these places among n columns; their helper variables follow in turn."""
    systems = [system_of(member) for member in sets]
    ends = n + np.cumsum([0, *(system.G.shape[1] - member.n for system, member in zip(systems, sets, strict=True))])
    helpers = [np.arange(start, stop) for start, stop in pairwise(ends.tolist())]
    pairs = zip(systems, places, helpers, strict=True)
    return [system.spread(np.concatenate([own, more]), int(ends[-1])) for system, own, more in pairs]


def _checked(sets: Any, owner: str) -> tuple[FeasibleSet | ConicSet, ...]:
    members = tuple(sets) if isinstance(sets, Iterable) else ()
    if not members or not all(isinstance(member, FeasibleSet | ConicSet) for member in members):
        kinds = ", ".join(type(member).__name__ for member in members) or type(sets).__name__
        raise ProgramError(f"a {owner} needs a sequence of sets of `decision.sets`; received {kinds}")
    return members
