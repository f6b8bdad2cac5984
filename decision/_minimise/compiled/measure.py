"""What decisions of flat networks are measured by, from compiled loops: values, sizes of terms, largest values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from torch import Tensor

from decision._minimise.flat import QUIET, Flat
from decision._minimise.reference import Reference
from socicnn._arrays import Array
from socicnn.frozen._softplus import unit

TOGETHER = 8  # contexts of smooth networks that are evaluated at the points together: they stay in the cache


def run(loop: Any, *arguments: Any) -> None:
    """Call a compiled loop; what an older version of this package left on disk is compiled anew."""
    try:
        loop(*arguments)
    except (AttributeError, ImportError):  # the names in it are gone
        from decision._minimise.compiled.loops import forget

        forget(loop)
        loop(*arguments)


@final
@dataclass(frozen=True, eq=False)
class Measure:
    """Values and sizes of the terms of networks at points.

    Args:
        flat: the networks.
        half: half the width of the reference region (`reference`), shape `(n,)`.
        length: the networks' own lengths, shape `(contexts,)`.
    """

    flat: Flat
    half: Array
    length: Array

    @classmethod
    def of(cls, flat: Flat, reference: Reference) -> Measure:
        """Return the measure over the region of a reference."""
        from decision._minimise.compiled.reached import own_lengths

        length = np.empty(len(flat))
        run(own_lengths, flat.rows.arrays, flat.offset, flat.price, flat.v, length)
        return cls(flat, reference.half.numpy(), length)

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Return f(x) and S(x) at one point or at one of each context, shape `(1 or contexts, n)`."""
        from decision._minimise.compiled.reached import measure

        flat, value, terms = self.flat, np.empty(len(self.flat)), np.empty(len(self.flat))
        arrays = (flat.offset, flat.price, flat.v, x, self.half, self.length)
        run(measure, flat.rows.arrays, *arrays, value, terms)
        return value, terms

    def most(self, points: Tensor) -> Array:
        """Return what `Reference.largest` returns; the images of the points are computed once."""
        from decision._minimise.compiled.reached import largest

        flat, known = self.flat, self.flat.rows.kept.get("points")
        if known is None or known[0] is not points:
            p = np.ascontiguousarray(points.numpy())
            known = flat.rows.kept["points"] = points, p.T, p @ flat.rows.arrays.M.T
        _, columns, images = known
        most, linear = np.empty(len(flat)), flat.v @ columns
        if flat.rows.arrays.tau.any():
            _smooth_largest(flat, images, linear, most)
        else:
            run(largest, flat.rows.arrays, images, linear, flat.offset, flat.price, most)
        return most


@QUIET
def _smooth_largest(flat: Flat, images: Array, linear: Array, most: Array) -> None:
    """Write what `reached.largest` writes; NumPy has faster exponentials than loops."""
    rows = flat.rows.arrays
    for start in range(0, len(flat), TOGETHER):
        some = slice(start, start + TOGETHER)
        moved = images + flat.offset[some, None]
        value = linear[some] + (unit(moved[..., : rows.units], rows.tau) @ flat.price[some, : rows.units, None])[..., 0]
        if len(rows.first):
            groups = np.add.reduceat(moved**2, rows.first, axis=-1)
            groups[..., : rows.norms] **= 0.5
            value += (groups @ flat.price[some, rows.units :, None])[..., 0]
        most[some] = np.where(value < np.inf, value, np.inf).max(axis=1)
