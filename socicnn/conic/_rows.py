"""The rows of a feasible set: linear and conic constraints on x alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._blocks import own
from socicnn.conic._cones import Cones
from socicnn.errors import ProgramError


@dataclass(frozen=True, eq=False)
class Rows:
    """Linear and second-order cone constraints on x alone: G x + s = h, s in K. The arrays are copied, read-only.

    Args:
        G: matrix of shape `(rows, n)`.
        h: vector of shape `(rows,)`.
        cones: the cone K of the rows.
    """

    G: sparse.csr_array
    h: Array
    cones: Cones
    any_cone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        own(self, "G", "h")
        if self.cones.exponential and not self.any_cone:
            raise ProgramError(
                f"a set takes linear rows and second-order cones; received {self.cones.exponential} exponential cones"
            )
        if self.G.shape[0] != self.cones.rows or self.h.shape != (self.cones.rows,):
            raise ProgramError(
                f"rows must agree: G has shape {self.G.shape}, h {self.h.shape}, the cones {self.cones.rows} rows"
            )

    @cached_property
    def transposed(self) -> sparse.csr_array:
        """G'."""
        return sparse.csr_array(self.G.T)

    @cached_property
    def absolute(self) -> sparse.csr_array:
        """|G|."""
        return abs(self.G)

    @cached_property
    def lengths(self) -> Array:
        """The 2-norm of each row of G."""
        return np.asarray(np.sqrt((self.G * self.G).sum(axis=1))).reshape(-1)


class ProgramRows(Rows):
    """The rows of a whole program, which may have exponential cones, too."""

    any_cone = True
