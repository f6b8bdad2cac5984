"""Optima with integers and cones by outer cuts: the bracket holds whatever the cuts are."""

from itertools import product
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

import verify
from socicnn import to_cvxpy
from tests.support.frozen_nets import random_net
from tests.support.wrong_cuts import raise_cuts
from verify._optimum.outer_cuts import OuterCuts

pytestmark = pytest.mark.extra


def problem(seed: int) -> tuple[cp.Problem, float]:
    """Return a problem and its least value."""
    net = random_net(seed, n=3)
    points = np.asarray(list(product(range(-2, 3), repeat=3)), dtype=float)
    x = cp.Variable(3, integer=True)
    rows = [x >= -2, x <= 2, cp.sum(x) <= 1, cp.norm(x - 0.3) <= 2.3]
    inside = points[(points.sum(axis=1) <= 1) & (np.linalg.norm(points - 0.3, axis=1) <= 2.3)]
    return cp.Problem(cp.Minimize(to_cvxpy(net, x)), rows), float(net(inside).min())


@pytest.mark.parametrize("raised", [0.0, 1e-4, 1e-2])
@pytest.mark.parametrize("seed", range(4))
def test_the_bracket_holds_the_optimum(seed: int, raised: float, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highspy")
    asked, found, solve = list[int](), list[int](), OuterCuts.case

    def case(self: OuterCuts, *args: Any) -> Any:
        asked.append(1)
        answer = solve(self, *args)
        found.extend([1] if answer is not None else [])
        return answer

    monkeypatch.setattr(OuterCuts, "case", case)
    raise_cuts(monkeypatch, raised)
    asks, least = problem(seed)
    proven = verify.optimum(asks)
    assert len(found) > len(asked) / 2
    slack = 1e-12 * proven.scale  # the values are in floats
    assert proven.lo - slack <= least <= proven.hi + slack
    assert proven.gap <= 3e-7 * proven.scale
