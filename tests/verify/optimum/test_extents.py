"""Bounds of coordinates that follow from rows hold for every point of the set."""

from fractions import Fraction

import numpy as np
from scipy import sparse

from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from verify._optimum.extents import propagated, single_bounds


def test_rows_bound_what_nothing_else_bounds() -> None:
    G = sparse.csr_array([[1.0, 3.0, 0.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 1.0, -2.0]])
    rows = Rows(
        G, np.array([1.0, 0.0, 0.0, 0.5]), Cones(zero=1, nonnegative=3)
    )  # x + 3 y = 1, x, y >= 0, y - 2 z <= 1/2
    extents = propagated(rows, single_bounds(rows))
    assert 1.0 <= extents.upper[0] <= 1.0 + 1e-14
    assert Fraction(extents.upper[1]) >= Fraction(1, 3)
    assert extents.upper[1] <= 1 / 3 + 1e-14
    assert -0.25 - 1e-14 <= extents.lower[2] <= -0.25
    assert extents.upper[2] == np.inf


def test_points_of_random_sets_lie_in_the_bounds() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(2, 6))
        x = rng.integers(-8, 9, size=n) / 8.0
        G = rng.integers(-3, 4, size=(2 * n, n)) * (rng.random((2 * n, n)) < 0.5) * 2.0 ** rng.integers(-20, 20)
        slack = np.append(np.zeros(2), rng.integers(0, 3, size=2 * n - 2)) * float(np.abs(G).max())
        rows = Rows(sparse.csr_array(G), G @ x + slack, Cones(zero=2, nonnegative=2 * n - 2))  # exact in floats
        extents = propagated(rows, single_bounds(rows), rounds=4)
        assert (extents.lower <= x).all()
        assert (x <= extents.upper).all()
