"""Conic programs: the value function of a network, and its two instances `at(x)` and `free(rows)`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray, read_only, transform
from socicnn._points import as_points
from socicnn.conic._blocks import Block
from socicnn.conic._cones import Cones
from socicnn.conic._conic_data import ConicData, told
from socicnn.conic._data import ValueData
from socicnn.conic._rows import Rows, own_numbers
from socicnn.errors import ProgramError

if TYPE_CHECKING:  # imported when they are used: who builds or checks a program needs no solver
    from socicnn.conic._prepared import PreparedValue
    from socicnn.conic._solution import Solution
    from socicnn.conic.solvers import Solver, SolverName


@dataclass(frozen=True, eq=False, repr=False)
class ConicProgram(ConicData):
    """min_v c'v + offset  s.t.  A v + s = b, s in K; x already substituted or among the variables.

    Its arrays are those of `ConicData`.
    """

    def solve(
        self, solver: SolverName | Solver = "clarabel", *, time_limit: float | None = None, **settings: Any
    ) -> Solution:
        """Solve once with the solver of that name (or a `Solver`).

        Args:
            solver: `clarabel`, `ecos`, `scs`, `highs`, or a `Solver`.
            time_limit: seconds that it may take; None for no limit.
            settings: the solver's own settings, by its own names.

        Raises:
            MissingExtra: the solver is not installed.
            SolverError: the solver cannot take this kind of program (HiGHS and cones).
        """
        from socicnn.conic.solvers import make

        return make(solver, time_limit=time_limit, **settings).prepare(self).solve()


@dataclass(frozen=True, eq=False, repr=False)
class ValueProgram(ValueData):
    """The value function of a network: f(x) = min_v q'v + d'x + r  s.t.  A v + s = b + B x, s in K.

    Its arrays are those of `ValueData`. Of stacked contexts `contexts` is the number, and `program[i]` is one.
    """

    def __post_init__(self) -> None:
        own_numbers(self, sparse.csc_array, ["A"], ["b", "q", "d", "r"])
        own_numbers(self, sparse.csr_array, ["B"], [])
        super().__post_init__()

    def __repr__(self) -> str:
        many = f"{self.contexts} contexts, " if self.stacked else ""
        size = f"{self.in_features} inputs, {self.A.shape[1]} variables"
        return f"<{type(self).__name__}: {many}{size}, {told(self.cones)}>"

    @property
    def stacked(self) -> bool:
        """Whether vectors carry an axis of contexts."""
        return self.b.ndim > 1

    @property
    def contexts(self) -> int | None:
        """Number of stacked contexts, or None for a single program."""
        return len(self.b) if self.stacked else None

    def take(self, index: int | slice | IntArray) -> Self:
        """Return the program with some of the stacked contexts; itself if none are stacked."""
        return self[index] if self.stacked else self

    def __getitem__(self, index: int | slice | IntArray) -> Self:
        if not self.stacked:
            raise ProgramError("this program has one context; index it only when several contexts were compiled")
        return replace(self, b=self.b[index], q=self.q[index], d=self.d[index], r=self.r[index])

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

    def rescaled(self, k: Array) -> ValueProgram:
        """Return the program with t = k t' in every quadratic: the balanced lift ((t' + k)/2, (t' - k)/2, p) in SOC.

        The same value for every k > 0, exactly so when k is a power of two.

        Args:
            k: scales of shape `(quadratics,)`.
        """
        self.check_single("rescaled(k)")
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
        rescaled = sparse.csc_array((data, (A.row, A.col)), shape=A.shape)
        return replace(self, A=read_only(rescaled), q=read_only(q), b=read_only(b))

    def at(self, x: Any, *, balanced: bool = True) -> ConicProgram:
        """Substitute x: only the right-hand side moves (and, balanced, the scale k of each quadratic).

        Args:
            x: one point of shape `(n,)`.
            balanced: choose k near ||p|| for each quadratic, which keeps solvers accurate at large inputs.
        """
        self.check_single("at(x)")
        point = as_points(x, (self.in_features,))
        if len(point) != 1:
            raise ProgramError(f"at(x) takes one point; received {len(point)}")
        program = self.rescaled(self.scales(point[0])) if balanced and len(self.lifts) else self
        return ConicProgram(
            A=program.A,
            b=read_only(program.b + program.B @ point[0]),
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
            scales: scales k of the quadratics, shape `(quadratics,)`; the plain lift if omitted.
        """
        self.check_single("free(rows)")
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
        # The cone order is fixed, so the rows of both parts interleave: equalities, inequalities, cones of each kind.
        first, second = np.arange(own.rows), own.rows + np.arange(other.rows)
        cuts = [(cones.zero, cones.zero + cones.nonnegative, cones.exponential_start) for cones in (own, other)]
        parts = [
            part
            for of_first, of_second in zip(np.split(first, cuts[0]), np.split(second, cuts[1]), strict=True)
            for part in (of_first, of_second)
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
        moved = (replace(block, start=block.start + n, stop=block.stop + n) for block in program.columns)
        return ConicProgram(
            A=read_only(sparse.csc_array(stacked[order])),
            b=np.concatenate([program.b, rows.h])[order],
            c=np.concatenate([program.d, program.q]),
            offset=float(program.r),
            cones=Cones(
                own.zero + other.zero,
                own.nonnegative + other.nonnegative,
                own.second_order + other.second_order,
                own.exponential,
            ),
            columns=(Block("x", "input", 0, n), *moved),
            rows=tuple(sorted(blocks, key=lambda block: block.start)),
        )

    def prepare(
        self, solver: SolverName | Solver = "clarabel", *, time_limit: float | None = None, **settings: Any
    ) -> PreparedValue:
        """Set a solver up once, to solve at many x; only the right-hand side, cost and offset move.

        Args:
            solver: `clarabel`, `ecos`, `scs`, `highs`, or a `Solver`.
            time_limit: seconds that one solve may take; None for no limit.
            settings: the solver's own settings, by its own names.

        Raises:
            MissingExtra: the solver is not installed.
            SolverError: the solver cannot take this kind of program (HiGHS and cones).

        >>> from socicnn._compile import value_program
        >>> from socicnn.frozen import FrozenNet, Layer, Output
        >>> prepared = value_program(FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [1.0]))).prepare()
        >>> [round(prepared.solve([x]).value, 6) for x in (3.0, -3.0)]
        [9.0, -3.0]
        """
        from socicnn.conic._prepared import PreparedValue
        from socicnn.conic.solvers import make

        return PreparedValue(self, make(solver, time_limit=time_limit, **settings))
