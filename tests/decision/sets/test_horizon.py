"""Steps linked by equalities: a storage over a day, links and ends that move."""

import cvxpy as cp
import numpy as np
import pytest

from decision import decide
from decision.sets import (
    Affine,
    Box,
    Horizon,
)
from socicnn.frozen import FrozenNet, Output, Quadratic
from tests.support.small_costs import net


def test_a_storage_over_a_day() -> None:
    """Energy in is energy out; prices are low at night. The level is left to the set."""
    T, eta = 24, 0.9
    price = 2.0 + np.sin(2 * np.pi * np.arange(T) / T)
    cost = FrozenNet([], Output([], np.stack([price, -price], axis=1).reshape(-1)), [Quadratic(0.01, np.eye(2 * T))])
    starts = np.array([[2.0], [5.0], [0.0]])
    day = Horizon.storage(T, capacity=10.0, power=3.0, initial=starts, final=starts, efficiency=eta, inputs=(0, 1))
    found = decide(cost, day)
    assert found.certified.all(), found.status
    for i in range(3):
        c, d, level = cp.Variable(T), cp.Variable(T), cp.Variable(T + 1)
        limits = [c >= 0, d >= 0, c <= 3, d <= 3, level >= 0, level <= 10, level[0] == starts[i, 0]]
        limits += [level[1:] == level[:-1] + eta * c - d / eta, level[T] == starts[i, 0]]
        bill = price @ (c - d) + 0.01 * (cp.sum_squares(c) + cp.sum_squares(d))
        least = cp.Problem(cp.Minimize(bill), limits).solve(solver="CLARABEL")
        assert float(found.value[i]) == pytest.approx(least, rel=1e-6)


def test_links_and_ends_may_move() -> None:
    """x_{t+1} = x_t + r_t from a moving start: one point is left."""
    steps = Horizon(
        Box(1, -10.0, 10.0), 3, link=([[-1.0]], [[1.0]], Affine([1.0, 0.0], [[0.0], [1.0]])), first=([[1.0]], [0.5])
    )
    found = decide(net(3, 2), steps, np.array([[2.0], [-1.0]]))
    np.testing.assert_allclose(found.x, [[0.5, 1.5, 3.5], [0.5, 1.5, 0.5]], atol=1e-9)
    moving = Horizon(Box(1, -10.0, 10.0), 3, link=([[-1.0]], [[1.0]], np.array([[[1.0], [2.0]]])), first=([[1.0]], [0]))
    np.testing.assert_allclose(decide(net(3), moving).x, [[0.0, 1.0, 3.0]], atol=1e-9)
