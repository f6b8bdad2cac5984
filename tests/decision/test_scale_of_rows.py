"""What a gap is relative to over sets given by rows or constraints: no more than f varies over the box around them."""

from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch

from decision import Ball, Box, Budget, Ellipsoid, Horizon, Intersection, Polytope, decide
from decision._minimise.reference import Reference, Within
from decision._minimise.stack import Stack
from decision._minimise.stack_surrogate import StackSurrogate
from socicnn.frozen import FrozenNet, Output, Quadratic
from tests.support.frozen_nets import random_net

N, RADIUS = 4, 0.3
SLOPE = np.random.default_rng(0).normal(size=N)
PLANES = np.vstack([np.eye(N), -np.eye(N), np.ones((1, N))])
X = cp.Variable(N)


def sets(centre: float) -> dict[str, tuple[Any, list[Any]]]:
    """Return sets of about the same size around a centre, with their constraints in z."""
    z, middle = X - centre, np.full(N, centre)
    planes = np.full(2 * N + 1, RADIUS) + PLANES @ middle
    axes = np.diag([1.0, 2.0, 0.5, 1.0])
    return {
        "polytope": (Polytope(A=PLANES, b=planes), [PLANES @ z <= RADIUS]),
        "ball": (Ball(N, RADIUS, centre=middle), [cp.norm(z) <= RADIUS]),
        "ellipsoid": (Ellipsoid(axes, radius=RADIUS, centre=middle), [cp.norm(np.linalg.inv(axes) @ z) <= RADIUS]),
        "cvxpy": ([cp.norm(X - middle) <= RADIUS], [cp.norm(z) <= RADIUS]),
        "intersection": (
            Intersection([Box(N, centre - RADIUS, centre + RADIUS), Ball(N, 0.4, centre=middle)]),
            [cp.abs(z) <= RADIUS, cp.norm(z) <= 0.4],
        ),
    }


@pytest.mark.parametrize("centre", [0.0, 100.0])
@pytest.mark.parametrize("curvature", [1e-2, 1e-6, 1e-10, 1e-14])
@pytest.mark.parametrize("kind", sorted(sets(0.0)))
def test_nearly_linear_costs_are_decided(kind: str, curvature: float, centre: float) -> None:
    # the Newton step of the quadratic at the origin is |slope| / curvature, up to 1e14: far outside of the set
    net = FrozenNet([], Output([], SLOPE), [Quadratic(curvature, np.eye(N), np.full(N, -centre))])
    feasible_set, constraints = sets(centre)[kind]
    answer = decide(net, feasible_set)
    assert answer.ok, answer.status
    most = 4.0 * RADIUS * np.abs(SLOPE).sum() + 10.0 * curvature  # twice the width, as an ellipsoid is wider
    assert float(answer.scale) <= most
    problem = cp.Problem(cp.Minimize(SLOPE @ X + curvature * cp.sum_squares(X - centre)), constraints)
    assert float(answer.value) == pytest.approx(problem.solve(solver=cp.CLARABEL), abs=3e-6 * most * (1 + centre / 1e3))


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_a_box_have_the_scale_of_the_box(seed: int) -> None:
    net = random_net(seed)
    exact = decide(net, Box(4, -1.0, 2.0), method="exact", rtol=1e-9)
    rows = decide(net, Polytope(A=np.vstack([np.eye(4), -np.eye(4)]), b=np.repeat([2.0, 1.0], 4)), rtol=1e-9)
    constraints = decide(net, [X >= -1, X <= 2], rtol=1e-9)
    for other in (rows, constraints):
        assert other.certified.all()
        assert float(other.scale) == pytest.approx(float(exact.scale), rel=1e-6)


def test_points_and_terms_are_those_of_a_box() -> None:
    net = random_net(1)
    surrogate, stack = StackSurrogate.of(net), Stack.of(net)
    ends = np.array([-1.0, 0.0, 2.0, -3.0]), np.array([1.0, 5.0, 2.0, 0.5])
    within, reference = Within.of(*ends), Reference.of(Box(4, *ends))
    torch.testing.assert_close(within.points, reference.points)
    x = reference.points[3:4]
    size = surrogate.size(x, reference.half)
    torch.testing.assert_close(within.terms(stack, x), size)
    everywhere = stack.grid(within.points)[0]
    expected = torch.minimum(size, everywhere.max() - everywhere.min())
    torch.testing.assert_close(within.scale(stack, x, stack.value(x)), expected)


def test_without_bounds_the_terms_count() -> None:
    net = FrozenNet([], Output([], [1.0, -2.0]), [Quadratic(0.5, np.eye(2))])
    answer = decide(net, Polytope(A=[[1.0, 1.0]], b=[10.0]))
    assert answer.ok
    assert not len(Within.of(np.array([0.0, -np.inf]), np.array([1.0, 2.0])).points)
    assert float(answer.scale) == pytest.approx(
        np.sqrt(5) * 3 + 0.5 * 2 * 5, rel=1e-6
    )  # own length: |slope| / curvature


@pytest.mark.parametrize("wear", [1e-2, 1e-6])
def test_a_battery_is_paid_for_within_its_hours(wear: float) -> None:
    hours = 6
    price = 2.0 + np.sin(2 * np.pi * np.arange(hours) / hours)
    bill = FrozenNet([], Output([], np.stack([price, -price], axis=1).ravel()), [Quadratic(wear, np.eye(2 * hours))])
    day = Horizon.storage(hours, capacity=10.0, power=3.0, efficiency=0.9, initial=2.0, final=5.0, inputs=(0, 1))
    answer = decide(bill, day)
    assert answer.ok
    assert float(answer.scale) <= 3.0 * 2 * price.sum() + 100 * wear


def test_whole_numbers_of_a_nearly_linear_cost() -> None:
    net = FrozenNet([], Output([], SLOPE), [Quadratic(1e-10, np.eye(N))])
    answer = decide(net, Box(N, -3, 3), integer=[0])
    assert answer.ok
    assert float(answer.value) == pytest.approx(-3 * np.abs(SLOPE).sum(), rel=1e-6)
    assert float(answer.scale) <= 6.1 * np.abs(SLOPE).sum()


@pytest.mark.parametrize("feasible_set", [Box(3, -1, 1), Budget(3, 0.0), Ball(3, 0.0)])
@pytest.mark.parametrize("branches", [[], [Quadratic(1.0, np.eye(3))]])
def test_a_cost_without_terms_is_certified(feasible_set: Any, branches: list[Quadratic]) -> None:
    net = FrozenNet([], Output([], [0.0, 0.0, 0.0]), branches)
    answer = decide(net, feasible_set)
    assert answer.ok, answer.status
    assert float(answer.relative_gap) <= 1e-6
