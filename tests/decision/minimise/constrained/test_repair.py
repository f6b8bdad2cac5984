"""Points far outside are moved into the set; what cannot be moved keeps its violation, which scales with the data."""

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

from decision._minimise.answers import Goal
from decision._minimise.constrained.constraints import Constraints, near, some
from decision._minimise.constrained.repair import Repair
from decision._minimise.constrained.support import support_extents
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.conic.solvers._clarabel import Clarabel


def repair_of(constraints: list[cp.Constraint], n: int) -> Repair:
    rows = Constraints.of(constraints, n).rows
    assert rows is not None
    keep = near(rows)
    return Repair(rows, keep, support_extents(rows, keep, some(rows, keep), Clarabel(), Goal(1e-6)), Clarabel())


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("distance", [1e-8, 1.0, 1e3])
def test_a_point_is_pulled_inside(scale: float, distance: float) -> None:
    x = cp.Variable(3)
    repair = repair_of([cp.norm(x) <= 2 * scale, x[0] + 2 * x[1] == scale, x >= -scale, x <= 1e15 * scale], 3)
    around = scale * np.array([0.2, 0.4, -1.0, 2.0])  # the last is CVXPY's own, the length of x
    rng = np.random.default_rng(0)
    for _ in range(20):
        v, violation = repair(around + scale * distance * rng.normal(size=4))
        v = v[:3]
        assert violation <= 2e-15
        assert np.linalg.norm(v) <= 2 * scale * (1 + 1e-14)
        assert abs(v[0] + 2 * v[1] - scale) <= 1e-14 * scale
        assert v.min() >= -scale * (1 + 1e-14)


def test_a_point_of_the_interior_serves_rows_that_move_a_little() -> None:
    A = np.random.default_rng(0).normal(size=(6, 3))
    G, keep = sparse.csr_array(np.vstack([A, -A])), np.ones(12, dtype=bool)
    asked: list[int] = []

    class Counted(Clarabel):
        def engine(self, program):
            asked.append(1)
            return super().engine(program)

    before = None
    for h in (np.ones(12), np.linspace(0.9, 1.1, 12), np.concatenate([np.full(6, 3.0), np.full(6, -2.0)])):
        rows = Rows(G, h, Cones(zero=0, nonnegative=12))
        extents = support_extents(rows, keep, rows, Clarabel(), Goal(1e-6))
        repair = Repair(rows, keep, extents, Counted(), before)
        if h.min() > 0:
            v, violation = repair(np.full(3, 9.0))
            assert violation <= 1e-14
            assert (rows.h - G @ v >= -1e-13).all()
        else:
            assert repair.inner is None or (rows.h - G @ repair.inner > 0).all()
        before = repair
    assert len(asked) == 2  # at first, and for the rows that left the point outside


def test_a_point_inside_stays() -> None:
    x = cp.Variable(2)
    repair = repair_of([x >= 0, x <= 1], 2)
    v, violation = repair(np.array([0.25, 1.0]))
    assert v.tolist() == [0.25, 1.0]
    assert violation == 0.0


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_violation_is_relative_to_the_data(scale: float) -> None:
    x = cp.Variable(2)
    repair = repair_of([x[0] + x[1] <= scale, x[0] + x[1] >= scale, x <= 1e15 * scale], 2)  # no interior
    off = scale * np.array([0.5, 0.5 + 1e-6])
    assert repair.violation(off) == pytest.approx(1e-6, rel=1e-2)
    assert repair(off)[1] <= 1e-15


def test_a_row_in_small_units_counts_as_any_other() -> None:
    x = cp.Variable(2)
    repair = repair_of([x[0] <= 1, x[0] >= 1, 1e9 * x[1] <= 1e9], 2)
    assert repair.violation(np.array([1.5, 0.0])) > 0.1


@pytest.mark.parametrize("wide", [1e3, 1e6, 1e8, 5e8])
def test_large_numbers_in_other_rows_excuse_no_violation(wide: float) -> None:
    x = cp.Variable(3)
    repair = repair_of([x[0] + x[1] <= 1.4, x[:2] >= 0, x[2] >= 0, x[2] <= wide], 3)
    assert repair.violation(np.array([1.0, 0.401, wide])) == pytest.approx(1e-3 / 1.401, rel=1e-6)
    assert repair.violation(np.array([0.0, -1e-3, wide])) == 1.0
    assert repair.violation(np.array([0.0, -1e-17, wide])) <= 1e-15  # of what x_1 may be, it is rounding
    switched = repair_of([x[1] <= wide * x[0], x[0] == 0, x[1] >= 0, x[1] <= wide, cp.norm(x[1:]) <= wide], 3)
    off = np.array([0.0, 0.05, 0.0, *np.full(switched._rows.G.shape[1] - 3, wide)])
    assert switched.violation(off) == 1.0  # it is 0 where the switch x_0 is


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_point_next_to_a_set_without_interior_is_moved_into_it(scale: float) -> None:
    """Rows that hold with equality everywhere leave no slack, and a ball may touch a plane in one point."""
    x = cp.Variable(4)
    share = [cp.sum(x) == scale, x >= 0, x[0] + x[1] >= x[2] + x[3], x[2] >= 0.5 * scale, 0 * x[0] <= 0]
    repair = repair_of(share, 4)
    assert repair.inner is None
    rng = np.random.default_rng(0)
    for _ in range(20):
        off = scale * (np.array([0.5, 0.0, 0.5, 0.0]) + 1e-8 * rng.normal(size=4))
        v, violation = repair(off)
        assert violation <= 1e-15
        assert np.abs(v - off).max() <= 1e-6 * scale
    touching = repair_of([cp.norm(x[:2]) <= scale, x[0] >= scale, cp.abs(x[2:]) <= scale], 4)
    assert touching.inner is None
    start = np.zeros(touching._rows.G.shape[1])
    start[:4] = scale * np.array([1.0, 0.0, 0.5, 0.5])
    start[4:] = scale
    v, violation = touching(start + 1e-7 * scale * rng.normal(size=len(start)))
    assert violation <= 1e-13
    assert np.abs(v - start).max() <= 1e-6 * scale


def test_what_no_point_satisfies_keeps_its_violation() -> None:
    x = cp.Variable(2)
    repair = repair_of([x[0] + x[1] <= 0, x[0] + x[1] >= 1, x <= 1], 2)
    assert repair(np.array([0.25, 0.25]))[1] > 0.1
