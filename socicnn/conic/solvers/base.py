"""The contract of a solver adapter: prepare once for a matrix A, then solve for many right-hand sides."""

from abc import ABC, abstractmethod

from socicnn.arrays import Array
from socicnn.conic.program import ConicProgram
from socicnn.conic.solution import Solution


class Prepared(ABC):
    """A solver set up for one matrix A and one cone; the vectors may change between solves."""

    @abstractmethod
    def solve(self, b: Array | None = None, c: Array | None = None, offset: float | None = None) -> Solution:
        """Solve with the vectors given; those left out keep the values of the prepared program."""


class Solver(ABC):
    """A conic solver with its settings."""

    name: str

    @abstractmethod
    def prepare(self, program: ConicProgram) -> Prepared:
        """Set the solver up for `program`.

        Raises:
            MissingExtra: the solver's package is not installed.
            SolverError: the solver cannot take this kind of cone.
        """
