"""Sets written as rows that are a simplex, a box or a budget are decided as such, and no others."""

from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch

from decision import decide
from decision.sets import (
    Box,
    Budget,
    ConicSet,
    Intersection,
    Polytope,
    Simplex,
)
from tests.support.small_costs import net, value


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (Polytope(E=[[2.0, 2.0, 2.0]], f=[2.0], lower=0.0), Simplex(3)),
        (Polytope(-np.eye(3), np.zeros(3), np.ones((1, 3)), [1.0]), Simplex(3)),
        (Polytope(E=np.ones((1, 3)), f=[2.0], lower=0.0, upper=1.0), Budget(3, 2.0)),
        (Polytope(A=np.ones((1, 3)), b=[0.5], lower=0.0), Budget(3, 0.5, equality=False)),
        (Polytope(lower=[0.0, 1.0], upper=2.0), Box(2, [0.0, 1.0], [2.0, 2.0])),
        (Intersection([Simplex(3), Box(3)]), Simplex(3)),
    ],
)
def test_sets_with_a_batched_search_are_recognised(written: ConicSet, wanted: Any) -> None:
    assert repr(written.fixed()) == repr(wanted)
    network = net(wanted.n, 40)
    mine, other = decide(network, written), decide(network, wanted)
    assert torch.equal(mine.x, other.x)
    assert torch.equal(mine.gap, other.gap)
    assert mine.iterations.max() > 1  # of the batched method, not one solve


@pytest.mark.parametrize(
    "other",
    [
        Polytope(E=np.ones((1, 3)), f=[2.0], lower=0.0),  # a simplex of size 2
        Polytope(E=[[1.0, 1.0, 2.0]], f=[1.0], lower=0.0),
        Polytope(A=np.ones((1, 3)), b=[2.0], lower=0.0),
        Polytope(A=-np.ones((1, 3)), b=[-1.0], lower=0.0, upper=1.0),
        Polytope(E=np.ones((1, 3)), f=[1.0], lower=0.0, upper=0.9),
        Polytope(E=np.ones((1, 3)), f=[1.0], lower=[0.0, 0.0, 0.1]),
        Polytope(E=np.ones((2, 3)), f=[1.0, 1.0], lower=0.0),
        Polytope(lower=0.0, n=3),
    ],
)
def test_what_is_no_simplex_box_or_budget_is_not_taken_for_one(other: Polytope) -> None:
    assert other.fixed() is None
    found = decide(net(3), other)
    assert found.certified.all(), found.status
    x = cp.Variable(3)
    least = cp.Problem(cp.Minimize(value(x, net(3))), other.constraints(x)).solve(solver="CLARABEL")
    assert float(found.value[0]) == pytest.approx(least, abs=1e-6)
