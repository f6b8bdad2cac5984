"""The split of a matrix is the matrix, whatever places are named."""

import numpy as np
import pytest
from scipy import sparse

from verify._core.products import Split

PLACES = [(), (5, 20), (-3, 0, 7, 7, 40, 1000), range(60)]


def matrix() -> sparse.csr_array:
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((40, 60)) < 0.05, rng.normal(size=(40, 60)), 0.0)
    dense[5:20, 20:50] = rng.normal(size=(15, 30))
    dense[7, 25] = 0.0
    return sparse.csr_array(dense)


@pytest.mark.parametrize("rows", PLACES)
@pytest.mark.parametrize("columns", PLACES)
def test_every_entry_is_in_one_part(rows, columns) -> None:
    given = matrix()
    turned = Split(sparse.csr_array(given.T), columns, rows)
    assert np.array_equal(turned.times(np.eye(40)), given.toarray().T)
    split = Split(given, rows, columns)
    assert np.array_equal(split.times(np.eye(60)), given.toarray())
    assert np.array_equal(split.absolute().times(np.eye(60)), np.abs(given.toarray()))


def test_a_dense_block_is_found() -> None:
    split = Split(matrix(), (5, 20), (20, 50))
    assert [block[:2] for block in split._blocks] == [(slice(5, 20, 1), slice(20, 50, 1))]


def test_a_block_in_every_third_place_is_found() -> None:
    spread = np.zeros((120, 90))
    spread[1::3, 30:] = np.random.default_rng(1).normal(size=(40, 60))
    split = Split(sparse.csr_array(spread), (60,), (30,))
    assert [block[:2] for block in split._blocks] == [
        (slice(1, 59, 3), slice(30, 90, 1)),
        (slice(61, 119, 3), slice(30, 90, 1)),
    ]
    assert np.array_equal(split.times(np.eye(90)), spread)
    turned = Split(sparse.csr_array(spread.T), (30,), (60,))
    assert [block[1] for block in turned._blocks] == [slice(1, 59, 3), slice(61, 119, 3)]
    assert np.array_equal(turned.times(np.eye(120)), spread.T)


def test_an_empty_matrix_has_products() -> None:
    assert Split(sparse.csr_array((0, 4))).times(np.ones((4, 2))).shape == (0, 2)
    assert np.array_equal(Split(sparse.csr_array((4, 0))).times(np.ones((0, 2))), np.zeros((4, 2)))
