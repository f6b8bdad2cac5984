"""Compiled loops measure decisions by the numbers that the definitions give with tensors."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from decision import Box, Budget, Simplex
from decision._minimise.compiled.measure import Measure
from decision._minimise.reference import Reference, own_length
from decision._minimise.stack_surrogate import StackSurrogate
from decision.sets._base import FeasibleSet
from socicnn.frozen import FrozenNet
from tests.support.stacks import random_stack, softplus

SETS = [Simplex(5), Box(5, -1.0, 2.0), Box(5, 1e200, 2e200), Budget(5, 2.0)]


def nets() -> dict[str, FrozenNet]:
    whole = random_stack(2, widths=(6,))
    return {
        "whole": whole,
        "no units": random_stack(3, widths=()),
        "no norms": replace(whole, norms=[]),
        "no quadratics": replace(whole, quadratics=[]),
        "linear": replace(random_stack(3, widths=()), norms=[], quadratics=[]),
        "one context": whole[1],
        "softplus": softplus(whole, 0.4),
        "several kinds": softplus(replace(whole, norms=[]), np.array([0.0, 0.2, 0.4, 0.0, 2.0, 0.3])),
    }


@pytest.mark.parametrize("feasible_set", SETS, ids=repr)
@pytest.mark.parametrize("name", nets())
def test_measures_are_those_of_tensors(name: str, feasible_set: FeasibleSet) -> None:
    surrogate, reference = StackSurrogate.of(nets()[name]), Reference.of(feasible_set)
    assert surrogate.flat is not None
    measure = Measure.of(surrogate.flat, reference)
    np.testing.assert_allclose(measure.length, own_length(surrogate.stack).numpy(), rtol=1e-13)
    most = reference.largest(surrogate)
    np.testing.assert_allclose(measure.most(reference.points), most.numpy(), rtol=1e-12)
    x = feasible_set.sample(len(surrogate), torch.Generator().manual_seed(0))
    for points in (x, x[:1]):
        value, terms = measure(points.numpy())
        expected = surrogate.size(points.expand(len(surrogate), -1), reference.half)
        np.testing.assert_allclose(terms, expected.numpy(), rtol=1e-13)
        plain = surrogate.value(points.expand(len(surrogate), -1)).numpy()
        finite = np.isfinite(terms)
        assert (np.abs(value[finite] - plain[finite]) <= 1e-14 * terms[finite]).all()
        assert (np.isfinite(value) == np.isfinite(plain)).all()
