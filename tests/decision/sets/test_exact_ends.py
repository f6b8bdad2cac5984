"""Sets whose ends float64 cannot hold: a search around far points must not decide over a smaller set."""

from fractions import Fraction

import numpy as np
import pytest

from decision import decide
from decision.sets import Ball, Box, ConicSet, Polytope
from socicnn.frozen import FrozenNet, Output, Quadratic

FAR = 2.0**40


def rounded_side() -> float:
    """Return h near 3 FAR, whose third rounds down although the float product with 3 gives h again."""
    for k in range(1, 100):
        h = 3.0 * FAR + k * 2.0**-11
        if 3.0 * (h / 3.0) == h and Fraction(h / 3.0) * 3 < Fraction(h):
            return h
    raise AssertionError("no such number")


SIDE = rounded_side()


@pytest.mark.parametrize(
    ("feasible_set", "end"),
    [
        (Polytope(A=[[3.0]], b=[SIDE], lower=FAR), Fraction(SIDE) / 3),
        (Ball(1, 1 / 3, FAR, norm="inf"), Fraction(FAR) + Fraction(1 / 3)),
    ],
)
def test_no_bound_above_the_minimum_at_an_end_that_is_no_float(feasible_set: ConicSet, end: Fraction) -> None:
    """f(x) = FAR - x is least at the largest x."""
    found = decide(FrozenNet([], Output([], [-1.0], FAR)), feasible_set)
    assert Fraction(float(found.value[0])) - Fraction(float(found.gap[0])) <= Fraction(FAR) - end


def test_ends_that_are_floats_stay_as_they_are() -> None:
    assert repr(Ball(2, 0.5, [1.0, -3.0], norm="inf").fixed()) == repr(Box(2, [0.5, -3.5], [1.5, -2.5]))
    assert isinstance(Polytope(A=[[4.0]], b=[3.0], lower=0.0).fixed(), Box)
    assert Polytope(A=[[3.0]], b=[1.0], lower=0.0).fixed() is None


def test_one_network_with_a_scaled_quadratic_over_many_sets() -> None:
    """||x - 50 e_1||^2 over balls of radius 1 and 2: 49^2 and 48^2."""
    net = FrozenNet([], Output([], [0.0, 0.0]), [Quadratic(1.0, np.eye(2), [-50.0, 0.0])])
    found = decide(net, Ball(2, np.array([[1.0], [2.0]])))
    assert found.value.tolist() == pytest.approx([49.0**2, 48.0**2], rel=1e-6)
    assert bool(found.certified.all())
