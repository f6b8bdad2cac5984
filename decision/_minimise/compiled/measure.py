"""What decisions of flat networks are measured by, from compiled loops: values, sizes of terms, largest values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from torch import Tensor

from decision._minimise.flat import Flat
from decision._minimise.reference import Reference
from socicnn._arrays import Array


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
        most = np.empty(len(flat))
        run(largest, flat.rows.arrays, images, flat.v @ columns, flat.offset, flat.price, most)
        return most
