"""Multipliers corrected to the last digits, and how narrow that makes the brackets."""

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse import linalg

import verify
from benchmarks.proven_optima import instance
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from verify._optimum.canonical import canonical
from verify._optimum.multipliers import SoftEquations, corrected

# each had a lower end that was too wide: the multipliers left a residual of 1e-9, which far bounds multiply
WIDE = (1, 80, 118, 133, 138, 146, 158, 170, 204, 230, 260)


@pytest.mark.parametrize("seed", WIDE)
def test_brackets_are_narrow_where_the_solver_leaves_a_residual(seed: int) -> None:
    result = verify.optimum(instance(seed).problem)
    assert result.ok
    assert result.relative_gap <= 1e-7


def test_a_solver_that_fails_is_asked_for_less() -> None:
    result = verify.optimum(instance(122).problem)  # its numbers break down on dependent equalities
    assert result.ok
    assert result.relative_gap <= 1e-7


def test_rough_multipliers_of_a_linear_program_become_those_of_its_vertex() -> None:
    x = cp.Variable(2)
    program, _, _ = canonical(cp.Problem(cp.Minimize(3 * x[0] + 5 * x[1]), [x[0] + x[1] >= 2, x >= 0]), quadratic=True)
    rows, v = program.rows, np.array([2.0, 0.0])
    slack = rows.h - rows.G @ v
    rough = np.where(slack == 0.0, 2.1, 0.0)
    y = corrected(rows, program.conic.c, v, rough, slack == 0.0)
    assert y is not None
    assert sorted(y.tolist()) == [0.0, 2.0, 3.0]
    assert np.array_equal(rows.G.T @ y, -program.conic.c)


def test_multipliers_of_a_cone_stay_a_multiple_of_its_slack() -> None:
    rows = Rows(-np.eye(3), np.zeros(3), Cones(0, 0, (3,)))  # s = v
    y = corrected(
        rows,
        np.array([5.0, -3.0, -4.0]),
        np.array([10.0, 6.0, 8.0]),
        np.array([4.0, -2.0, -3.5]),
        np.zeros(3, dtype=bool),
    )
    assert y is not None
    np.testing.assert_allclose(y, [5.0, -3.0, -4.0], rtol=1e-15)


def test_multipliers_below_0_are_taken_out() -> None:
    rows = Rows(-np.eye(2), np.zeros(2), Cones(0, 2, ()))
    y = corrected(rows, np.array([1.0, -1e-12]), np.zeros(2), np.array([1.1, 1e-3]), np.ones(2, dtype=bool))
    assert y is not None
    assert y.tolist() == [1.0, 0.0]


def test_equations_of_an_image_are_solved_without_filling_their_factors() -> None:
    """Pivots that leave the diagonal would fill them: a proof then took 30 times the time of the solve."""
    side, draw = 48, np.random.default_rng(0)
    line = sparse.diags_array([-np.ones(side), np.ones(side - 1)], offsets=[0, 1])
    down, right = sparse.kron(line, sparse.eye_array(side)), sparse.kron(sparse.eye_array(side), line)
    B = sparse.csr_array(sparse.hstack([down.T @ down + right.T @ right, down, right]))
    weight = np.exp(6.0 * draw.normal(size=B.shape[1]))
    soft = SoftEquations.of(B, weight)
    assert soft is not None
    assert soft.factor.nnz < 10 * soft.matrix.nnz
    r = B @ (weight * draw.normal(size=B.shape[1]))
    pivoted = linalg.splu(soft.matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=1.0)
    expected = soft.weight * pivoted.solve(np.concatenate([np.zeros(len(weight)), soft.height * r]))[: len(weight)]
    missed = [np.abs(soft.height * (B @ d - r)).max() for d in (soft.step(r), expected)]
    assert missed[0] <= max(2 * missed[1], 1e-12 * np.abs(r).max())
