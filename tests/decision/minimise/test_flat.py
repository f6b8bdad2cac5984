"""Flat networks are the stacks that they come from, and their bounds hold in real arithmetic as those of tensors do."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from decision import Box, Simplex
from decision._minimise.bounds import flat_bounds, proven_below, upper_bound
from decision._minimise.flat import Flat
from decision._minimise.stack import Stack
from decision._minimise.stack_surrogate import StackSurrogate
from socicnn.frozen import FrozenNet, Quadratic
from tests.support.exact import exact_value
from tests.support.stacks import random_dual, random_stack, softplus


def surrogates(scale: float = 1.0) -> dict[str, tuple[FrozenNet, StackSurrogate]]:
    """Return flat networks, without constants, as arrays and as surrogates."""
    whole = random_stack(7, widths=(6,), scale=scale)
    squares = [*whole.quadratics, Quadratic(0.5 * scale, np.random.default_rng(1).normal(size=(4, 5)))]
    nets = {
        "whole": replace(whole, quadratics=squares),
        "no units": random_stack(3, widths=(), scale=scale),
        "no norms": replace(whole, norms=[]),
        "no quadratics": replace(whole, quadratics=[]),
        "linear": replace(random_stack(3, widths=()), norms=[], quadratics=[]),
        "several kinds": softplus(whole, np.array([0.0, 1e-3, 0.4, 0.0, 2.0, 0.1])),
    }
    nets = {name: replace(net, output=replace(net.output, c=0.0 * net.output.c)) for name, net in nets.items()}
    return {name: (net, StackSurrogate.of(net)) for name, net in nets.items()}


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("name", sorted(surrogates().keys() - {"several kinds"}))
def test_bounds_enclose_the_exact_value(name: str, scale: float) -> None:
    net, surrogate = surrogates(scale)[name]
    box = Box(5, -1.0, 1.0)
    x = box.sample(len(surrogate), torch.Generator().manual_seed(0))
    assert surrogate.flat is not None
    for seed in range(5):
        upper, lower, _ = flat_bounds(surrogate.flat, box, x, random_dual(surrogate.stack, seed))
        for i in range(len(surrogate)):
            low, high = exact_value(net[i], x[i].numpy())
            assert Fraction(float(lower[i])) <= low
            assert high <= Fraction(float(upper[i]))


@pytest.mark.parametrize("name", surrogates())
def test_bounds_are_those_of_tensors(name: str) -> None:
    _, surrogate = surrogates()[name]
    stack, region = surrogate.stack, Simplex(5)
    x, dual = region.sample(len(stack), torch.Generator().manual_seed(0)), random_dual(stack, 1)
    assert surrogate.flat is not None
    upper, lower, size = flat_bounds(surrogate.flat, region, x, dual)
    expected, expected_size = proven_below(stack, region, dual)
    assert ((size - expected_size).abs() <= 1e-13 * expected_size).all()
    assert ((lower - expected).abs() <= 1e-13 * expected_size).all()
    assert ((upper - upper_bound(stack, x)).abs() <= 1e-13 * surrogate.size(x, torch.ones(5).double())).all()


def test_guesses_that_are_not_finite_bound_nothing() -> None:
    _, surrogate = surrogates()["whole"]
    dual = random_dual(surrogate.stack, 0)
    dual.u[0][2, 0] = torch.nan
    dual.lam[0][1, 0] = torch.inf
    assert surrogate.flat is not None
    _, lower, _ = flat_bounds(surrogate.flat, Simplex(5), torch.full((4, 5), 0.2).double(), dual)
    assert lower[2] == -torch.inf
    assert lower[[0, 1, 3]].isfinite().all()


def test_other_networks_are_not_flat() -> None:
    deep, inside = random_stack(1, widths=(6, 4)), random_stack(1, widths=(6,), inside=True)
    assert Flat.of(Stack.of(deep)) is None
    assert Flat.of(Stack.of(inside)) is None
    assert Flat.of(Stack.of(random_stack(1, widths=(6,))).to(torch.float32)) is None


def test_units_that_overflow_are_refused() -> None:
    _, surrogate = surrogates()["whole"]
    assert surrogate.flat is not None
    assert surrogate.flat.in_units(np.full(4, 2.0**-1000), 1.0) is not None
    assert surrogate.flat.in_units(np.full(4, 2.0**-1074), 1.0) is None
    assert surrogate.flat.in_units(np.ones(4), 2.0**1023.0) is None
