"""A value-function program and a solver set up once for its matrix, to solve at many points."""

from __future__ import annotations

from typing import Any, Protocol, final

import numpy as np
from scipy import sparse

from socicnn.conic._conic_data import ConicData
from socicnn.conic._solution import Solution
from socicnn.conic.solvers._base import Solver


class Instances(Protocol):
    """What is solved at many points: a `ValueProgram`."""

    @property
    def in_features(self) -> int:
        """Length of x."""

    def __getitem__(self, index: int) -> Instances:
        """Return the program of one context."""

    def take(self, index: int) -> Instances:
        """Return the program of one of the stacked contexts; itself if none are stacked."""

    def at(self, x: Any, *, balanced: bool = True) -> ConicData:
        """Substitute x."""


@final
class PreparedValue:
    """A value-function program and a solver set up for its matrix A.

    Args:
        program: the program; it may stack contexts.
        solver: the solver.
    """

    def __init__(self, program: Instances, solver: Solver) -> None:
        self.program = program
        self.solver = solver
        self._prepared = solver.prepare(program.take(0).at(np.zeros(program.in_features), balanced=False))

    def solve(self, x: Any, context: int | None = None, *, balanced: bool = True) -> Solution:
        """Solve at one point; v, s and y belong to `program.at(x)`.

        Args:
            x: one point of shape `(n,)`.
            context: index of the context, where the program stacks several.
            balanced: as in `at`.
        """
        program = self.program if context is None else self.program[context]
        instance = program.at(x, balanced=balanced)
        if not same_matrix(instance.A, self._prepared.program.A):  # a quadratic inside a layer moves A with its scale
            self._prepared = self.solver.prepare(instance)
        return self._prepared.solve(instance.b, instance.c, instance.offset)


def same_matrix(first: sparse.csc_array | sparse.csr_array, second: sparse.csc_array | sparse.csr_array) -> bool:
    """Return whether two matrices of one program are equal, entry by entry in the order that they are stored."""
    pairs = ((first.data, second.data), (first.indices, second.indices), (first.indptr, second.indptr))
    return first is second or all(np.array_equal(left, right) for left, right in pairs)
