"""Sparse proofs: bounds of eigenvalues, boxes of many equations, dependent rows; no end is wrong at many rows."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import verify
from benchmarks.large_optima import FAMILIES
from socicnn.conic._cones import Cones
from verify._optimum import enclosure
from verify._optimum.dependent import without_dependent
from verify._optimum.exact import ContradictionError
from verify._optimum.gram import gram, weak_rows
from verify._optimum.least_norm import least_norm_box
from verify._optimum.lengths import lengths
from verify._optimum.pinned import pinned


def banded(rng: np.random.Generator, k: int, n: int) -> sparse.csr_array:
    """Return a sparse matrix of whole numbers whose rows are independent."""
    extra = sparse.random_array((k, n), density=2.0 / n, rng=rng, data_sampler=lambda size: rng.integers(-3, 4, size))
    return sparse.csr_array(sparse.eye_array(k, n) * 7.0 + extra)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("worst", [1.0, 1e-2, 1e-4])
def test_the_proven_eigenvalue_is_below_the_true_one(seed: int, worst: float) -> None:
    rng = np.random.default_rng(seed)
    k = 30
    S = rng.normal(size=(k, 3 * k)) * (rng.random((k, 3 * k)) < 0.2) + np.eye(k, 3 * k)
    S[-1] = worst * S[-1] + S[0]
    proof = gram(sparse.csr_array(S))
    true = np.linalg.svd(S, compute_uv=False)[-1] ** 2
    assert proof is not None
    assert 0.0 < proof.least <= true * (1 + 1e-6)
    right = rng.normal(size=k)
    assert np.allclose(S @ (S.T @ proof.solve(right)), right, rtol=1e-3, atol=1e-3)


def test_rows_that_depend_on_others_have_no_bound() -> None:
    S = sparse.csr_array(np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0], [1.0, 3.0, 1.0]]))
    assert gram(S) is None
    assert len(weak_rows(S)) == 1


@pytest.mark.parametrize("seed", range(6))
def test_the_box_holds_the_only_solution(seed: int) -> None:
    """As many unknowns may move as there are equations, and the solution is a vector of thirds."""
    rng = np.random.default_rng(seed)
    k, n = 150, 180
    M = banded(rng, k, n)
    room = np.zeros(n)
    room[:k] = np.exp2(rng.integers(-8, 9, size=k))
    x = rng.integers(-9, 10, size=n).astype(np.float64)
    f = M @ x
    box = least_norm_box(3 * M, f, x / 3 + 1e-9 * (room > 0), room, np.zeros(k))
    assert box is not None
    centre, radius = box
    stays = x[k:] / 3  # floats next to thirds: the others move by what these lack
    right = [Fraction(value) for value in f.tolist()]
    dense = M.toarray()
    for i in range(k):
        right[i] -= 3 * sum(Fraction(dense[i, k + j]) * Fraction(stays[j]) for j in range(n - k))
    exact = _solved(3 * dense[:, :k], right)
    assert all(abs(value - Fraction(c)) <= Fraction(r) for value, c, r in zip(exact, centre, radius, strict=False))
    assert radius.max() < 1e-15


def _solved(A: Any, b: list[Fraction]) -> list[Fraction]:
    """Return the solution of A x = b in fractions, from the inverse in floats, refined until it is exact."""
    k = len(b)
    rows = [[Fraction(value) for value in row] + [right] for row, right in zip(A.tolist(), b, strict=True)]
    for i in range(k):
        pivot = next(j for j in range(i, k) if rows[j][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for j in range(i + 1, k):
            if rows[j][i]:
                factor = rows[j][i] / rows[i][i]
                rows[j] = [a - factor * c if c else a for a, c in zip(rows[j], rows[i], strict=True)]
    x = [Fraction(0)] * k
    for i in reversed(range(k)):
        known = sum((rows[i][j] * x[j] for j in range(i + 1, k) if rows[i][j]), Fraction(0))
        x[i] = (rows[i][k] - known) / rows[i][i]
    return x


@pytest.mark.parametrize("factors", [[1.0, -1.0, 2.0], [1 / 3, 0.0, 5.0], [2.0**-20, 3.0, 0.0]])
def test_equations_that_follow_from_others_are_found(factors: list[float]) -> None:
    M = 3 * np.array([[1.0, 2.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0, 4.0], [1.0, 0.0, 2.0, 0.0, 1.0]])
    f = 3 * np.array([1.0, 2.0, 3.0])
    own = np.array(factors)
    rows = sparse.csr_array(np.vstack([M, own @ M]))
    right = np.append(f, own @ f)
    kept = without_dependent(rows, right, np.zeros(5), np.ones(5), 10**9)
    assert kept is not None
    assert len(kept) == 3
    right[-1] = np.nextafter(right[-1], np.inf)
    with pytest.raises(ContradictionError):
        without_dependent(rows, right, np.zeros(5), np.ones(5), 10**9)


def test_equations_are_not_removed_if_they_nearly_follow() -> None:
    M = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0], [1.0, 3.0, 1.0 + 2.0**-52]])
    assert without_dependent(sparse.csr_array(M), np.array([1.0, 2.0, 3.0]), np.zeros(3), np.ones(3), 10**9) is None


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e300])
def test_equations_far_from_one_are_not_removed_by_mistake(size: float) -> None:
    rng = np.random.default_rng(0)
    M = rng.normal(size=(4, 6))
    M[3] = M[0] + rng.normal(size=6) * 1e-12
    M[2] *= size
    try:
        kept = without_dependent(sparse.csr_array(M), np.ones(4), np.zeros(6), np.ones(6), 10**9)
    except ContradictionError:
        kept = np.zeros(0)
    assert kept is None


def test_a_chain_of_equations_pins_its_unknowns() -> None:
    M = sparse.csr_array(np.array([[2.0, 0, 0], [1.0, 1.0, 0], [0, 1.0, 3.0], [1.0, 0, 1.0]]))
    x, fixed, left = pinned(M, np.array([1.0, 1.0, 1.0, 0.5]), np.full(3, 0.7), np.zeros(3, dtype=bool))
    assert x[:2].tolist() == [0.5, 0.5]
    assert fixed.tolist() == [True, True, True]  # the last equation, 0.5 + x = 0.5, fixes x at 0
    assert x[2] == 0.0
    assert left.tolist() == [False, False, True, False]  # 0.5 + 3 x = 1 does not hold there


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_lengths_are_rounded_up(scale: float) -> None:
    rng = np.random.default_rng(0)
    cones = Cones(1, 2, tuple(rng.integers(1, 6, size=200).tolist()))
    s = scale * rng.normal(size=cones.rows)
    for length, head, size in zip(lengths(cones, s), cones.heads, cones.second_order, strict=True):
        tail = [Fraction(value) ** 2 for value in s[head + 1 : head + size].tolist()]
        assert Fraction(length) ** 2 >= sum(tail, Fraction(0))
        assert length <= (1 + 1e-14) * np.linalg.norm(s[head + 1 : head + size] / scale) * scale + 1e-300


@pytest.mark.parametrize("name", FAMILIES)
def test_large_programs_are_proven_without_a_dense_matrix(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enclosure, "LARGEST", 0)
    build, share = FAMILIES[name]
    problem, value = build(4000 // share)
    result = verify.optimum(problem)
    assert result.ok
    assert Fraction(result.lo) <= value <= Fraction(result.hi)
    assert result.relative_gap <= 1e-8
