"""The contract of inputs, for the points of a density."""

from typing import Any

import torch

from socicnn.density import PotentialFlow, fit
from tests.contracts.inputs import InputContract


class TestPoints(InputContract):
    name = "points"

    def read(self, values: Any) -> Any:
        flow = PotentialFlow.dense(3, (4,), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        fit(flow, values, steps=1, batch_size=8)
        return torch.nn.utils.parameters_to_vector(flow.parameters()).detach()
