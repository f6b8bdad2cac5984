"""What a gap is relative to: verdicts do not depend on a constant, on units, on the method, on bounds that are far."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from decision import Box, Decision, Simplex, decide
from decision._minimise.stack_surrogate import StackSurrogate
from decision._options import DecideOptions
from decision._region import Region
from socicnn import SOCICNN, ConvSOCICNN
from socicnn._ranges import Ranges
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.nn import Conv

METHODS = ("auto", "interior_point", "projected_gradient", "exact")


def network(seed: int = 0, n: int = 3, c: float = 0.3) -> FrozenNet:
    """Return a network with kinks, a norm and a quadratic that grows in every direction."""
    rng = np.random.default_rng(seed)
    return FrozenNet(
        [Layer(None, rng.normal(size=(8, n)), rng.normal(size=8))],
        Output(rng.uniform(size=8), rng.normal(size=n), c),
        [Quadratic(1.0, np.eye(n))],
        [Norm(0.5, rng.normal(size=(2, n)), rng.normal(size=2))],
    )


def same(one: Decision, other: Decision, f: float = 1.0, x: float = 1.0) -> bool:
    """Return whether two decisions agree to the last bit, up to units of f and x."""
    return bool(
        torch.equal(one.x * x, other.x)
        and torch.equal(one.gap * f, other.gap)
        and torch.equal(one.scale * f, other.scale)
        and torch.equal(one.certified, other.certified)
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("c", [0.0, 1e4, -1e8])
def test_a_constant_changes_neither_decision_nor_verdict(method: str, c: float) -> None:
    plain, shifted = (decide(network(c=value), Box(3), method=method) for value in (0.3, c))
    assert torch.equal(plain.x, shifted.x)
    assert plain.certified.all()
    assert shifted.certified.all()
    centre = FrozenNet([], Output([], [0.0] * 3, c), [Quadratic(1.0, np.eye(3), [-0.9, -0.1, -0.5])])
    found = decide(centre, Box(3), method=method, rtol=1e-4)
    np.testing.assert_allclose(found.x[0].numpy(), [0.9, 0.1, 0.5], atol=0.02)  # a gap of 1e-4 of the spread
    unfinished = decide(network(c=c), Box(3), method="projected_gradient", options=DecideOptions(max_iterations=1))
    assert not unfinished.certified.any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [-40, 30])
def test_units_of_f_that_are_powers_of_two_change_no_bit(method: str, k: int) -> None:
    net, unit = network(), 2.0**k
    scaled = replace(
        net,
        output=Output(net.output.w * unit, net.output.v * unit, net.output.c * unit),
        quadratics=[replace(one, beta=one.beta * unit) for one in net.quadratics],
        norms=[replace(one, gamma=one.gamma * unit) for one in net.norms],
    )
    for feasible_set in (Box(3, -1, 2), Simplex(3)):
        assert same(decide(net, feasible_set, method=method), decide(scaled, feasible_set, method=method), f=unit)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [-20, 20])
def test_units_of_x_that_are_powers_of_two_change_no_bit(method: str, k: int) -> None:
    net, unit = network(), 2.0**k
    scaled = replace(
        net,
        layers=[replace(layer, U=layer.U / unit) for layer in net.layers],
        output=replace(net.output, v=net.output.v / unit),
        quadratics=[replace(one, A=one.A / unit) for one in net.quadratics],
        norms=[replace(one, C=one.C / unit) for one in net.norms],
    )
    for ends in ((-1.0, 2.0), (-1e6, 1e6)):
        there = Box(3, *(end * unit for end in ends))
        assert same(decide(net, Box(3, *ends), method=method), decide(scaled, there, method=method), x=unit)


@pytest.mark.parametrize("method", METHODS)
def test_x_shifted_with_its_set_is_decided_alike(method: str) -> None:
    net, shift = network(), np.array([1e3, -50.0, 7.0])
    layer, quadratic, norm = net.layers[0], net.quadratics[0], net.norms[0]
    moved = replace(
        net,
        layers=[replace(layer, b=layer.b - layer.U @ shift)],
        output=replace(net.output, c=net.output.c - net.output.v @ shift),
        quadratics=[replace(quadratic, e=quadratic.e - quadratic.A @ shift)],
        norms=[replace(norm, d=norm.d - norm.C @ shift)],
    )
    here, there = decide(net, Box(3, -1, 1), method=method), decide(moved, Box(3, shift - 1, shift + 1), method=method)
    assert here.certified.all()
    assert there.certified.all()
    assert float(there.scale[0]) == pytest.approx(float(here.scale[0]), rel=1e-4)
    assert float(there.value[0]) == pytest.approx(float(here.value[0]), abs=2e-6 * float(here.scale[0]))


def test_the_verdict_does_not_depend_on_method_or_start() -> None:
    net = network(1)
    ways = [decide(net, Box(3, -1, 1), method=method) for method in METHODS]
    ways += [decide(net, Box(3, -1, 1), start=corner) for corner in ([-1.0] * 3, [1.0] * 3, [0.9, -0.3, 0.1])]
    for found in ways:
        assert found.certified.all()
        assert float(found.scale[0]) == pytest.approx(float(ways[0].scale[0]), rel=1e-5)


def test_where_f_is_constant_only_rounding_certifies() -> None:
    flat = FrozenNet([Layer(None, np.eye(2), [-5.0, -5.0])], Output([1.0, 1.0], [0.0, 0.0], 3.0))  # no unit turns on
    found = decide(flat, Box(2))
    assert found.scale.tolist() == [0.0]
    assert found.certified.all()
    assert float(found.gap[0]) <= float(found.floor[0]) < 1e-12
    point = decide(network(), Box(3, 0.25, 0.25))
    assert point.scale.tolist() == [0.0]
    assert not replace(point, gap=point.floor * 2).certified.any()


def test_without_a_bound_the_relative_gap_is_infinite() -> None:
    found = replace(decide(network(), Box(3)), gap=torch.tensor([torch.inf], dtype=torch.float64))
    assert found.relative_gap.tolist() == [torch.inf]
    assert not found.certified.any()


def test_an_absolute_accuracy_will_do_too() -> None:
    rough = decide(network(), Box(3), method="projected_gradient", rtol=1e-15, atol=0.5)
    assert rough.certified.all()
    assert "or a gap of 0.5" in rough.status
    for wrong in ({"rtol": 0.0}, {"rtol": -1.0}, {"atol": -1.0}, {"atol": float("inf")}, {"region": "elsewhere"}):
        with pytest.raises(ModelError, match=next(iter(wrong))):
            decide(network(), Box(3), **wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_old_names_still_work_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="rtol"):
        old = decide(network(), Box(3), gap=1e-3)
    assert old.rtol == 1e-3
    with pytest.warns(DeprecationWarning, match=r"max_iterations moved into .*DecideOptions\(max_iterations=...\)"):
        few = decide(network(), Box(3), method="projected_gradient", max_iterations=1)
    new = decide(network(), Box(3), method="projected_gradient", options=DecideOptions(max_iterations=1))
    assert torch.equal(few.x, new.x)
    with pytest.raises(TypeError, match="unexpected keyword argument 'gab'"):
        decide(network(), Box(3), gab=1e-3)  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="rtol"):
        assert old.goal == 1e-3


class Sum(torch.nn.Module):
    """A convex module without a program: log(1 + exp(x_1 + x_2)) + 1e6."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one value per row."""
        return torch.nn.functional.softplus(x.sum(dim=-1)) + 1e6


def test_a_constant_in_a_module_certifies_nothing() -> None:
    found = decide(Sum(), Box(2, -1, 1))
    assert found.certified.all()
    np.testing.assert_allclose(found.x[0].numpy(), [-1.0, -1.0], atol=1e-4)


@pytest.mark.parametrize("method", ["auto", "projected_gradient", "exact"])
def test_bounds_that_are_far_cost_neither_accuracy_nor_time(method: str) -> None:
    net = network()

    def best(lower: float, upper: float) -> tuple[Decision, float]:
        times = []
        for _ in range(3):
            began = time.process_time()
            found = decide(net, Box(3, lower, upper), method=method)
            times.append(time.process_time() - began)
        return found, min(times)

    for low, high, wide in ((-3.0, 3.0, (-w for w in (1e2, 1e3, 1e6, 1e9, 1e12))), (0.0, 3.0, iter([0.0]))):
        narrow, seconds = best(low, high)
        for lower in wide:
            found, more = best(lower, -lower if lower else 1e20)
            assert found.certified.all(), found.status
            near = 2e-6 * float(narrow.scale[0])
            assert float(found.value[0]) == pytest.approx(float(narrow.value[0]), abs=near)
            assert more < 3.0 * seconds + 0.02


def test_a_minimum_at_a_far_bound_is_found() -> None:
    net = FrozenNet([Layer(None, [[1.0, 0.0]], [-1.0])], Output([1.0], [0.5, -1.0]))  # falls for ever along x_2
    found = decide(net, Box(2, -1e4, 1e4))
    assert found.certified.all()
    assert float(found.value[0]) == pytest.approx(-1.5e4)


def test_data_outside_the_stored_ranges_are_flagged() -> None:
    draw = torch.Generator().manual_seed(0)
    model = SOCICNN(2, (6,), context_features=1, context="partial", generator=draw).double()
    theta = torch.tensor([[0.0], [0.5], [9.0]], dtype=torch.float64)
    assert decide(model, Box(2), theta).outside is None  # nothing is known
    model.ranges = Ranges([-9.0, -9.0], [9.0, 9.0], [-1.0], [1.0])
    found = decide(model, Box(2), theta)
    assert found.outside is not None
    assert found.outside.tolist() == [False, False, True]
    assert "1 of 3 lies outside the training data" in found.status
    model.ranges = Ranges([5.0, 5.0], [9.0, 9.0], [-1.0], [1.0])
    everywhere = decide(model, Box(2), theta)
    assert everywhere.outside is not None
    assert everywhere.outside.all()
    assert decide(model, Box(2), theta, region=None).outside is None
    own = decide(model, Box(2), theta, region=Region.of(Box(2).sample(50, draw) * 3 - 1))
    assert own.outside is not None
    assert own.outside.tolist() == [False, False, True]


def test_a_set_that_is_a_point_is_certified_to_rounding() -> None:
    """The scale is 0 there, and no gap is small against it."""
    point = decide(network(), Box(3, 0.5, 0.5))
    assert point.ok
    assert point.scale.tolist() == [0.0]
    assert point.status.startswith("The decision is certified to rounding alone: next to its terms, f hardly varies")


def test_the_verdict_comes_first() -> None:
    one = decide(network(), Box(3))
    assert repr(one).startswith("<Decision: The decision is certified to a relative gap of 1e-06.")
    rough = decide(network(), Box(3), method="projected_gradient", options=DecideOptions(max_iterations=1))
    assert repr(rough).startswith("<Decision: The decision is not certified to a relative gap of 1e-06 (worst ")


def test_a_large_convolutional_network_is_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32 first, as far as that goes; then in float64, from there."""
    kinds: list[torch.dtype] = []
    smooth = StackSurrogate.smooth
    monkeypatch.setattr(
        StackSurrogate, "smooth", lambda self, x, delta: kinds.append(x.dtype) or smooth(self, x, delta)
    )
    settings: dict[str, Any] = {"quadratic": (Conv(4, 5),), "norm": (Conv(4, 3, group=2),)}
    model = ConvSOCICNN((1, 26, 26), (3, 3), context_channels=1, generator=torch.manual_seed(0), **settings)
    theta = torch.randn(2, 1, 26, 26, generator=torch.manual_seed(1))
    answers = []
    for rtol in (1e-3, 1e-5):
        kinds.clear()
        answers.append(decide(model, Box(676, 0.0, 1.0), theta, method="projected_gradient", rtol=rtol))
        assert kinds.count(torch.float32) > 10
        assert (kinds.count(torch.float64) > 10) == (rtol < 1e-4)
    rough, fine = answers
    assert rough.certified.all()
    assert fine.certified.all()
    assert (rough.value - rough.gap <= fine.value).all()
    assert (fine.value - fine.gap <= rough.value).all()
