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
    split = Split(given, rows, columns)
    assert np.array_equal(split.times(np.eye(60)), given.toarray())
    assert np.array_equal(split.transposed_times(np.eye(40)), given.toarray().T)
    assert np.array_equal(split.absolute().times(np.eye(60)), np.abs(given.toarray()))
    assert np.array_equal(split.absolute().transposed_times(np.eye(40)), np.abs(given.toarray()).T)


def test_a_dense_block_is_found() -> None:
    split = Split(matrix(), (5, 20), (20, 50))
    assert [block[:2] for block in split._blocks] == [(slice(5, 20), slice(20, 50))]


def test_an_empty_matrix_has_products() -> None:
    split = Split(sparse.csr_array((0, 4)))
    assert split.times(np.ones((4, 2))).shape == (0, 2)
    assert np.array_equal(split.transposed_times(np.ones((0, 2))), np.zeros((4, 2)))
