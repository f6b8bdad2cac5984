"""Modules whose slope grows faster than the distance: what f is far away certifies nothing near the minimum."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from decision import Box, Budget, decide
from decision._minimise.module_surrogate import ModuleSurrogate
from decision._minimise.reference import Reference

Function = Callable[[Tensor], Tensor]


class Module(nn.Module):
    """A function as a module, perhaps times 2^k and of x in other units."""

    def __init__(self, function: Function, k: int = 0, unit: float = 1.0) -> None:
        super().__init__()
        self.function, self.k, self.unit = function, k, unit

    def forward(self, x: Tensor) -> Tensor:
        """Return one value per row."""
        return 2.0**self.k * self.function(x / self.unit)


def near(x: Tensor) -> Tensor:
    return (x - 0.5).square().sum(dim=1)


FUNCTIONS: dict[str, tuple[Function, float]] = {  # and the same minimum in each coordinate
    "a wall": (lambda x: near(x) + (20.0 * (x - 1.0)).exp().sum(dim=1), 9.0391327166886e-05),
    "a soft wall": (lambda x: near(x) + (5.0 * (x - 1.0)).exp().sum(dim=1), 0.11882897175169),
    "a twentieth power": (lambda x: near(x) + x.pow(20).sum(dim=1), 1.9066215639042e-06),
    "cosh": (lambda x: (3.0 * (x - 0.4)).cosh().sum(dim=1), 2.0),
}


@pytest.mark.parametrize("width", [1.0, 3.0, 5.0, 10.0, 30.0])
@pytest.mark.parametrize(("function", "least"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_what_is_certified_is_near_the_minimum(function: Function, least: float, width: float) -> None:
    answer = decide(Module(function), Box(2, 0.0, width))
    assert answer.certified.all(), answer.status
    assert float(answer.value[0]) == pytest.approx(least, abs=1e-5)
    assert float(answer.scale[0]) < 100.0  # of f near its minimum, not of f at the far end of the box


@pytest.mark.parametrize("rate", [10.0, 50.0, 200.0, 800.0])
@pytest.mark.parametrize("feasible_set", [Box(2, 0.0, 1.0), Budget(2, 1.0, equality=False)], ids=lambda s: s.name)
def test_no_exponential_is_certified_far_above_its_minimum(feasible_set: Box | Budget, rate: float) -> None:
    answer = decide(Module(lambda x: (rate * x).exp().sum(dim=1)), feasible_set)
    if bool(answer.certified[0]):
        assert float(answer.value[0]) == pytest.approx(2.0, abs=1e-4)
    else:
        assert float(answer.gap[0]) >= float(answer.value[0]) - 2.0


@pytest.mark.parametrize("ends", [(-1.0, 2.0), (-1.0, 20.0), (-30.0, 30.0), (-1000.0, 50.0)])
@pytest.mark.parametrize("shift", [10.0, -300.0])
def test_a_set_whose_end_next_to_the_origin_is_the_steep_one(shift: float, ends: tuple[float, float]) -> None:
    """The anchor is then where f is largest, and how f varies near it says nothing of f at the answer."""
    function, least = FUNCTIONS["a wall"]
    answer = decide(Module(lambda x: function(x - shift)), Box(2, *(end + shift for end in ends)))
    if bool(answer.certified[0]):
        assert float(answer.value[0]) == pytest.approx(least, abs=1e-5)
    else:
        assert float(answer.gap[0]) >= float(answer.value[0]) - least - 1e-12


@pytest.mark.parametrize("ends", [(-5.0, 5.0), (0.0, 200.0), (-1e4, 1e4), (-1e9, 1e9)])
def test_a_search_that_was_told_of_a_steep_end_goes_on(ends: tuple[float, float]) -> None:
    answer = decide(Module(lambda x: (50.0 * (x - 0.4)).cosh().sum(dim=1)), Box(2, *ends))
    assert answer.certified.all(), answer.status
    assert float(answer.value[0]) == pytest.approx(2.0, abs=1e-4)


def test_contexts_that_are_steep_and_flat_are_decided_together() -> None:
    class Walls(nn.Module):
        def forward(self, x: Tensor, theta: Tensor) -> Tensor:
            return near(x) + (theta * (x - 1.0)).exp().sum(dim=1)

    rates = torch.tensor([[0.0], [3.0], [20.0]], dtype=torch.float64)
    answer = decide(Walls(), Box(2, 0.0, 30.0), rates)
    narrow = decide(Walls(), Box(2, 0.0, 1.5), rates, rtol=1e-9)
    assert answer.certified.all(), answer.status
    np.testing.assert_allclose(answer.value, narrow.value, atol=2e-4)


def test_units_that_are_powers_of_two_change_no_bit() -> None:
    function = FUNCTIONS["a wall"][0]
    plain = decide(Module(function), Box(2, 0.0, 10.0))
    for k, unit in ((-40, 1.0), (30, 1.0), (0, 2.0**-20), (0, 2.0**20)):
        other = decide(Module(function, k, unit), Box(2, 0.0, 10.0 * unit))
        assert torch.equal(other.x, plain.x * unit)
        assert torch.equal(other.scale, plain.scale * 2.0**k)


@pytest.mark.parametrize("power", [2, 8, 20])
def test_a_power_of_the_distance_alone_has_no_length(power: int) -> None:
    box = Box(2, -10.0, 10.0)
    model = ModuleSurrogate.of(Module(lambda x: x.pow(power).sum(dim=1)), None, "")
    own = model.measured(box, Reference.of(box).reach).own
    assert own is not None
    assert own.length.isinf().all()
    assert not own.grows.any()


def test_a_function_that_is_not_finite_all_over_the_set_ends_in_no_error() -> None:
    answer = decide(Module(lambda x: -x[:, 0].sqrt()), Box(2, -1.0, 1.0))  # NaN where x_1 < 0
    assert not answer.certified.any()
    assert answer.gap.isinf().all()
