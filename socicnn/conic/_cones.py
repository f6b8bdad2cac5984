"""The product cone K = {0}^m0 x R+^m1 x SOC(k_1) x SOC(k_2) ... x Kexp x Kexp ..., in this fixed order."""

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
        exponential: number of exponential cones, of three rows: the closure of {(x, y, s): y > 0, y exp(x / y) <= s}.

    >>> Cones(zero=1, nonnegative=2, second_order=(3, 4), exponential=2).rows
    16
    """

    zero: int = 0
    nonnegative: int = 0
    second_order: tuple[int, ...] = ()
    exponential: int = 0

    def __post_init__(self) -> None:
        sizes = (self.zero, self.nonnegative, self.exponential)
        if type(self.second_order) is not tuple or {*map(type, sizes + self.second_order)} != {int}:
            from socicnn.conic._sizes import as_integers  # files hold integers

            as_integers(self)
        if min(self.zero, self.nonnegative, self.exponential) < 0 or any(size < 1 for size in self.second_order):
            raise ProgramError(f"cone sizes must be non-negative, second-order cones at least 1; received {self}")

    @property
    def rows(self) -> int:
        """Total number of rows m."""
        return self.exponential_start + 3 * self.exponential

    @property
    def exponential_start(self) -> int:
        """First row of the exponential cones."""
        return self.zero + self.nonnegative + sum(self.second_order)

    @property
    def nonlinear(self) -> str:
        """What keeps the program from being linear, in words; empty if nothing does. A cone of size 1 is a half-line.

        >>> Cones(0, 2, (1, 3), 2).nonlinear
        '1 second-order cones (from quadratic or norm branches, or from the set) and 2 exponential cones'
        """
        curved = sum(size > 1 for size in self.second_order)
        second = f"{curved} second-order cones (from quadratic or norm branches, or from the set)" if curved else ""
        third = f"{self.exponential} exponential cones" if self.exponential else ""
        return " and ".join(part for part in (second, third) if part)

    @cached_property
    def heads(self) -> IntArray:
        """Row index of the head s_0 of each second-order cone; read-only."""
        return read_only(self.zero + self.nonnegative + np.cumsum((0, *self.second_order), dtype=np.int64)[:-1])

    def violation(self, s: Array, *, dual: bool = False) -> Array:
        """Return how far each row or cone of s, shape `(m,)`, is from K or K*; see `socicnn.conic._violation`."""
        from socicnn.conic._violation import violation

        return violation(s, self.zero, self.heads, (self.zero + self.nonnegative, self.exponential_start), dual=dual)
