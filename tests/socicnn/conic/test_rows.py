"""Rows and programs from lists, dense and sparse arrays: the same numbers, or one sentence."""

import numpy as np
import pytest
import torch
from scipy import sparse

from socicnn.conic import Cones, ConicProgram, Rows, ValueProgram
from socicnn.errors import ModelError, ProgramError

G, h, CONES = np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([1.0, 2.0]), Cones(nonnegative=2)
FORMS = [
    np.ndarray.tolist, np.asarray, torch.from_numpy, sparse.csr_array, sparse.csc_array, sparse.coo_array,
    sparse.csr_matrix, sparse.csc_matrix,
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_made_of_whatever_holds_numbers(form) -> None:
    rows = Rows(form(G), h.tolist(), CONES)
    assert rows.lengths.tolist() == [5, 1]
    assert np.array_equal(rows.transposed.toarray(), G.T)
    assert rows.h.tolist() == h.tolist()
    assert not rows.h.flags.writeable


@pytest.mark.parametrize("form", FORMS)
def test_programs_are_made_of_whatever_holds_numbers(form) -> None:
    program = ConicProgram(form(-np.eye(2)), [-1.0, -2.0], [1.0, 1.0], 0.5, CONES)
    assert program.solve().value == pytest.approx(3.5, abs=1e-6)
    value = ValueProgram(form(-np.eye(2)), form(-G), [0.0, 0.0], [1.0, 1.0], [0.0, 0.0], 0.5, CONES)
    assert value.at([1.0, 1.0]).solve().value == pytest.approx(8.5, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0, 2.0], [1.0], CONES), ProgramError, r"G must be a matrix, one list per row; received shape \(2,\)"),
        (([[1.0, 2.0], [1.0]], h, CONES), ModelError, "G has rows of different lengths"),
        ((G, ["a", "b"], CONES), ModelError, "h must hold real numbers; received text"),
        ((G, 1.0, CONES), ProgramError, r"rows must agree: G has shape \(2, 2\), h \(\)"),
        ((G, h, (2,)), ProgramError, r"cones must be Cones, such as Cones\(nonnegative=2\); received tuple"),
    ],
)
def test_what_makes_no_rows_is_named(arguments, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Rows(*arguments)


@pytest.mark.parametrize(
    "sizes", [{"second_order": 3}, {"second_order": (3.5,)}, {"second_order": "34"}, {"nonnegative": 2.0}]
)
def test_sizes_of_cones_that_are_no_integers_are_refused_in_one_sentence(sizes) -> None:
    with pytest.raises(ProgramError, match=r"integers, second_order a tuple of them such as \(3,\); received Cones"):
        Cones(**sizes)


def test_sizes_of_cones_in_a_list_compare_as_those_in_a_tuple() -> None:
    assert Cones(second_order=[3, np.int64(4)]) == Cones(second_order=(3, 4))
    assert hash(Cones(second_order=np.array([3]))) == hash(Cones(second_order=(3,)))
