"""Extents hold for every point of the set, also where the solver lies; cuts bound each other without a bounded set."""

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

from benchmarks.soundness_decisions import Liar
from decision._minimise.answers import Goal
from decision._minimise.constrained.constraints import Constraints, near, some
from decision._minimise.constrained.support import support_extents
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.conic.solvers._base import Solver
from socicnn.conic.solvers._clarabel import Clarabel
from verify._optimum.extents import Cuts, Extents, chained, single_bounds


def extents_of(constraints: list[cp.Constraint], n: int, solver: Solver | None = None) -> Extents:
    rows = Constraints.of(constraints, n).rows
    assert rows is not None
    keep = near(rows)
    return support_extents(rows, keep, some(rows, keep), solver or Clarabel(), Goal(1e-6))


def test_single_rows_are_rounded_outward() -> None:
    G = sparse.csr_array(np.array([[3.0, 0.0], [-7.0, 0.0], [0.0, -3.0]]))
    found = single_bounds(Rows(G, np.array([1.0, 1.0, -1.0]), Cones(zero=0, nonnegative=3)))
    assert found.upper[0] > 1 / 3 > found.upper[0] - 1e-15
    assert found.lower[0] < -1 / 7
    assert 1 / 3 - 1e-15 < found.lower[1] < 1 / 3
    assert found.upper[1] == np.inf


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_ball_reaches_its_radius(scale: float) -> None:
    x = cp.Variable(4)
    found = extents_of([cp.norm(x - scale * np.arange(4)) <= 2 * scale], 4)
    for j in range(4):
        assert scale * (j + 2) <= found.upper[j] <= scale * (j + 2 + 1e-5)
        assert scale * (j - 2 - 1e-5) <= found.lower[j] <= scale * (j - 2)


@pytest.mark.parametrize("lie", ["zero", "zero y", "random", "noisy y", "far"])
def test_a_solver_that_lies_proves_nothing_false(lie: str) -> None:
    x = cp.Variable(3)
    found = extents_of([cp.norm1(x) <= 1, cp.sum(x) <= 0.5], 3, Liar(lie, 1))
    assert (found.upper[:3] >= [1.0 - 0.25, 0.75, 0.75]).all()  # x_j = 3/4 with another coordinate at -1/4
    assert (found.lower[:3] <= -1.0).all()


def test_half_of_a_space_is_bounded_on_its_side_only() -> None:
    x = cp.Variable(2)
    found = extents_of([x[0] >= 1, x[0] <= 2, x[1] >= -3], 2)
    assert found.lower.tolist() == pytest.approx([1.0, -3.0])
    assert found.upper[0] == pytest.approx(2.0)
    assert found.upper[1] == np.inf
    free = extents_of([x[0] - x[1] <= 1], 2)
    assert not np.isfinite(free.reach).any()


def test_cuts_bound_each_other() -> None:
    """|v_1| <= 1 + |v_2| / 2 and |v_2| <= 1 + |v_1| / 4: at most 12/7 and 10/7, whatever v is."""
    rest = np.array([[0.0, 0.5], [0.25, 0.0]])
    cuts = Cuts(np.ones(2), rest)
    found = chained(Extents.free(2), cuts, cuts)
    assert (found.upper >= [12 / 7, 10 / 7]).all()
    assert (found.upper <= 4.0).all()
    wild = Cuts(np.ones(2), rest * 8)  # |v_1| <= 1 + 4 |v_2|, |v_2| <= 1 + 2 |v_1| bound nothing
    assert not np.isfinite(chained(Extents.free(2), wild, wild).reach).any()
    one = Cuts(np.array([1.0, np.inf]), np.array([[0.0, 1e-300], [0.0, 0.0]]))  # v_2 may be as large as it likes
    assert not np.isfinite(chained(Extents.free(2), one, one).reach).any()


def test_multipliers_serve_other_right_hand_sides() -> None:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(9, 3))
    G, found = sparse.csr_array(np.vstack([A, -A])), {}
    for turn, h in enumerate((np.ones(18), rng.uniform(0.5, 2.0, 18), rng.uniform(5.0, 9.0, 18))):
        rows = Rows(G, h, Cones(zero=0, nonnegative=18))
        keep = np.ones(18, dtype=bool)
        solver = Clarabel() if turn == 0 else Liar("random", 1)  # it is not asked again
        again = support_extents(rows, keep, rows, solver, Goal(1e-6), multipliers=found)
        own = support_extents(rows, keep, rows, Clarabel(), Goal(1e-6))
        assert len(found) == 6
        assert (again.lower <= own.lower + 1e-6).all()
        assert (again.upper >= own.upper - 1e-6).all()
        assert (again.upper - again.lower <= 10.0 * (own.upper - own.lower)).all()
