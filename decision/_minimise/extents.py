"""How far a set reaches: the least and the largest value of every coordinate, in parts that memory holds."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from decision.sets._base import FeasibleSet
from decision.sets._box import Box

ENTRIES = 2**20  # of the slopes that are minimised at a time
_ENDS: WeakKeyDictionary[FeasibleSet, tuple[Tensor, Tensor]] = WeakKeyDictionary()  # sets are values: once for each


def coordinate_ends(feasible_set: FeasibleSet) -> tuple[Tensor, Tensor]:
    """Return min_X x_j and max_X x_j for each j, each of shape `(n,)`, float64.

    >>> from decision.sets import Box
    >>> [end.tolist() for end in coordinate_ends(Box(2, [-1.0, 2.0], 3.0))]
    [[-1.0, 2.0], [3.0, 3.0]]
    """
    if isinstance(feasible_set, Box):
        return feasible_set.ends(torch.zeros(0, dtype=torch.float64))
    if feasible_set not in _ENDS:
        places = torch.arange(feasible_set.n)
        parts = [_part(feasible_set, some, places) for some in places.split(max(1, ENTRIES // feasible_set.n))]
        _ENDS[feasible_set] = torch.cat([low for low, _ in parts]), torch.cat([high for _, high in parts])
    return _ENDS[feasible_set]


def _part(feasible_set: FeasibleSet, some: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ends of some coordinates."""
    rows = (some[:, None] == places).double()
    low, high = (feasible_set.minimise_linear(slopes).gather(1, some[:, None])[:, 0] for slopes in (rows, -rows))
    return low, high
