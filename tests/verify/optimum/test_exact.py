"""Exact residuals and dependent rows, against rationals."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from verify._optimum.convex import curvature
from verify._optimum.enclosure import enclose
from verify._optimum.exact import ContradictionError, residual
from verify._optimum.ranks import independent


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


@pytest.mark.parametrize("seed", range(6))
def test_many_residuals_are_as_right_as_few(seed: int) -> None:
    """Rows of 0 to 20 entries, some of which cancel exactly or but for a few bits."""
    rng = np.random.default_rng(seed)
    rows, n = 450, 20
    M = rng.normal(size=(rows, n)) * 10.0 ** rng.uniform(-9, 9, size=(rows, n)) * (rng.random((rows, n)) < 0.3)
    M[::7] = np.round(M[::7])
    M[300:] *= rng.random((150, 1)) < 0.9
    x = np.round(rng.normal(size=n) * 64) / 64 if seed % 2 else rng.normal(size=n)
    f = M @ x + (rng.random(rows) < 0.3) * 10.0 ** rng.uniform(-30, 0, rows)
    value, error = residual(sparse.csr_array(M), x, f)
    zeros = 0
    for i, row in enumerate(M):
        terms = (Fraction(float(a)) * Fraction(float(b)) for a, b in zip(row, x, strict=True) if a)
        exact = Fraction(float(f[i])) - sum(terms, Fraction(0))
        assert abs(Fraction(float(value[i])) - exact) <= Fraction(float(error[i]))
        assert (value[i] == 0.0) == (exact == 0)
        zeros += exact == 0
    assert 0 < zeros < rows


def test_many_sums_of_which_little_is_left() -> None:
    """Pairs of very different sizes cancel but for one tiny entry: two passes over floats do not see it."""
    rng = np.random.default_rng(3)
    rows = []
    for _ in range(150):
        pairs = rng.normal(size=5) * 2.0 ** rng.integers(-150, 150, 5)
        rows.append(rng.permutation(np.concatenate([pairs, -pairs, [2.0**-200]])))
    value, _ = residual(sparse.csr_array(np.array(rows)), np.ones(11), np.zeros(150))
    assert (value == -(2.0**-200)).all()


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


@pytest.mark.parametrize("seed", range(12))
def test_ranks_are_those_of_fractions(seed: int) -> None:
    """Rows are sums of others with factors that are no simple fractions; entries have very different sizes."""
    rng = np.random.default_rng(seed)
    r, k, n = 5, 8, 9
    base = rng.integers(-99, 100, size=(r, n + 1)).astype(np.float64) * 2.0 ** rng.integers(-40, 40, size=n + 1)
    rows = np.vstack([base, rng.integers(-99, 100, size=(k - r, r)) @ base])[rng.permutation(k)]
    M, f = sparse.csr_array(rows[:, :n]), rows[:, n].copy()
    kept = independent(M, f)
    assert kept is not None
    assert len(kept) == r
    f[int(np.setdiff1d(np.arange(k), kept)[0])] *= 1.0 + 2.0**-52
    with pytest.raises(ContradictionError):
        independent(M, f)


def test_given_values_count_in_ranks() -> None:
    M = sparse.csr_array([[1.0, 1.0, 0.0], [0.25, 0.25, 1.0]])
    x = np.array([np.nan, np.nan, 0.75])
    kept = independent(M, np.array([3.0, 1.5]), x)
    assert kept is not None
    assert kept.tolist() == [0]
    with pytest.raises(ContradictionError):
        independent(M, np.array([3.0, 1.5]), np.array([np.nan, np.nan, np.nextafter(0.75, 1.0)]))
    assert independent(M, np.array([3.0, 1.5])).tolist() == [0, 1]  # type: ignore[union-attr]


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
