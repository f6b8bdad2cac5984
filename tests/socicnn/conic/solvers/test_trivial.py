"""Programs that need no solver."""

import numpy as np
import pytest
from scipy import sparse

from socicnn.conic._cones import Cones
from socicnn.conic._program import ConicProgram


@pytest.mark.parametrize(
    ("b", "cones", "status"),
    [
        ([1e9, -0.5], Cones(0, 2), "infeasible"),  # it was solved: 0.5 is 5e-10 of 1e9
        ([1e9, 1.0, 2.0], Cones(0, 1, (2,)), "infeasible"),
        ([1e9, -1e-7], Cones(0, 2), "no variables"),
    ],
)
def test_large_numbers_in_other_rows_excuse_no_violation(b: list[float], cones: Cones, status: str) -> None:
    program = ConicProgram(sparse.csc_array((len(b), 0)), np.array(b), np.zeros(0), 0.0, cones)
    solution = program.solve("clarabel")
    assert status in solution.status
    assert solution.ok == (status != "infeasible")
