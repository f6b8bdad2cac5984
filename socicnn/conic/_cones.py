"""The product cone K = {0}^m0 x R+^m1 x SOC(k_1) x SOC(k_2) ..., in this fixed order."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from socicnn._arrays import Array, IntArray, read_only
from socicnn.errors import ProgramError


@dataclass(frozen=True)
class Cones:
    """Sizes of the cones of a program's rows.

    Args:
        zero: number m0 of equality rows.
        nonnegative: number m1 of rows with s >= 0.
        second_order: sizes k of the second-order cones {(s_0, u) : s_0 >= ||u||_2}, head included.

    >>> Cones(zero=1, nonnegative=2, second_order=(3, 4)).rows
    10
    """

    zero: int = 0
    nonnegative: int = 0
    second_order: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.zero < 0 or self.nonnegative < 0 or any(size < 1 for size in self.second_order):
            raise ProgramError(f"cone sizes must be non-negative, second-order cones at least 1; received {self}")

    @property
    def rows(self) -> int:
        """Total number of rows m."""
        return self.zero + self.nonnegative + sum(self.second_order)

    @cached_property
    def heads(self) -> IntArray:
        """Row index of the head s_0 of each second-order cone; read-only."""
        sizes = np.asarray(self.second_order, dtype=np.int64)
        return read_only(self.zero + self.nonnegative + np.cumsum(sizes) - sizes)

    def violation(self, s: Array, *, dual: bool = False) -> Array:
        """Return how far each row or cone of s, shape `(m,)`, is from K or K*; see `socicnn.conic._violation`."""
        from socicnn.conic._violation import violation

        return violation(s, self.zero, self.zero + self.nonnegative, self.heads, dual=dual)
