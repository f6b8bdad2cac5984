"""Small training runs: a network, contexts whose level varies more than what decides, and a way to be killed."""

from typing import Any

import torch
from torch import nn

from socicnn import SOCICNN, training
from socicnn.training import Data, History
from socicnn.training._options import gathered
from tests.support.cases import generator

QUIET = {"progress": False}


def fit(model: nn.Module, data: Any, **settings: Any) -> History:
    """`socicnn.training.fit` with its options and arguments in one flat mapping."""
    return training.fit(model, data, **gathered(settings))


def fit_stacked(models: list[Any], data: Any, **settings: Any) -> list[History]:
    """`socicnn.training.fit_stacked` likewise."""
    return training.fit_stacked(models, data, **gathered(settings))


def network(seed: int = 0, **settings) -> SOCICNN:
    settings = {"context_features": 2, "generator": generator(seed), **settings}
    return SOCICNN(3, (6,), (3,), (2,), **settings)


def contexts(count: int = 48, candidates: int = 8, seed: int = 0) -> Data:
    """A quadratic whose centre, and whose level above all, move with the context."""
    draw = generator(seed)
    theta = torch.randn(count, 2, generator=draw)
    x = torch.rand(count, candidates, 3, generator=draw)
    centre = 0.3 * theta @ torch.ones(2, 3) + 0.2
    return Data(x, theta, (x - centre[:, None]).square().sum(dim=2) + 5 * theta[:, :1])


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(two), strict=True))


class Killed(BaseException):
    pass
