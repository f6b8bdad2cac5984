"""The contract of inputs, for the matrices and the right-hand sides of feasible sets, one row per context."""

from typing import Any

import numpy as np
import pytest
import torch

from decision import sets
from decision.sets import ConicSet
from socicnn.errors import ProgramError
from tests.contracts.inputs import TABLE, InputContract

ONES = np.ones(3)


def numbers(made: ConicSet) -> np.ndarray:
    """Return the rows of a set, and their right-hand sides in every context."""
    return np.concatenate([made.system.G.toarray().reshape(-1), made.right_hand_sides().detach().numpy().reshape(-1)])


class TestMatrixOfInequalities(InputContract):
    name = "A"
    takes = frozenset({"sparse"})

    def read(self, values: Any) -> Any:
        return numbers(sets.Polytope(A=values, b=np.full(4, 9.0), lower=-ONES, upper=ONES))


class TestMatrixOfEqualities(InputContract):
    name = "E"
    takes = frozenset({"sparse"})

    def read(self, values: Any) -> Any:
        return numbers(sets.Polytope(E=values, f=np.zeros(4), lower=-ONES, upper=ONES))


class TestBoundsPerContext(InputContract):
    """An infinite bound is no bound; it has to be in every context, which `right_hand_sides` looks at."""

    name = "upper"
    takes = frozenset({"infinite"})

    def read(self, values: Any) -> Any:
        made = sets.Polytope(A=[ONES], b=[9.0], lower=-9.0 * ONES, upper=values)
        return numbers(made) if bool(made._upper.table.isfinite().all()) else None

    def test_a_single_number_and_no_rows_are_refused(self) -> None:
        assert np.array_equal(self.read(1.5), self.read([1.5] * 3))  # a number is that of each coordinate
        with pytest.raises(ProgramError, match="shape"):
            self.read(np.zeros((4, 2)))


class TestCentres(InputContract):
    name = "centre"

    def read(self, values: Any) -> Any:
        return numbers(sets.Ball(3, 1.0, values))

    def test_a_single_number_and_no_rows_are_refused(self) -> None:
        assert np.array_equal(self.read(1.5), self.read([1.5] * 3))
        with pytest.raises(ProgramError, match="shape"):
            self.read(np.zeros((4, 2)))


class TestMatrixOfAnEllipsoid(InputContract):
    name = "B"

    def read(self, values: Any) -> Any:
        made = sets.Ellipsoid(values)
        assert made.n == 4, f"shape {made.n}"
        return numbers(made)

    def test_a_single_number_and_no_rows_are_refused(self) -> None:
        for values in (1.5, np.array(1.5), torch.tensor(1.5), np.zeros((4, 0))):
            with pytest.raises(ProgramError, match="shape"):
                self.read(values)


class TestCentresInAProduct(TestCentres):
    def read(self, values: Any) -> Any:
        return numbers(sets.Product([sets.Ball(3, 1.0, values), sets.Ball(2)]))


class TestMatrixInAnIntersection(InputContract):
    name = "A"
    takes = frozenset({"sparse"})

    def read(self, values: Any) -> Any:
        return numbers(sets.Intersection([sets.Ball(3), sets.Polytope(A=values, b=np.full(4, 9.0), lower=-ONES)]))

    def test_a_single_number_and_no_rows_are_refused(self) -> None:
        with pytest.raises(ProgramError, match="shape"):
            self.read(1.5)
        with pytest.raises(ProgramError, match=r"shape|one length"):
            self.read(np.zeros((4, 2)))


class TestLinkOfAHorizon(InputContract):
    name = "P"

    def read(self, values: Any) -> Any:
        return numbers(sets.Horizon(sets.Box(3), 3, link=(values, TABLE, np.zeros(4))))


class TestRightHandSidesOfALink(InputContract):
    name = "r of link"

    def read(self, values: Any) -> Any:
        return numbers(sets.Horizon(sets.Box(3), 5, link=(np.eye(3), np.eye(3), values)))


class TestFirstStepOfAHorizon(InputContract):
    name = "E of first"

    def read(self, values: Any) -> Any:
        return numbers(sets.Horizon(sets.Box(3), 3, first=(values, np.zeros(4))))


class TestRightHandSidesOfTheLastStep(InputContract):
    name = "f of last"

    def read(self, values: Any) -> Any:
        return numbers(sets.Horizon(sets.Box(3), 3, last=(np.eye(3), values)))

    def test_a_single_number_and_no_rows_are_refused(self) -> None:
        assert np.array_equal(self.read(1.5), self.read([1.5] * 3))
        with pytest.raises(ProgramError, match="shape"):
            self.read(np.zeros((4, 2)))


@pytest.mark.parametrize("kind", [list, tuple, np.float32, ">f8", object, "torch", "pandas", "polars"])
def test_bounds_of_a_box_come_in_any_form(kind: Any) -> None:
    row = TABLE[0].tolist()
    if kind in ("pandas", "polars"):
        given = pytest.importorskip(kind).Series(row)
    elif kind == "torch":
        given = torch.tensor(row)
    else:
        given = kind(row) if kind in (list, tuple) else np.array(row, dtype=kind)
    assert sets.Box(3, given, 9.0).minimise_linear(torch.ones(1, 3, dtype=torch.float64)).tolist() == [row]


@pytest.mark.parametrize("given", [["a", 0, 0], [None, 0, 0], [1j, 0, 0], [np.nan, 0, 0], [[0.0], [0.0, 1.0]]])
def test_bounds_that_are_not_numbers_are_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="lower"):
        sets.Box(3, given, 9.0)


@pytest.mark.parametrize("asked", [False, True], ids=["new", "asked"])
@pytest.mark.parametrize("name", ["ellipsoid", "horizon"])
def test_a_set_keeps_its_matrices_when_their_buffer_is_filled_again(name: str, asked: bool) -> None:
    """In a loop that fills one buffer, every set was the last; one that had been asked was half of each."""
    buffer = np.eye(2)

    def made(matrix: np.ndarray) -> ConicSet:
        if name == "ellipsoid":
            return sets.Ellipsoid(matrix)
        return sets.Horizon(sets.Box(2, 0.0, 1.0), 2, link=(matrix, matrix, np.zeros(2)))

    own, expected = made(buffer), made(np.eye(2))
    if asked:
        own.rows()
    buffer *= 3.0
    assert (own.rows().G != expected.rows().G).nnz == 0
    oracles = own.fixed()
    if oracles is not None:
        assert oracles.minimise_linear(torch.tensor([-1.0, 0.0])).tolist() == [1.0, 0.0]
