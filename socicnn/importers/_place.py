"""Where in somebody else's network an operation stands, for messages; squares, which need what is affine in x."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy import sparse

from socicnn.errors import ModelError
from socicnn.importers._value import Value


class Place(Protocol):
    """An operation of a network that is being read."""

    @property
    def words(self) -> str:
        """Its kind and name."""

    def refused(self, why: str, level: int | None = None) -> ModelError:
        """Return an error that names it, and the layer that it would be part of."""


def affine(place: Place, value: Value, verb: str) -> None:
    """Raise a ModelError where a tensor is not affine in x."""
    if value.atoms:
        raise place.refused(f"{verb} something that is not affine in x (it depends on {makers(value)})")


def makers(value: Value) -> str:
    """Return what made the atoms that a tensor depends on, in words."""
    return ", ".join(sorted({group.node for group in value.atoms}))


def squared(place: Place, value: Value) -> Value:
    """Return the entrywise square of what is affine in x, or of one norm per entry, times a number."""
    if value.atoms and all(group.kind == "norm" for group in value.atoms) and not (value.x.nnz or value.constant.any()):
        entries = sum((np.diff(M.indptr) for M in value.atoms.values()), np.zeros(value.size, dtype=np.int64))
        if entries.max(initial=0) <= 1:
            return _squared_norms(place, value)
    affine(place, value, "squares")
    return value.made("square", place.words)


def _squared_norms(place: Place, value: Value) -> Value:
    """Return c^2 ||C x + d||^2 for entries c ||C x + d||, as sums of squares."""
    total = Value(value.shape, np.zeros(value.size), sparse.csr_array(value.x.shape), kind=value.kind)
    for group, M in value.atoms.items():
        assert group.lengths is not None
        norm = np.repeat(np.arange(group.size), group.lengths)
        summed = sparse.csr_array((np.ones(len(norm)), (norm, np.arange(len(norm)))), shape=(group.size, len(norm)))
        squares = group.source.made("square", place.words)
        total = total.plus(squares.mapped(M.multiply(M) @ summed, value.shape, value.origin))
    return total
