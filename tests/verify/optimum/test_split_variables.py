"""Free variables that are split into two: their equations repeat each other, and the dual has no interior."""

from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

import verify
from verify._optimum.enclosure import distinct
from verify._optimum.exact import ContradictionError


def test_rows_that_repeat_others_times_a_power_of_two_are_found() -> None:
    M = sparse.csr_array([[0.1, 0.0, 3.0], [-0.2, 0.0, -6.0], [0.3, 0.0, 9.0], [0.0, 1.0, 0.0], [0.05, 0.0, 1.5]])
    f = np.array([0.7, -1.4, 2.1, 0.0, 0.35])
    assert distinct(M, f).tolist() == [0, 2, 3]  # 3 times a row is another one in floats
    assert distinct(sparse.csr_array(M[[3, 3]]), np.zeros(2)).tolist() == [0]
    with pytest.raises(ContradictionError):
        distinct(M, np.array([0.7, -1.4, 2.1, 0.0, np.nextafter(0.35, 1.0)]))
    tiny = sparse.csr_array([[1.0, 1e-305], [2.0, 2e-305]])  # scaled by powers of two these may lose their last bits
    assert distinct(tiny, np.zeros(2)).tolist() == [0, 1]


def split(seed: int) -> Any:
    """Return min c'x with A x = b, x in a product of cones as SeDuMi has it, two of whose entries are v' and v''."""
    rng = np.random.default_rng(seed)
    m, cones = 8, 200
    A = rng.normal(size=(m, 3 * cones))
    inner = np.tile([2.0, 0.0, 0.0], cones) + 0.3 * rng.normal(size=3 * cones)
    free = rng.normal(size=m)
    x, v = cp.Variable(3 * cones), cp.Variable(2, nonneg=True)
    y = rng.normal(size=m)
    y -= free * (free @ y) / (free @ free)  # the dual point is orthogonal to the free column
    s = np.tile([2.0, 0.0, 0.0], cones) + 0.3 * rng.normal(size=3 * cones)
    cost = (A.T @ y + s) @ x
    rows = [A @ x + free * 3.0 * (v[0] - v[1]) == A @ inner + free, cp.SOC(x[::3], cp.vstack([x[1::3], x[2::3]]))]
    return cp.Problem(cp.Minimize(cost), rows)


@pytest.mark.parametrize("seed", range(3))
def test_a_split_variable_leaves_a_narrow_bracket(seed: int) -> None:
    result = verify.optimum(split(seed))
    assert result.ok, result.notes
    assert result.gap <= 1e-6 * result.scale
