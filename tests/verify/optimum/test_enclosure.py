"""Boxes that hold a solution of equations, where rounding is at its worst."""

import numpy as np
from scipy import sparse

from verify._optimum.enclosure import enclose


def test_what_moves_has_a_radius_though_its_product_underflows() -> None:
    """A radius of 0 would say that the centre itself satisfies the equations."""
    x, room = np.ones(2), np.array([1e-100, 0.0])
    box = enclose(sparse.csr_array(np.array([[1.0, 1.0]])), np.array([2.0]), x, room)
    assert box is not None
    assert box.radius[0] > 0.0
    assert box.radius[1] == 0.0
