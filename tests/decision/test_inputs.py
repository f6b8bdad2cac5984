"""The contract of inputs, for contexts, starting points and candidates of decisions."""

from typing import Any

import numpy as np
import pytest
import torch

from decision import Affine, Box, Decider, Polytope, Region, Simplex, decide
from socicnn import SOCICNN
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Output, Quadratic
from tests.contracts.inputs import InputContract


def test_a_function_is_no_network() -> None:
    with pytest.raises(ModelError, match=r"received function, which has no program; `decide` minimises a torch\.nn"):
        decide(lambda x: x.square().sum(dim=-1), Simplex(3))  # type: ignore[arg-type]


class TestContexts(InputContract):
    name = "context"

    def read(self, values: Any) -> Any:
        draw = torch.Generator().manual_seed(0)
        model = SOCICNN(3, (4,), context_features=3, dtype=torch.float64, generator=draw)
        return decide(model, Simplex(3), values).x


class TestStart(InputContract):
    name = "start"

    def read(self, values: Any) -> Any:
        net = FrozenNet([], Output([], [0.0, 1.0, 2.0], np.arange(4.0)), [Quadratic(1.0, np.eye(3))])
        return decide(net, Box(3, -4.0, 4.0), method="projected_gradient", start=values).x


class TestCandidates(InputContract):
    name = "candidates"

    def read(self, values: Any) -> Any:
        region = Region.of(values)
        assert region.outside(torch.full((1, 3), 9.0)).all()
        return torch.stack([region.lower, region.upper])


@pytest.mark.parametrize("contexts", [2, 4])
def test_networks_and_contexts_of_their_set_are_equally_many(contexts: int) -> None:
    """Of four contexts the last had no decision, without a word."""
    nets = FrozenNet([], Output([], np.ones((3, 2)), np.zeros(3)))
    region = Polytope(A=[[1.0, 1.0]], b=Affine([1.0], [[1.0]]), lower=0.0)
    assert len(decide(nets, region, np.ones((3, 1))).x) == 3
    with pytest.raises(ModelError, match=f"3 stacked networks need 3 contexts of the set; received {contexts}"):
        decide(nets, region, np.ones((contexts, 1)))


def test_a_number_is_no_context_of_a_decider() -> None:
    model = SOCICNN(2, (3,), (), (), context_features=1, dtype=torch.float64)
    with pytest.raises(ModelError, match="context must have shape"):
        Decider(model, Simplex(2))(1.0)
