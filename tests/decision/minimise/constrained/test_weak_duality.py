"""Multipliers are in K*, and what they prove is true, in rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from verify._optimum.weak_duality import WeakDuality, into_dual_cone

CONES = Cones(zero=2, nonnegative=3, second_order=(1, 3, 6))


def random_rows(seed: int, scale: float = 1.0) -> Rows:
    rng = np.random.default_rng(seed)
    G = rng.normal(size=(CONES.rows, 4)) * (rng.random((CONES.rows, 4)) < 0.6) * 10.0 ** rng.integers(-3, 4, size=4)
    return Rows(sparse.csr_array(G * scale), rng.normal(size=CONES.rows) * scale, CONES)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-6, 1.0, 1e6, 1e200])
@pytest.mark.parametrize("seed", range(5))
def test_any_vector_is_moved_into_the_dual_cone(seed: int, scale: float) -> None:
    y = into_dual_cone(np.random.default_rng(seed).normal(size=CONES.rows) * scale, CONES)
    assert (y[2:5] >= 0).all()
    for head, size in zip(CONES.heads, CONES.second_order, strict=True):
        tail = [Fraction(float(one)) for one in y[head + 1 : head + size]]
        assert y[head] >= 0
        assert Fraction(float(y[head])) ** 2 >= sum((one**2 for one in tail), Fraction(0))


@pytest.mark.parametrize("scale", [1e-200, 1e-6, 1.0, 1e6])
@pytest.mark.parametrize("seed", range(10))
def test_the_combination_encloses_the_exact_one(seed: int, scale: float) -> None:
    rows = random_rows(seed, scale)
    y = into_dual_cone(np.random.default_rng(seed + 100).normal(size=CONES.rows) * scale, CONES)
    proof = WeakDuality(rows).combine(y)
    G = rows.G.toarray()
    exact = [sum(Fraction(float(G[i, j])) * Fraction(float(y[i])) for i in range(len(y))) for j in range(4)]
    for j in range(4):
        assert abs(Fraction(float(proof.sum[j])) - exact[j]) <= Fraction(float(proof.error[j]))
    assert sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(rows.h, y, strict=True)) <= Fraction(proof.most)


def test_columns_that_no_row_in_use_touches_have_no_error() -> None:
    rows = Rows(sparse.csr_array(np.eye(3)), np.ones(3), Cones(nonnegative=3))
    proof = WeakDuality(rows).combine(np.array([1.0, 0.0, 2.0]))
    assert proof.error[1] == 0.0
    assert (proof.error[[0, 2]] > 0).all()
