"""The ten targets of the SOC-ICNN paper, and points with values of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from socicnn.training import Data

HALF_WIDTH = 3.0  # x is uniform on [-3, 3]^d
POINTS = (6000, 1000, 2000)  # training, validation, test
HELD_OUT = 1_000_003  # seed of validation and test points


def _steps(first: float, last: float, d: int) -> Tensor:
    return torch.linspace(first, last, d, dtype=torch.float64)


def _weighted(x: Tensor, first: float, last: float) -> Tensor:
    """Return sum_i w_i x_i^2 with weights from `first` to `last`."""
    return x.square() @ _steps(first, last, x.shape[-1])


def mixed(x: Tensor) -> Tensor:
    """Return a quadratic, a norm and a maximum of three planes together."""
    d = x.shape[-1]
    slopes = _steps(-1, 1, d), _steps(0, math.pi, d).cos(), (_steps(-1, 1, d) + 1e-8).sign()
    planes = [x @ a + b for a, b in zip(slopes, (0.2, -0.1, 0.4), strict=True)]
    return 0.25 * _weighted(x, 0.5, 2) + 0.7 * _weighted(x, 2, 0.5).sqrt() + torch.stack(planes).amax(dim=0)


def huber(x: Tensor) -> Tensor:
    """Return sum_i h(x_i), h(u) = u^2 / 2 within [-1, 1], else |u| - 1/2."""
    return torch.where(x.abs() <= 1, 0.5 * x.square(), x.abs() - 0.5).sum(dim=-1)


TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    "QuadraticIso": lambda x: 0.5 * x.square().sum(dim=-1),
    "QuadraticAniso": lambda x: 0.5 * _weighted(x, 0.5, 2.5),
    "NormEuclid": lambda x: torch.linalg.vector_norm(x, dim=-1),
    "NormAniso": lambda x: _weighted(x, 1, 10).sqrt(),
    "Mixed": mixed,
    "SoftplusSum": lambda x: torch.logaddexp(x, torch.zeros_like(x)).sum(dim=-1),
    "LogSumExpQuad": lambda x: torch.logsumexp(x, dim=-1) + 0.1 * x.square().sum(dim=-1),
    "Huber": huber,
    "L1Norm": lambda x: x.abs().sum(dim=-1),
    "ICKANPaperTarget": lambda x: (x.abs() + (1 - x).abs()).sum(dim=-1) + 0.25 * _weighted(x, 0.5, 2),
}
Drawn = tuple[Data, Data, Data]  # training, validation and test points
REPRESENTED = ("QuadraticIso", "QuadraticAniso", "NormEuclid", "NormAniso", "L1Norm", "Mixed")  # by SOC, see the bars


def drawn(target: str, d: int, seed: int, points: Sequence[int] = POINTS) -> Drawn:
    """Return training, validation and test points, uniform on [-3, 3]^d, with the target's values.

    Args:
        target: its name.
        d: number of coordinates.
        seed: of the training points; the others are the same for every seed, and all for every target.
        points: how many of each.
    """

    def samples(count: int, draws: torch.Generator) -> Data:
        x = HALF_WIDTH * (2 * torch.rand(count, d, generator=draws, dtype=torch.float64) - 1)
        return Data(x, None, TARGETS[target](x))

    held = torch.Generator().manual_seed(HELD_OUT)
    return (
        samples(points[0], torch.Generator().manual_seed(10 * seed + 1)),
        samples(points[1], held),
        samples(points[2], held),
    )


def relative_error(predicted: Tensor, wanted: Tensor) -> float:
    """Return ||f - y|| / ||y||, as the paper measures."""
    return float(torch.linalg.vector_norm(predicted - wanted) / torch.linalg.vector_norm(wanted))
