"""The contract of inputs, for each function that reads numbers."""

from typing import Any

import numpy as np
import torch

from socicnn import SOCICNN, FrozenNet
from socicnn.frozen import Output, Quadratic
from socicnn.training import fit, fit_stacked
from tests.contracts.inputs import TABLE, InputContract

Y = np.array([1.0, 2.0, 0.0, 1.5])


def network(context: int = 0) -> SOCICNN:
    draw = torch.Generator().manual_seed(0)
    return SOCICNN(3, (4,), context_features=context, dtype=torch.float64, generator=draw)


def trained(model: SOCICNN) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach()


class TestFitX(InputContract):
    name = "x"

    def read(self, values: Any) -> Any:
        model = network()
        fit(model, (values, Y), epochs=2, validation=0, progress=False)
        return trained(model)


class TestFitContext(InputContract):
    name = "context"

    def read(self, values: Any) -> Any:
        model = network(3)
        fit(model, (TABLE, values, Y), epochs=2, validation=0, progress=False)
        return trained(model)


class TestFitY(InputContract):
    name = "y"

    def read(self, values: Any) -> Any:
        model = network()
        x = np.arange(36.0).reshape(4, 3, 3)
        fit(model, (x, values), epochs=2, validation=0, progress=False)
        return trained(model)


class TestFitStacked(InputContract):
    name = "x"

    def read(self, values: Any) -> Any:
        model = network()
        fit_stacked([model], (values, Y), epochs=2, validation=0, progress=False)
        return trained(model)


class TestFreezeAtContexts(InputContract):
    name = "context"

    def read(self, values: Any) -> Any:
        return network(3).freeze(values)(np.ones((4, 3)))


class TestFrozenPoints(InputContract):
    name = "x"

    def read(self, values: Any) -> Any:
        return FrozenNet([], Output([], [0.0, 1.0, 2.0]), [Quadratic(1.0, np.eye(3))])(values)
