"""The arrays of a network's program, with their names and checks: what files and the verifier take.

Programs keep copies of the arrays that they are given, read-only; `dataclasses.replace` makes a changed program.

f(x) = min_v  q'v + d'x + r     s.t.   A v + s = b + B x,   s in K
dual:  max_y  -(b + B x)'y + d'x + r     s.t.   A'y + q = 0,   y in K*
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._blocks import Block, Lifts, Named, check_places, own
from socicnn.conic._cones import Cones
from socicnn.errors import ProgramError


@dataclass(frozen=True, eq=False, repr=False)
class ValueData(Named):
    """The value function of a network; vectors may carry one leading axis, one row per context."""

    A: sparse.csc_array  # shape `(m, variables)`
    B: sparse.csr_array  # shape `(m, n)`
    b: Array  # shape `(m,)` or `(contexts, m)`
    q: Array  # cost, shape `(variables,)` or `(contexts, variables)`
    d: Array  # shape `(n,)` or `(contexts, n)`
    r: Array  # shape `()` or `(contexts,)`
    cones: Cones  # cone K of the rows
    columns: tuple[Block, ...] = ()  # named blocks of the variables
    rows: tuple[Block, ...] = ()  # named blocks of the rows
    lifts: Lifts = field(default_factory=Lifts)  # places of the quadratics' cones, which `at` rescales

    def __post_init__(self) -> None:
        own(self, "A", "B", "b", "q", "d", "r")
        m, variables = self.A.shape
        sizes = (self.cones.rows, self.B.shape[0], self.b.shape[-1], self.q.shape[-1], self.d.shape[-1])
        if sizes != (m, m, m, variables, self.B.shape[1]):
            raise ProgramError(
                f"program shapes disagree: A {self.A.shape}, B {self.B.shape}, b {self.b.shape}, q {self.q.shape}, "
                f"d {self.d.shape}, cones {self.cones.rows} rows"
            )

    def check_places(self) -> None:
        """Raise a ProgramError where a block or a lift lies outside the program: asked of what was read from a file."""
        m, variables = self.A.shape
        check_places(self.rows, m, "rows")
        check_places(self.columns, variables, "columns")
        sizes = dict(zip(self.cones.heads.tolist(), self.cones.second_order, strict=True))
        for column, head, size in zip(self.lifts.columns, self.lifts.heads, self.lifts.sizes, strict=True):
            if not 0 <= column < variables or size < 2 or sizes.get(head) != size:
                raise ProgramError(f"the lift of column {column} has no cone of {size} rows at row {head}")

    @property
    def in_features(self) -> int:
        """Length n of x."""
        return int(self.B.shape[1])
