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
        """Return how far each row or cone of s is from K: |s_i|, max(0, -s_i), and max(0, ||u|| - s_0) at each head.

        Args:
            s: vector of shape `(m,)`.
            dual: measure the distance from K* instead, where the rows of the zero cone are free.

        Returns:
            Shape `(m,)`, zero at the rows of a second-order cone that are not its head.

        >>> Cones(nonnegative=1, second_order=(3,)).violation(np.array([-0.5, 1.0, 3.0, 4.0]))
        array([0.5, 4. , 0. , 0. ])
        """
        cut = self.zero + self.nonnegative
        excess = np.zeros_like(s)
        if not dual:
            excess[: self.zero] = np.abs(s[: self.zero])
        excess[self.zero : cut] = np.maximum(-s[self.zero : cut], 0.0)
        if self.second_order:
            heads = self.heads
            squares = s[cut:] ** 2
            squares[heads - cut] = 0.0
            excess[heads] = np.maximum(np.sqrt(np.add.reduceat(squares, heads - cut)) - s[heads], 0.0)
        return excess
