"""The contract of inputs, for points, contexts and directions of proofs."""

from typing import Any

import numpy as np
import torch

import verify
from socicnn import SOCICNN
from tests.contracts.inputs import TABLE, InputContract
from tests.support.frozen_nets import random_net

NET = random_net(0, n=3)


def network() -> SOCICNN:
    return SOCICNN(3, (4,), context_features=3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class TestPoints(InputContract):
    name = "x"

    def read(self, values: Any) -> Any:
        return verify.certify(NET, values).value


class TestPointsOfEquivalence(InputContract):
    name = "x"

    def read(self, values: Any) -> Any:
        return verify.equivalence(NET, values, solvers=()).value


class TestContexts(InputContract):
    name = "context"

    def read(self, values: Any) -> Any:
        return verify.certify(network(), TABLE, values).value


class TestDirections(InputContract):
    name = "directions"

    def read(self, values: Any) -> Any:
        return verify.certify(NET, TABLE).directional_derivative(values)


def test_points_are_numbers_whatever_the_network() -> None:
    assert np.array_equal(verify.certify(network(), TABLE, TABLE[0].tolist()).x, TABLE)
