"""Options and numbers of `decide`: of any type, and refused in one sentence where they are something else."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from decision import DecideOptions, Decider, Simplex, decide
from decision.learning import ActiveOptions, FocusedOptions
from socicnn.conic.solvers import Clarabel
from socicnn.errors import ModelError, SolverError
from socicnn.frozen import FrozenNet, Output, Quadratic

NET = FrozenNet([], Output([], [0.0, 1.0, 2.0]), [Quadratic(1.0, np.eye(3))])


def decided(**settings: Any) -> Any:
    return decide(NET, Simplex(3), **settings)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: decided(rtol="1"), ModelError, "rtol must be a positive number; received '1'"),
        (lambda: decided(rtol=None), ModelError, "rtol must be a positive number; received None"),
        (lambda: decided(rtol=[1e-3]), ModelError, "rtol must be a positive number; received"),
        (lambda: decided(atol="1"), ModelError, "atol must be a number >= 0; received '1'"),
        (lambda: decided(time_limit="3"), ModelError, "time_limit must be .*received '3'"),
        (lambda: Clarabel(time_limit="3"), SolverError, "time_limit must be .*received '3'"),
        (lambda: decided(options={"jobs": 2}), ModelError, r"options must be a DecideOptions\(.*received dict"),
        (lambda: decided(options=None), ModelError, r"options must be a DecideOptions\(.*received NoneType"),
        (lambda: Decider(NET, Simplex(3), options={"jobs": 2}), ModelError, "options must be a DecideOptions"),
        (lambda: DecideOptions(solver="foo"), SolverError, "unknown solver 'foo'; there are: auto, clarabel"),
        (lambda: DecideOptions(solver="clarabell"), SolverError, "did you mean 'clarabel'"),
        (lambda: DecideOptions(solver=3), SolverError, "unknown solver 3"),
        (lambda: DecideOptions(solver=None), SolverError, "unknown solver None"),
        (lambda: FocusedOptions(anchor="1"), ModelError, "anchor must be a finite number >= 0; received '1'"),
        (lambda: FocusedOptions(held_out="1"), ModelError, "held_out must lie within"),
        (lambda: ActiveOptions(spread="1"), ModelError, "spread must be a finite number > 0; received '1'"),
        (lambda: ActiveOptions(learning_rate=None), ModelError, "learning_rate must be a finite number > 0"),
        (lambda: ActiveOptions(training={"clip": 1.0}), ModelError, "training must be a FitOptions"),
    ],
)
def test_what_is_something_else_is_refused_in_one_sentence(call: Callable[[], Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_numbers_of_any_type_are_taken() -> None:
    for rtol in (np.float32(1e-3), torch.tensor(1e-3), np.array(1e-3), 1):
        assert decided(rtol=rtol, atol=np.float64(0.0), time_limit=np.int64(60)).ok


def test_a_solver_is_named_in_any_case_or_given() -> None:
    assert DecideOptions(solver="CLARABEL").solver == "clarabel"
    own = Clarabel()
    assert DecideOptions(solver=own).solver is own
