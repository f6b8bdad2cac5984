"""Decisions under CVXPY constraints: certified on textbook sets, in the set, bounds never above the minimum."""

from typing import Literal

import cvxpy as cp
import numpy as np
import pytest
import torch
from scipy import sparse

from benchmarks.constrained_sets import SETS, decided
from benchmarks.soundness_decisions import Liar, bounds_above_minimum
from decision import decide
from decision._minimise.constrained.constraints import _violation
from decision._options import DecideOptions
from decision.sets import Ball, CvxpySet, Polytope, Simplex
from socicnn import SOCICNN
from socicnn.errors import SolverError
from socicnn.frozen import FrozenNet, Layer, Output, Quadratic
from tests.support.cases import generator


def bowl(slope: float) -> FrozenNet:
    """Return f(x) = (x_1 - 1)^2 - slope x_2, almost flat in x_2."""
    return FrozenNet([], Output([], [0.0, -slope]), [Quadratic(1.0, [[1.0, 0.0]], [-1.0])])


@pytest.mark.parametrize("n", [5, 30])
@pytest.mark.parametrize("name", SETS)
def test_textbook_sets_are_certified_at_the_default_accuracy(name: str, n: int) -> None:
    found = decided(name, n, 40 if n == 5 else 10, seed=1)
    assert found.certified.double().mean() >= 0.99, found.status
    assert found.violation is not None
    assert found.violation.max() <= 1e-12


@pytest.mark.parametrize("seed", [0, 1])
def test_no_bound_above_a_known_minimum(seed: int) -> None:
    found = bounds_above_minimum(150, seed, largest=8)
    assert found.violations == 0, found
    assert found.count == 150
    assert found.honest_certified >= 0.6 * found.honest


@pytest.mark.parametrize("far", [1e5, 1e10])
@pytest.mark.parametrize("slope", [1e-6, 1e-8, 1e-9])
def test_a_flat_direction_to_a_far_cone(far: float, slope: float) -> None:
    x = cp.Variable(2)
    found = decide(bowl(slope), [cp.norm(x) <= far], method="exact")
    assert float(found.value[0]) - float(found.gap[0]) <= -slope * np.sqrt(far**2 - 1) * (1 - 1e-12)


def test_a_liar_is_not_believed() -> None:
    x = cp.Variable(1)
    found = decide(FrozenNet([], Output([], [-1e-9])), [x >= 0, x <= 1e6], options=DecideOptions(solver=Liar("zero")))
    assert float(found.value[0]) - float(found.gap[0]) <= -1e-3
    assert not found.certified.any()


@pytest.mark.parametrize("value", [0.0, 3.0, -1e8])
@pytest.mark.parametrize("radius", [1.0, 1e6])
def test_a_cost_that_is_constant_has_no_gap(value: float, radius: float) -> None:
    found = decide(FrozenNet([], Output([], [0.0, 0.0], value)), Ball(2, radius, centre=[5.0, -1.0]))
    assert found.certified.all()
    assert float(found.gap[0]) <= 1e-12 * abs(value) + 1e-290
    assert float(found.value[0]) == value


@pytest.mark.parametrize("centre", [(-0.5, 0.0), (0.0, 0.25), (-2.0, 0.0), (-3e4, 0.0)])
def test_a_half_plane_that_holds_the_minimiser_of_a_cost_that_is_zero_there(centre: tuple[float, float]) -> None:
    bowl_at = FrozenNet([], Output([], [0.0, 0.0]), [Quadratic(1.0, np.eye(2), [-centre[0], -centre[1]])])
    found = decide(bowl_at, Polytope([[1.0, 1.0]], [1.0]))
    assert found.certified.all(), found.status
    assert (found.x[0] - torch.tensor(centre, dtype=torch.float64)).abs().max() <= 1e-2 * max(map(abs, centre))


def test_unbounded_sets_where_the_cost_bounds_the_minimiser() -> None:
    """(x_1 - 1)^2 + (x_2 - 2)^2 over x_1 + x_2 <= 1: the nearest point (0, 1), 2."""
    x = cp.Variable(2)
    net = FrozenNet([], Output([], [0.0, 0.0]), [Quadratic(1.0, np.eye(2), [-1.0, -2.0])])
    for constraints, value in (([x[0] + x[1] <= 1], 2.0), ([x[0] + x[1] == 1], 2.0), ([x >= 3], 5.0)):
        found = decide(net, constraints)
        assert found.certified.all(), found.status
        assert float(found.value[0]) == pytest.approx(value, abs=1e-6)


def test_directions_that_nothing_depends_on_need_no_bound() -> None:
    x = cp.Variable(2)
    net = FrozenNet([], Output([], [0.0, 0.0]), [Quadratic(1.0, [[1.0, 0.0]], [-1.0])])
    assert decide(net, [x[0] <= 3, x[1] >= 0]).certified.all()
    hinge = FrozenNet([Layer(None, [[-1.0]], [5.0])], Output([1.0], [0.0]))  # 0 from 5 on, to infinity
    z = cp.Variable(1)
    assert decide(hinge, [z >= 0]).certified.all()


def test_where_nothing_is_proven_it_says_so() -> None:
    """A cost that is flat along a line to infinity: a residual of the solver may be worth anything there."""
    x = cp.Variable(2)
    net = FrozenNet([], Output([], [0.0, 0.0]), [Quadratic(1.0, [[0.3, 0.7]], [-0.1])])
    found = decide(net, [0.1 * x[0] + 0.9 * x[1] <= 3])
    if not found.gap.isfinite().all():
        assert "Nothing is proven about 1 of 1" in found.status
    assert float(found.value[0] - found.gap[0]) <= 0.0


@pytest.mark.parametrize("far", [1e4, 1e10, 1e15, 1e20, 1e25, np.inf])
def test_bounds_that_are_none_change_nothing(far: float) -> None:
    rng = np.random.default_rng(0)
    net = FrozenNet(
        [Layer(None, rng.normal(size=(8, 3)), rng.normal(size=8))],
        Output(rng.uniform(size=8), rng.normal(size=3), 0.3),
        [Quadratic(1.0, np.eye(3))],
    )
    x = cp.Variable(3)
    found = decide(net, [x >= 0, x <= far, cp.sum(x) == 1])
    assert found.certified.all(), found.status
    np.testing.assert_allclose(found.x, decide(net, Simplex(3)).x, atol=1e-4)
    assert found.violation is not None
    assert found.violation.max() <= 1e-12


def test_a_far_plane_that_matters_is_kept() -> None:
    x = cp.Variable(2)
    net = FrozenNet([], Output([], [-1.0, 0.0]), [Quadratic(1.0, [[0.0, 1.0]], [-1.0])])
    found = decide(net, [x[0] <= 1e10, x >= -1, x[1] <= 1])
    assert found.x[0, 0] == pytest.approx(1e10, rel=1e-6)
    assert float(found.value[0]) - float(found.gap[0]) <= -1e10


def test_points_are_moved_into_the_set() -> None:
    rng = np.random.default_rng(0)
    net = FrozenNet(
        [], Output([], rng.normal(size=(20, 4))), [Quadratic(np.ones(20), np.eye(4), rng.normal(size=(20, 4)))]
    )
    x = cp.Variable(4)
    sloppy = {"tol_gap_abs": 1e-3, "tol_gap_rel": 1e-3, "tol_feas": 1e-3}
    found = decide(net, [cp.norm(x) <= 1, x[0] + x[1] == 0.25, x >= -0.9], options=DecideOptions(settings=sloppy))
    assert np.linalg.norm(found.x, axis=1).max() <= 1 + 1e-14
    assert (found.x[:, 0] + found.x[:, 1] - 0.25).abs().max() <= 1e-15


def test_points_that_stay_outside_are_flagged_and_not_certified() -> None:
    """No point satisfies both planes; where they meet there is one, though no interior to pull towards."""
    net = FrozenNet([], Output([], [[1.0, 0.0]] * 3), [Quadratic(np.ones(3), np.eye(2))])
    x = cp.Variable(2)
    met = decide(net, [x[0] + x[1] <= 1, x[0] + x[1] >= 1], options=DecideOptions(solver=Liar("far")))
    assert met.violation is not None
    assert met.violation.max() <= 1e-15
    found = decide(net, [x[0] + x[1] <= 1, x[0] + x[1] >= 2], options=DecideOptions(solver=Liar("far")))
    assert found.violation is not None
    assert (found.violation > 1e-9).all()
    assert not found.certified.any()
    assert "3 of 3 decisions miss the constraints" in found.status


@pytest.mark.parametrize("wide", [1e6, 1e8])
def test_large_numbers_in_other_rows_excuse_no_violation(wide: float) -> None:
    """The set is empty by 1e-3; next to a bound of 1e6, (1, 0.401) was a certified decision."""
    layer = Layer(None, [[1.0, 0.5, 0.0], [0.2, -1.0, 1e-3]], [-1.0, 0.3])
    net = FrozenNet([layer], Output([1.0, 2.0], [0.1, 0.2, 0.0]))
    region = Polytope(A=[[1.0, 1.0, 0.0]], b=[1.4], lower=[1.0, 0.401, 0.0], upper=[5.0, 5.0, wide])
    answer = decide(net, region)
    assert not answer.feasible.any()
    assert not answer.certified.any()


def test_large_variables_excuse_no_violation_of_what_is_not_proven() -> None:
    """CVXPY's own answers, of sets that need other cones, are measured constraint by constraint."""
    x = cp.Variable(3)
    x.value = np.array([1.0, 0.5, 1e8])
    assert _violation([x[0] + x[1] <= 1.4, cp.exp(x[0]) <= x[2]]) == pytest.approx(0.1 / 1.5)
    X = cp.Variable((2, 2), value=np.array([[2.5, 0.0], [0.0, 1.0]]))
    assert _violation([sparse.eye_array(2) * 2.0 >= X]) == pytest.approx(0.5 / 2.5)


def test_good_rows_survive_a_bad_one() -> None:
    """-x_1 is unbounded below over x_1 >= 0; the quadratic of the other contexts bounds it."""
    net = FrozenNet([], Output([], [[-1.0, 0.0]] * 5), [Quadratic(np.array([1.0, 1, 0, 1, 1]), np.eye(2))])
    x = cp.Variable(2)
    found = decide(net, [x >= 0])
    assert found.certified.tolist() == [True, True, False, True, True]
    assert "1 of 5 contexts: Clarabel" in found.status
    with pytest.raises(SolverError, match="no context has a solution"):
        decide(net[2], [x >= 0])


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9, 1e-300])
@pytest.mark.parametrize("norm", ["1", "2"])
def test_quadratics_that_nearly_vanish_at_the_origin_are_scaled_by_the_networks_own_length(
    size: float, norm: Literal["1", "2"]
) -> None:
    # all offsets are that small: a cone scaled by ||p|| at the origin would be out of every solver's reach
    model = SOCICNN(5, (6, 5), (3,), (2, 2), context_features=2, context="partial", generator=generator(0)).double()
    theta = size * torch.randn(3, 2, generator=generator(1), dtype=torch.float64)
    found = decide(model, Ball(5, 2.0, np.zeros(5), norm), theta)
    assert found.ok, found.status


def test_what_tight_tolerances_lose_is_solved_at_the_solvers_own() -> None:
    # at tolerances of 1e-11 Clarabel's numbers break down for each of these contexts
    rng = np.random.default_rng(11)
    n, s = int(rng.integers(2, 7)), 1e4
    model = SOCICNN(n, (6, 5), (3,), (2,), context_features=2, context="partial", generator=generator(11)).double()
    theta = torch.tensor(rng.normal(size=(4, 2)) * 1e-6)
    y = cp.Variable(n)
    found = decide(model, CvxpySet([cp.norm1(y / s - 1.0) <= 1.5, cp.norm2(y / s) <= 2.0 * np.sqrt(n)], y), theta)
    assert found.x.isfinite().all()
    assert found.violation is not None
    assert found.violation.max() <= 1e-9
    assert found.relative_gap.max() <= 1e-3
