"""Exact residuals and exact elimination, against rationals."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from verify._optimum.convex import curvature
from verify._optimum.enclosure import enclose
from verify._optimum.exact import ContradictionError, independent, residual


@pytest.mark.parametrize("seed", range(20))
def test_residuals_are_right_to_the_last_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    M = sparse.csr_array(rng.normal(size=(4, 6)) * 10.0 ** rng.uniform(-30, 30, size=(4, 6)))
    x, f = rng.normal(size=6) * 10.0 ** rng.uniform(-30, 30, size=6), rng.normal(size=4)
    if seed % 2:
        f = M @ x  # what is left is rounding alone
    value, error = residual(M, x, f)
    for i, row in enumerate(M.toarray()):
        terms = (Fraction(float(a)) * Fraction(float(b)) for a, b in zip(row, x, strict=True))
        exact = Fraction(float(f[i])) - sum(terms, Fraction(0))
        assert abs(Fraction(float(value[i])) - exact) <= Fraction(float(error[i]))
        assert error[i] <= 2.0**-51 * abs(value[i]) + 2.0**-1000


@pytest.mark.parametrize("seed", range(20))
def test_a_box_holds_the_exact_solution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = rng.integers(-9, 10, size=(3, 3)) + 12 * np.eye(3)
    solution = [Fraction(int(a), int(b)) for a, b in zip(rng.integers(1, 9, 3), (3, 7, 11), strict=True)]
    f = [sum((Fraction(a) * s for a, s in zip(row, solution, strict=True)), Fraction(0)) * 231 for row in whole]
    point = np.array([float(231 * s) for s in solution]) + 1e-9 * rng.normal(size=3)
    box = enclose(sparse.csr_array(whole), np.array([float(value) for value in f]), point, np.ones(3))
    assert box is not None
    assert (box.radius <= 1e-12 * np.abs(point).max()).all()
    for centre, radius, s in zip(box.centre, box.radius, solution, strict=True):
        assert abs(Fraction(float(centre)) - 231 * s) <= Fraction(float(radius))


def test_dependent_rows_are_dropped_and_contradictions_are_raised() -> None:
    M = sparse.csr_array(np.array([[0.1, 0.2, 0.0], [0.2, 0.4, 0.0], [0.0, 1.0, 3.0]]))
    assert independent(M, np.array([1.0, 2.0, 5.0])).tolist() == [0, 2]  # type: ignore[union-attr]
    with pytest.raises(ContradictionError):
        independent(M, np.array([1.0, np.nextafter(2.0, 3.0), 5.0]))


def test_curvature_is_a_lower_bound_of_the_quadratic_form() -> None:
    rng = np.random.default_rng(0)
    for k in (2, 5, 20):
        F = rng.normal(size=(k, k))
        S = F @ F.T
        S = (S + S.T) / 2
        D = curvature(sparse.csr_array(S))
        assert D is not None
        assert 0 < D.max() <= np.linalg.eigvalsh(S)[0]
    assert curvature(sparse.csr_array([[1.0, 2.0], [2.0, 1.0]])) is None
    assert curvature(sparse.csr_array([[-1.0]])) is None
