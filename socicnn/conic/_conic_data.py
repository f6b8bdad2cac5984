"""The arrays of a conic program without x on its right-hand side: what solvers take.

min_v c'v + offset  s.t.  A v + s = b, s in K
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy import sparse

from socicnn._arrays import Array
from socicnn.conic._blocks import Block, Named, check_places
from socicnn.conic._cones import Cones
from socicnn.conic._rows import own_numbers
from socicnn.errors import ProgramError


def told(cones: Cones) -> str:
    """Return how many rows and cones there are of each kind, in words."""
    curved = f", {cones.exponential} exponential cones" if cones.exponential else ""
    linear = f"{cones.zero} equalities, {cones.nonnegative} inequalities"
    return f"{linear}, {len(cones.second_order)} second-order cones{curved}"


@dataclass(frozen=True, eq=False, repr=False)
class ConicData(Named):
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
        own_numbers(self, sparse.csc_array, ["A"], ["b", "c"])
        m, variables = self.A.shape
        sizes = (self.cones.rows, *self.b.shape, *self.c.shape)
        if sizes != (m, m, variables):
            raise ProgramError(
                f"program shapes disagree: A {self.A.shape}, b {self.b.shape}, c {self.c.shape}, cones "
                f"{self.cones.rows} rows"
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.A.shape[1]} variables, {told(self.cones)}>"

    def check_places(self) -> None:
        """Raise a ProgramError where a block lies outside the program: asked of what was read from a file."""
        check_places(self.rows, self.A.shape[0], "rows")
        check_places(self.columns, self.A.shape[1], "columns")
