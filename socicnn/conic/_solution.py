"""What a solver returned, in the words of the program that it solved."""

from dataclasses import dataclass

from socicnn._arrays import Array


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """A solver's answer to min c'v + offset s.t. A v + s = b, s in K.

    A solver's word is not a proof: `value` is its objective, not a bound.

    Args:
        v: primal variables, shape `(variables,)`; NaN where there are none.
        s: slacks b - A v, shape `(m,)`.
        y: dual variables in K*, with A'y + c = 0 up to the solver's tolerance, shape `(m,)`.
        value: c'v + offset; inf where the program is infeasible, -inf where it is unbounded, NaN without a point.
        ok: whether the solver reports an optimal solution; an almost solved program has v and y, but is not ok.
        status: one sentence about how the solver ended.
        seconds: time inside the solver.
        solver: its name.
    """

    v: Array
    s: Array
    y: Array
    value: float
    ok: bool
    status: str
    seconds: float
    solver: str

    def __repr__(self) -> str:
        return f"<Solution: value {self.value:.6g}; {self.status}, {self.seconds:.2g} s>"
