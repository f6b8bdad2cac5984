"""Conic programs as arrays: the value function of a network, and its two instances `at(x)` and `free(rows)`.

f(x) = min_v  q'v + d'x + r     s.t.   A v + s = b + B x,   s in K
dual:  max_y  -(b + B x)'y + d'x + r     s.t.   A'y + q = 0,   y in K*
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from socicnn.arrays import Array, IntArray, as_points, transform
from socicnn.conic.blocks import Block, Lifts, Rows, check_places, names_of
from socicnn.conic.cones import Cones
from socicnn.errors import ProgramError

if TYPE_CHECKING:
    from socicnn.conic.prepared import PreparedValue
    from socicnn.conic.solution import Solution
    from socicnn.conic.solvers.base import Solver


def _rows_of(cones: Cones) -> str:
    return f"{cones.zero} equalities, {cones.nonnegative} inequalities, {len(cones.second_order)} second-order cones"


@dataclass(frozen=True, eq=False, repr=False)
class ConicProgram:
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
        m, variables = self.A.shape
        found = (self.cones.rows, *self.b.shape, *self.c.shape)
        if found != (m, m, variables):
            raise ProgramError(
                f"program shapes disagree: A {self.A.shape}, b {self.b.shape}, c {self.c.shape}, cones "
                f"{self.cones.rows} rows"
            )

    def __repr__(self) -> str:
        return f"<ConicProgram: {self.A.shape[1]} variables, {_rows_of(self.cones)}>"

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

    def solve(self, solver: str | Solver = "clarabel", **settings: Any) -> Solution:
        """Solve once with the solver of that name (or a `Solver`); settings go to the solver as they are.

        Raises:
            MissingExtra: the solver is not installed.
            SolverError: the solver cannot take this kind of program (HiGHS and cones).
        """
        from socicnn.conic.solvers import make

        return make(solver, **settings).prepare(self).solve()


@dataclass(frozen=True, eq=False, repr=False)
class ValueProgram:
    """The value function of a network: f(x) = min_v q'v + d'x + r  s.t.  A v + s = b + B x, s in K.

    `b`, `q`, `d` and `r` may carry one leading axis, one row a context (`contexts` is its length): A and B do not
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
        m, variables = self.A.shape
        n = self.B.shape[1]
        found = (self.cones.rows, self.B.shape[0], self.b.shape[-1], self.q.shape[-1], self.d.shape[-1])
        if found != (m, m, m, variables, n):
            raise ProgramError(
                f"program shapes disagree: A {self.A.shape}, B {self.B.shape}, b {self.b.shape}, q {self.q.shape}, "
                f"d {self.d.shape}, cones {self.cones.rows} rows"
            )

    def __repr__(self) -> str:
        many = "" if self.contexts is None else f"{self.contexts} contexts, "
        size = f"{self.in_features} inputs, {self.A.shape[1]} variables"
        return f"<ValueProgram: {many}{size}, {_rows_of(self.cones)}>"

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
        return None if self.b.ndim == 1 else len(self.b)

    def __getitem__(self, index: int | slice | IntArray) -> ValueProgram:
        if self.contexts is None:
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

    def _single(self, use: str) -> None:
        if self.contexts is not None:
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

    def rescaled(self, k: Array) -> ValueProgram:
        """Return the program with t = k t' in every quadratic: the balanced lift ((t' + k)/2, (t' - k)/2, p) in SOC.

        The same value for every k > 0, exactly so when k is a power of two.

        Args:
            k: scales of shape `(quadratics,)`.
        """
        self._single("rescaled(k)")
        heads, columns = self.lifts.heads, self.lifts.columns
        q, b = self.q.copy(), self.b.copy()
        q[columns] *= k
        b[heads] *= k
        b[heads + 1] *= k
        factor = np.ones(self.A.shape[1])
        factor[columns] = k
        A = self.A.tocoo()
        own = np.zeros(self.A.shape[0], dtype=bool)
        own[heads] = own[heads + 1] = True  # a lift's own rows keep -1/2; only where t enters other rows does A change
        data = np.where(own[A.row], A.data, A.data * factor[A.col])
        return replace(self, A=sparse.csc_array((data, (A.row, A.col)), shape=A.shape), q=q, b=b)

    def at(self, x: Any, *, balanced: bool = True) -> ConicProgram:
        """Substitute x: only the right-hand side moves (and, balanced, the scale k of each quadratic).

        Args:
            x: one point of shape `(n,)`.
            balanced: choose k near ||p|| for each quadratic, which keeps solvers accurate at large inputs.
        """
        self._single("at(x)")
        point = as_points(x, (self.in_features,))
        if len(point) != 1:
            raise ProgramError(f"at(x) takes one point; received {len(point)}")
        program = self.rescaled(self.scales(point[0])) if balanced and len(self.lifts) else self
        return ConicProgram(
            A=program.A,
            b=program.b + program.B @ point[0],
            c=program.q,
            offset=float(program.d @ point[0] + program.r),
            cones=program.cones,
            columns=program.columns,
            rows=program.rows,
        )

    def free(self, rows: Rows | None = None, *, scales: Array | None = None) -> ConicProgram:
        """Return min over (x, v): the columns are [x | v], the rows those of the network and of the feasible set.

        Args:
            rows: constraints on x, for instance `feasible_set.rows()`; None leaves x free.
            scales: scales k of the quadratics, shape `(quadratics,)`; the plain lift where None.
        """
        self._single("free(rows)")
        n = self.in_features
        if rows is not None and not isinstance(rows, Rows):
            raise ProgramError(f"rows must be Rows, as `feasible_set.rows()` gives; received {type(rows).__name__}")
        if rows is None:
            rows = Rows(sparse.csr_array((0, n)), np.zeros(0), Cones())
        if rows.G.shape[1] != n:
            raise ProgramError(f"the set constrains {rows.G.shape[1]} variables, the network has {n} inputs")
        program = self if scales is None else self.rescaled(scales)
        own, other = program.cones, rows.cones
        network = sparse.hstack([-program.B, program.A], format="csr")
        outside = sparse.hstack([rows.G, sparse.csr_array((rows.G.shape[0], program.A.shape[1]))], format="csr")
        stacked = sparse.vstack([network, outside], format="csr")
        # The cone order is fixed, so the rows of both parts interleave: equalities, then inequalities, then cones.
        first, second = np.arange(own.rows), own.rows + np.arange(other.rows)
        cuts = (own.zero, own.zero + own.nonnegative), (other.zero, other.zero + other.nonnegative)
        parts = [
            part
            for mine, theirs in zip(np.split(first, cuts[0]), np.split(second, cuts[1]), strict=True)
            for part in (mine, theirs)
        ]
        order = np.concatenate(parts)
        position = np.empty_like(order)
        position[order] = np.arange(len(order))
        blocks = [
            replace(block, start=int(position[block.start]), stop=int(position[block.start]) + block.stop - block.start)
            for block in program.rows
            if block.stop > block.start
        ]
        start = 0
        for index, kind in enumerate(("equality", "inequality", "cone")):
            start += len(parts[2 * index])
            size = len(parts[2 * index + 1])
            if size:
                blocks.append(Block(f"set_{kind}", "set", start, start + size))
            start += size
        return ConicProgram(
            A=sparse.csc_array(stacked[order]),
            b=np.concatenate([program.b, rows.h])[order],
            c=np.concatenate([program.d, program.q]),
            offset=float(program.r),
            cones=Cones(
                own.zero + other.zero, own.nonnegative + other.nonnegative, own.second_order + other.second_order
            ),
            columns=(Block("x", "input", 0, n), *(block.shifted(n) for block in program.columns)),
            rows=tuple(sorted(blocks, key=lambda block: block.start)),
        )

    def prepare(self, solver: str | Solver = "clarabel", **settings: Any) -> PreparedValue:
        """Set a solver up once, to solve at many x; only the right-hand side, cost and offset move.

        Raises:
            MissingExtra: the solver is not installed.
            SolverError: the solver cannot take this kind of program (HiGHS and cones).

        >>> from socicnn.compile import value_program
        >>> from socicnn.frozen import FrozenNet, Layer, Output
        >>> prepared = value_program(FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [1.0]))).prepare()
        >>> [round(prepared.solve([x]).value, 6) for x in (3.0, -3.0)]
        [9.0, -3.0]
        """
        from socicnn.conic.prepared import PreparedValue
        from socicnn.conic.solvers import make

        return PreparedValue(self, make(solver, **settings))
