"""The contract of inputs, for the points of a density."""

from abc import abstractmethod
from typing import Any

import torch
from torch import nn

from socicnn import SOCICNN
from socicnn.density import ComposedFlow, Density, Energy, PotentialFlow, fit
from socicnn.positivity import HyperNetwork
from tests.contracts.inputs import InputContract


class TestPoints(InputContract):
    name = "points"

    def read(self, values: Any) -> Any:
        flow = PotentialFlow.dense(3, (4,), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        fit(flow, values, steps=1, batch_size=8)
        return torch.nn.utils.parameters_to_vector(flow.parameters()).detach()


class FinaliseContract(InputContract):
    name = "x"

    @abstractmethod
    def density(self, network: SOCICNN) -> Density:
        """Return the density of a network whose weights depend on its data."""

    def read(self, values: Any) -> Any:
        draw = torch.Generator().manual_seed(0)
        settings: Any = {"norm": (), "activation": "softplus", "positivity": "lift", "dtype": torch.float64}
        density = self.density(SOCICNN(3, (4, 4), generator=draw, **settings))
        with torch.no_grad():
            for parameter in density.parameters():
                parameter += 0.1  # a lift starts where its data do not matter
        return torch.nn.utils.parameters_to_vector(density.finalise(values).parameters()).detach()


class TestFinaliseAnEnergy(FinaliseContract):
    def density(self, network: SOCICNN) -> Density:
        return Energy(network)


class TestFinaliseAFlow(FinaliseContract):
    def density(self, network: SOCICNN) -> Density:
        return PotentialFlow(network)


class TestFinaliseAComposedFlow(FinaliseContract):
    def density(self, network: SOCICNN) -> Density:
        return ComposedFlow([PotentialFlow(network)])


class TestFinaliseAModule(InputContract):
    name = "train_data"

    def read(self, values: Any) -> Any:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, 1)).double()
        module[2].weight._pos_required = True
        energy = Energy(HyperNetwork(3, [4], module, generator=torch.Generator().manual_seed(0)))
        with torch.no_grad():
            for parameter in energy.parameters():
                parameter += 0.1
        return torch.nn.utils.parameters_to_vector(energy.finalise(values).parameters()).detach()
