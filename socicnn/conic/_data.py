"""The arrays of conic programs, with their names and checks: what solvers, files and the verifier take.

Programs keep copies of the arrays that they are given, read-only; `dataclasses.replace` makes a changed program.

f(x) = min_v  q'v + d'x + r     s.t.   A v + s = b + B x,   s in K
dual:  max_y  -(b + B x)'y + d'x + r     s.t.   A'y + q = 0,   y in K*
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray, transform
from socicnn.conic._blocks import Block, Lifts, check_places, names_of, own
from socicnn.conic._cones import Cones
from socicnn.errors import ProgramError


def _rows_of(cones: Cones) -> str:
    return f"{cones.zero} equalities, {cones.nonnegative} inequalities, {len(cones.second_order)} second-order cones"


@dataclass(frozen=True, eq=False, repr=False)
class ConicData:
    """min_v c'v + offset  s.t.  A v + s = b, s in K; x already substituted or among the variables.

    Args:
        A: matrix of shape `(m, variables)`.
        b: right-hand side, shape `(m,)`.
        c: cost, shape `(variables,)`.
        offset: constant added to the value.
        cones: cone K of the rows.
        columns: named blocks of the variables.
        rows: named blocks of the rows.
    """

    A: sparse.csc_array
    b: Array
    c: Array
    offset: float
    cones: Cones
    columns: tuple[Block, ...] = ()
    rows: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        own(self, "A", "b", "c")
        m, variables = self.A.shape
        found = (self.cones.rows, *self.b.shape, *self.c.shape)
        if found != (m, m, variables):
            raise ProgramError(
                f"program shapes disagree: A {self.A.shape}, b {self.b.shape}, c {self.c.shape}, cones "
                f"{self.cones.rows} rows"
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.A.shape[1]} variables, {_rows_of(self.cones)}>"

    def check_places(self) -> None:
        """Raise a ProgramError where a block lies outside the program: asked of what was read from a file."""
        check_places(self.rows, self.A.shape[0], "rows")
        check_places(self.columns, self.A.shape[1], "columns")

    @property
    def row_names(self) -> list[str]:
        """One readable name a row."""
        return names_of(self.rows)

    @property
    def column_names(self) -> list[str]:
        """One readable name a variable."""
        return names_of(self.columns)


@dataclass(frozen=True, eq=False, repr=False)
class ValueData:
    """The value function of a network: f(x) = min_v q'v + d'x + r  s.t.  A v + s = b + B x, s in K.

    `b`, `q`, `d` and `r` may carry one leading axis, one row per context (`contexts` is its length): A and B do not
    depend on the context. `program[i]` is the program of context i.

    Args:
        A: matrix of shape `(m, variables)`.
        B: matrix of shape `(m, n)`.
        b: vector of shape `(m,)` or `(contexts, m)`.
        q: cost of shape `(variables,)` or `(contexts, variables)`.
        d: shape `(n,)` or `(contexts, n)`.
        r: shape `()` or `(contexts,)`.
        cones: cone K of the rows.
        columns: named blocks of the variables.
        rows: named blocks of the rows.
        lifts: places of the quadratics' cones, which `at` rescales.
    """

    A: sparse.csc_array
    B: sparse.csr_array
    b: Array
    q: Array
    d: Array
    r: Array
    cones: Cones
    columns: tuple[Block, ...] = ()
    rows: tuple[Block, ...] = ()
    lifts: Lifts = field(default_factory=Lifts)

    def __post_init__(self) -> None:
        own(self, "A", "B", "b", "q", "d", "r")
        m, variables = self.A.shape
        n = self.B.shape[1]
        found = (self.cones.rows, self.B.shape[0], self.b.shape[-1], self.q.shape[-1], self.d.shape[-1])
        if found != (m, m, m, variables, n):
            raise ProgramError(
                f"program shapes disagree: A {self.A.shape}, B {self.B.shape}, b {self.b.shape}, q {self.q.shape}, "
                f"d {self.d.shape}, cones {self.cones.rows} rows"
            )

    def __repr__(self) -> str:
        many = f"{self.contexts} contexts, " if self.stacked else ""
        size = f"{self.in_features} inputs, {self.A.shape[1]} variables"
        return f"<{type(self).__name__}: {many}{size}, {_rows_of(self.cones)}>"

    def check_places(self) -> None:
        """Raise a ProgramError where a block or a lift lies outside the program: asked of what was read from a file."""
        m, variables = self.A.shape
        check_places(self.rows, m, "rows")
        check_places(self.columns, variables, "columns")
        sizes = dict(zip(self.cones.heads.tolist(), self.cones.second_order, strict=True))
        lifts = (getattr(self.lifts, name).tolist() for name in ("columns", "heads", "sizes"))
        for column, head, size in zip(*lifts, strict=True):
            if not 0 <= column < variables or size < 2 or sizes.get(head) != size:
                raise ProgramError(f"the lift of column {column} has no cone of {size} rows at row {head}")

    @property
    def in_features(self) -> int:
        """Length n of x."""
        return int(self.B.shape[1])

    @property
    def contexts(self) -> int | None:
        """Number of stacked contexts, or None for a single program."""
        return len(self.b) if self.stacked else None

    @property
    def stacked(self) -> bool:
        """Whether vectors carry an axis of contexts."""
        return self.b.ndim > 1

    def take(self, index: int | slice | IntArray) -> Self:
        """Return the program with some of the stacked contexts; itself if none are stacked."""
        return self[index] if self.stacked else self

    def __getitem__(self, index: int | slice | IntArray) -> Self:
        if not self.stacked:
            raise ProgramError("this program has one context; index it only when several contexts were compiled")
        return replace(self, b=self.b[index], q=self.q[index], d=self.d[index], r=self.r[index])

    @property
    def row_names(self) -> list[str]:
        """One readable name a row."""
        return names_of(self.rows)

    @property
    def column_names(self) -> list[str]:
        """One readable name a variable."""
        return names_of(self.columns)

    def check_single(self, use: str) -> None:
        """Raise a ProgramError if the program stacks contexts, which `use` cannot take."""
        if self.stacked:
            raise ProgramError(f"{use} needs one context, this program stacks {self.contexts}; choose one: program[i]")

    def scales(self, x: Array) -> Array:
        """Return the power of two nearest to ||p||_2 of each quadratic at each x (1 where p = 0).

        Args:
            x: points of shape `(*batch, n)`.

        Returns:
            Scales k of shape `(*batch, quadratics)`.
        """
        if not len(self.lifts):
            return np.ones((*x.shape[:-1], 0))
        rows, B = self._images
        sizes = self.lifts.sizes - 2
        starts = np.cumsum(sizes) - sizes
        p = np.abs(transform(B, x) + self.b[..., rows])
        largest = np.maximum.reduceat(p, starts, axis=-1)  # divided out before squaring: no overflow, no underflow
        divisor = np.repeat(largest, sizes, axis=-1)
        unit = np.divide(p, divisor, out=np.zeros_like(p), where=divisor > 0)
        squares = np.add.reduceat(unit**2, starts, axis=-1)
        length = largest * np.sqrt(squares)
        exponent = np.round(np.log2(length, out=np.zeros_like(length), where=length > 0))
        return np.exp2(np.clip(exponent, -500, 500))

    @cached_property
    def _images(self) -> tuple[IntArray, sparse.csr_array]:
        """The rows of every p, one quadratic after the other, and those rows of B."""
        sizes = self.lifts.sizes - 2
        starts = np.cumsum(sizes) - sizes  # where each p begins once the rows of all of them are picked
        rows = np.repeat(self.lifts.heads + 2 - starts, sizes) + np.arange(int(sizes.sum()))
        return rows, self.B[rows]
