"""Whole entries by outer cuts: the optimum of enumeration, bounds that hold whatever the cuts are."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

import decision
from decision._integer_cuts import CutCase, CutCases
from decision._minimise.answers import Goal
from decision._minimise.methods import Exact
from decision._minimise.reference import own_reach, terms
from decision._minimise.stack import Stack
from decision.sets import Ball, Box, Intersection, Polytope
from decision.sets._base import FeasibleSet
from socicnn.frozen import FrozenNet, Norm, Output, Quadratic
from tests.support.frozen_nets import random_net
from tests.support.wrong_cuts import raise_cuts
from verify._optimum.extents import Extents

pytestmark = pytest.mark.extra
SCALES = (1.0, 1e6, 1e-6)


def scaled(net: FrozenNet, by: float) -> FrozenNet:
    """Return a network times a number."""
    output = net.output
    return FrozenNet(
        net.layers,
        Output(by * output.w, by * output.v, by * output.c),
        [Quadratic(by * part.beta, part.A, part.e) for part in net.quadratics],
        [Norm(by * part.gamma, part.C, part.d) for part in net.norms],
    )


def case(seed: int) -> tuple[FrozenNet, FeasibleSet, np.ndarray[Any, Any]]:
    """Return a network, a set and its whole points."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    points = np.asarray(list(product(range(-2, 3), repeat=n)), dtype=float)
    net = scaled(random_net(seed, n=n), SCALES[seed % 3])
    box = Box(n, -2.0, 2.0)
    if seed % 4 == 0:
        return net, box, points
    if seed % 4 == 1:
        A, b = rng.normal(size=(2, n)), rng.uniform(0.0, 2.0, size=2)
        return net, Polytope(A=A, b=b, lower=-2.0, upper=2.0), points[(points @ A.T <= b).all(axis=1)]
    if seed % 4 == 2:
        inside = points[(points.sum(axis=1) == 1.0) & (points >= 0.0).all(axis=1)]
        return net, Polytope(E=np.ones((1, n)), f=[1.0], lower=0.0, upper=2.0), inside
    return net, Intersection([box, Ball(n, 2.3)]), points[(points**2).sum(axis=1) <= 2.3**2]


def holds(answer: decision.Decision, values: np.ndarray[Any, Any]) -> bool:
    """Return whether the proven ends of an answer are on both sides of the least of these values."""
    slack = 1e-12 * np.abs(values).max()  # the values are in floats
    return bool(float(answer.value - answer.gap) - slack <= values.min() <= float(answer.value) + slack)


@pytest.mark.parametrize("seed", range(20))
def test_the_optimum_is_that_of_enumeration(seed: int) -> None:
    pytest.importorskip("highspy")
    net, region, points = case(seed)
    answer = decision.decide(net, region, integer=range(net.in_features))
    values = net(points)
    assert answer.ok
    assert holds(answer, values)
    assert float(answer.value) == pytest.approx(values.min(), abs=1e-6 * float(answer.scale))


def cases(net: FrozenNet, width: float) -> tuple[CutCases, Stack]:
    n, stack = net.in_features, Stack.of(net)
    rows = Box(n, -width, width).rows()
    extents = Extents(np.full(n, -width), np.full(n, width))
    made = CutCases.of(net, stack, rows, np.arange(n), extents, Exact(), Goal(rtol=1e-6))
    assert made is not None
    return made, stack


def proven(made: CutCases, n: int) -> tuple[float, float]:
    """Return what HiGHS says of a box without whole numbers, and what is proven."""
    lower, upper = np.full(n, -1.5), np.full(n, 1.5)
    for _ in range(12):
        relaxed = made.relax(lower, upper, np.inf)
        assert relaxed is not None
        assert isinstance(relaxed.data, CutCase)
    return relaxed.guess, made.prove(relaxed.data)


def test_cuts_reach_the_value_of_the_cones() -> None:
    pytest.importorskip("highspy")
    net = random_net(3)
    made, stack = cases(net, 2.0)
    guess, bound = proven(made, 4)
    answer = decision.decide(net, Box(4, -1.5, 1.5), rtol=1e-9)
    size = float(terms(stack, answer.x, own_reach(stack)))
    assert bound <= float(answer.value)
    assert bound == pytest.approx(float(answer.value), abs=1e-6 * size)
    assert guess <= bound + 1e-9 * size  # the point that multipliers add up to is no worse than their cuts


@pytest.mark.parametrize("share", [1e-6, 1e-4, 1e-2])
def test_wrong_cuts_cannot_enter_a_bound(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highspy")
    net = random_net(3)
    answer = decision.decide(net, Box(4, -1.5, 1.5), rtol=1e-9)
    stack = Stack.of(net)
    raise_cuts(monkeypatch, share * float(terms(stack, answer.x, own_reach(stack))))
    guess, bound = proven(cases(net, 2.0)[0], 4)
    assert guess > float(answer.value)  # HiGHS is misled
    assert bound <= float(answer.value)
    points = np.asarray(list(product(range(-2, 3), repeat=4)), dtype=float)
    assert holds(decision.decide(net, Box(4, -2.0, 2.0), integer=range(4)), net(points))


def test_cuts_that_lead_nowhere_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highspy")
    net, region, points = case(0)
    asked = list[int]()

    def useless(self: CutCases, *_: object) -> None:
        asked.append(1)

    monkeypatch.setattr(CutCases, "relax", useless)
    answer = decision.decide(net, region, integer=range(net.in_features))
    assert asked
    assert answer.ok
    assert holds(answer, net(points))


def test_some_entries_are_whole_and_the_others_are_not() -> None:
    pytest.importorskip("highspy")
    net = random_net(5)
    region = Intersection([Box(4, -2.0, 2.0), Ball(4, 2.5)])
    answer = decision.decide(net, region, integer=[1, 3])
    options = decision.DecideOptions(integer=(1, 3), solver="clarabel")
    usual = decision.decide(net, region, options=options)
    assert answer.ok
    assert torch.equal(answer.x[:, [1, 3]], answer.x[:, [1, 3]].round())
    assert float(answer.value) == pytest.approx(float(usual.value), abs=2e-6 * float(usual.scale))
