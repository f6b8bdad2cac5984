"""Boxes that the search begins in grow to the whole set, whatever rounding made of them."""

import numpy as np
import pytest

import decision
from decision._minimise.local import wider_box
from decision.sets import Box
from socicnn.frozen import FrozenNet, Layer, Output


@pytest.mark.parametrize(("at", "ends"), [(0.0, 1.0), (1e20, 1e300), (1.0, 1e300), (-1e-200, 1e5)])
def test_a_box_of_no_width_grows_to_the_set_in_a_few_steps(at: float, ends: float) -> None:
    box, inner = Box(3, -ends, ends), Box(3, at, at)
    for step in range(1, 40):
        inner = wider_box(inner, box, 16.0 ** max(1, step - 15))
    assert inner is box


@pytest.mark.parametrize("method", ["auto", "projected_gradient", "interior_point"])
def test_a_minimum_far_outside_the_first_box_is_found(method: str) -> None:
    """The first box is around the kink at 1, the minimum at the far end. (A solver alone does not get there.)"""
    net = FrozenNet([Layer(None, [[1.0]], [-1.0])], Output([1e-12], [-1e-9]))
    answer = decision.decide(net, Box(1, -1e12, 1e12), method=method)
    assert bool(answer.certified.all())
    np.testing.assert_allclose(answer.x, 1e12, rtol=1e-6)
