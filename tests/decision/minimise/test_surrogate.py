"""One contract for both kinds of surrogate: networks as arrays, and modules that are only evaluated."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from decision import surrogates
from decision._minimise.accelerated import descend
from decision._minimise.answers import Answers, Goal
from decision._minimise.central_path import follow_central_path
from decision._minimise.interior import Polyhedron
from decision._minimise.module_surrogate import ModuleSurrogate
from decision._minimise.reference import Reference
from decision._minimise.stack_surrogate import StackSurrogate
from decision._minimise.surrogate import Surrogate
from decision._minimise.units import Units
from decision.sets import Box, Simplex
from tests.support.cases import generator

N, P, CONTEXTS = 4, 3, 5


def network() -> nn.Module:
    """Return a network with layers, quadratics and norms."""
    options = {"generator": generator(0), "dtype": torch.float64, "hidden_features": (9, 7)}
    return surrogates.make("soc-partial", N, P, **options)


def contexts() -> torch.Tensor:
    return torch.randn(CONTEXTS, P, generator=generator(1), dtype=torch.float64)


def points(seed: int = 2) -> torch.Tensor:
    return Box(N, -1, 1).sample(CONTEXTS, generator(seed))


def of_stack() -> Surrogate:
    return StackSurrogate.of(network().freeze(contexts()))


def of_module() -> Surrogate:
    return ModuleSurrogate.of(network(), contexts(), "for a test")


KINDS = pytest.mark.parametrize("make", [of_stack, of_module], ids=["stack", "module"])


@KINDS
def test_value_is_the_networks(make: Callable[[], Surrogate]) -> None:
    surrogate, x = make(), points()
    expected = network()(x, contexts()).detach()
    torch.testing.assert_close(surrogate.value(x) + surrogate.constant, expected, rtol=1e-12, atol=1e-12)
    rows = torch.tensor([3, 1])
    torch.testing.assert_close(surrogate.take(rows).value(x[rows]), surrogate.value(x)[rows], rtol=1e-13, atol=1e-13)


@KINDS
@pytest.mark.parametrize("width", [1.0, 1e-3, 1e-9])
def test_tangents_are_minorants_and_their_ends_enclose_f(make: Callable[[], Surrogate], width: float) -> None:
    surrogate, x = make(), points()
    at = surrogate.smooth(x, torch.full((CONTEXTS,), width, dtype=torch.float64))
    assert (at.above >= surrogate.value(x) - 1e-13).all()
    assert (at.above - at.minorant <= 40 * width + 1e-12).all()  # units and norms, each by its weight times the width
    for seed in range(3, 40):
        other = points(seed)
        line = at.minorant + (at.gradient * (other - x)).sum(dim=1)
        assert (line <= surrogate.value(other) + 1e-12).all()


@KINDS
def test_derivatives_are_those_of_the_smoothed_value(make: Callable[[], Surrogate]) -> None:
    surrogate, x = make(), points()
    delta = torch.linspace(0.2, 1.0, CONTEXTS, dtype=torch.float64)
    at, hessian = surrogate.hessian(x, delta)
    torch.testing.assert_close(at.value, surrogate.smooth_value(x, delta), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(at.gradient, surrogate.smooth(x, delta).gradient, rtol=1e-12, atol=1e-12)
    for j, step in enumerate(1e-5 * torch.eye(N, dtype=torch.float64)):
        slope = (surrogate.smooth_value(x + step, delta) - surrogate.smooth_value(x - step, delta)) / 2e-5
        torch.testing.assert_close(at.gradient[:, j], slope, rtol=1e-7, atol=1e-7)
        ends = (surrogate.smooth(x + step, delta).gradient - surrogate.smooth(x - step, delta).gradient) / 2e-5
        torch.testing.assert_close(hessian[:, :, j], ends, rtol=1e-7, atol=1e-7)


@KINDS
def test_the_bound_of_multipliers_is_below_f_and_that_of_the_tangent(make: Callable[[], Surrogate]) -> None:
    surrogate, x, region = make(), points(), Box(N, -1, 1)
    delta = torch.full((CONTEXTS,), 1e-4, dtype=torch.float64)
    at = surrogate.smooth(x, delta)
    bound = surrogate.bound(region, at.multipliers)
    torch.testing.assert_close(bound, at.minorant - at.fall(region), rtol=1e-10, atol=1e-10)
    for seed in range(3, 40):
        assert (bound <= surrogate.value(points(seed))).all()
    assert (surrogate.bound(region, surrogate.multipliers(x)) <= surrogate.value(x)).all()


@KINDS
def test_units_that_are_powers_of_two_change_nothing(make: Callable[[], Surrogate]) -> None:
    surrogate, x = make(), points()
    k = torch.tensor([3, -2, 0, 5, 1]).numpy()
    there, units = surrogate.in_units(Units(k, 2))
    unit = units.unit(surrogate.constant)
    assert torch.equal(there.value(units.inward(x)) * unit, surrogate.value(x))
    delta = torch.full((CONTEXTS,), 1e-3, dtype=torch.float64)
    at, near = surrogate.smooth(x, delta), there.smooth(units.inward(x), delta)
    assert torch.equal(near.minorant * unit, at.minorant)
    assert torch.equal(near.gradient * unit[:, None] / 4, at.gradient)
    region = Box(N, -1, 1)
    bound = surrogate.bound(region, units.multipliers(near.multipliers))
    torch.testing.assert_close(bound, surrogate.bound(region, at.multipliers), rtol=1e-14, atol=1e-14)


@KINDS
@pytest.mark.parametrize("way", ["accelerated", "central path"])
@pytest.mark.parametrize("region", [Simplex(N), Box(N, -1, 1)], ids=repr)
def test_each_method_closes_the_gap(make: Callable[[], Surrogate], way: str, region: Simplex | Box) -> None:
    surrogate = make()
    x = region.centre().repeat(CONTEXTS, 1)
    reference = Reference.of(region)
    ones = torch.ones(CONTEXTS, dtype=torch.float64)
    answers = Answers.start(surrogate, x, reference.largest(surrogate), surrogate.size(x, reference.half), ones)
    goal = Goal.of(1e-5, 0.0, None, None)
    if way == "accelerated":
        descend(surrogate, region, answers, goal)
    else:
        polyhedron = Polyhedron.of(region)
        assert polyhedron is not None
        follow_central_path(surrogate, region, polyhedron, answers, goal)
    assert answers.done(goal).all()
    assert (answers.iterations > 0).all()
    torch.testing.assert_close(answers.value, surrogate.value(answers.x), rtol=1e-12, atol=1e-12)
    for seed in range(3, 20):
        others = region.sample(CONTEXTS, generator(seed))
        assert (surrogate.value(others) >= answers.lower - 1e-12).all()


def test_a_descent_that_makes_no_progress_ends() -> None:
    """In float32 a gap of 1e-12 is out of reach: without patience all iterations are spent on rounding."""
    surrogate, region = StackSurrogate.of(network().freeze(contexts())).short(), Box(N, -1, 1)
    x = region.centre(dtype=torch.float32).repeat(CONTEXTS, 1)
    ones = torch.ones(CONTEXTS)
    spent = []
    for patience in (50, 200):
        answers = Answers.start(surrogate, x, ones, ones, ones)
        descend(surrogate, region, answers, Goal.of(1e-12, 0.0, None, None), patience)
        assert ((answers.value - answers.lower) < 1e-2).all()
        spent.append(int(answers.iterations.max()))
    assert 50 <= spent[0] < spent[1] < 2000
