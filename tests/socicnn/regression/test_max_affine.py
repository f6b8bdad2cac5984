"""MaxAffine finds the pieces of a max-affine function, and its network is the same function."""

import numpy as np
import pytest

from socicnn._compile import value_program
from socicnn.regression import MaxAffine


def test_it_finds_the_pieces() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)) * [1, 100, 0.01] + [0, 5000, 1]
    a, b = np.array([[1, 0, 0], [0, 0.02, 100], [-1, -0.01, 50.0]]), np.array([0, -200, 2.0])
    y = (X @ a.T + b).max(axis=1)
    model = MaxAffine(3, restarts=10, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.9999
    order = np.argmin(np.abs(model.slopes_[:, :1] - a[:, 0]), axis=0)
    np.testing.assert_allclose(model.slopes_[order], a, rtol=1e-3, atol=1e-3)


def test_one_piece_is_weighted_least_squares() -> None:
    rng = np.random.default_rng(1)
    X, y, weight = rng.normal(size=(50, 2)), rng.normal(size=50), rng.uniform(size=50)
    columns = np.column_stack([X, np.ones(50)])
    root = np.sqrt(weight)
    expected = np.linalg.lstsq(root[:, None] * columns, root * y)[0]
    model = MaxAffine(1).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose([*model.slopes_[0], model.offsets_[0]], expected, rtol=1e-4, atol=1e-5)


def test_the_number_of_pieces_is_chosen_on_held_out_rows() -> None:
    rng = np.random.default_rng(2)
    X = rng.uniform(-1, 1, (300, 1))
    assert len(MaxAffine(random_state=0).fit(X, X[:, 0] + rng.normal(0, 0.1, 300)).offsets_) <= 3
    assert len(MaxAffine(random_state=0).fit(X, X[:, 0] ** 2).offsets_) == 8


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_its_network_and_its_program_are_the_same_function(pieces: int) -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(100, 2))
    model = MaxAffine(pieces, random_state=0).fit(X, (X**2).sum(axis=1))
    np.testing.assert_allclose(model.network_(X), model.predict(X), rtol=1e-12, atol=1e-12)
    solution = value_program(model.network_).at(X[0]).solve()
    assert solution.value == pytest.approx(model.predict(X[:1])[0], abs=1e-6)


@pytest.mark.parametrize("unit", [1e-170, 1e160])
@pytest.mark.parametrize("what", ["x", "y"])
def test_units_whose_squares_vanish_or_overflow(unit: float, what: str) -> None:
    X = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    scales = {"x": 1.0, "y": 1.0, what: unit}
    y = np.abs(X[:, 0]) - X[:, 1]
    model = MaxAffine(2, random_state=0).fit(scales["x"] * X, scales["y"] * y)
    np.testing.assert_allclose(model.predict(scales["x"] * X) / scales["y"], y, atol=1e-3)
