"""A set keeps the bounds it was made with, whatever the caller does to his arrays afterwards."""

import numpy as np
import torch

from decision.sets import Box


def test_a_box_keeps_its_bounds() -> None:
    lower, upper = np.zeros(2), np.ones(2)
    box = Box(2, lower, upper)
    before = repr(box)
    lower[:], upper[:] = 5.0, 6.0
    box.config()["lower"][0] = 7.0
    ones = torch.ones(2, dtype=torch.float64)
    assert box.minimise_linear(ones).tolist() == [0.0, 0.0]
    assert box.project(3.0 * ones).tolist() == [1.0, 1.0]
    assert box.rows().h.tolist() == [0.0, 0.0, 1.0, 1.0]
    assert repr(box) == before
