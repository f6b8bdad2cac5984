"""What a trained surrogate is worth: errors of its values, and the true energy of its decisions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from experiments.energies.problem import Problem, Split
from socicnn._arrays import Array


@torch.no_grad()
def errors(model: nn.Module, data: Split) -> tuple[float, float]:
    """Return ||f - y|| / ||y||, and the same after the mean of each context is taken off both."""
    dtype = next(model.parameters()).dtype
    values = []
    for x, theta in zip(data.x.split(10), data.context.split(10), strict=True):
        values.append(model(x.to(dtype), theta[:, None].to(dtype)).double())
    f, y = torch.cat(values), data.y

    def relative(f: Tensor, y: Tensor) -> float:
        return float((f - y).norm() / y.norm())

    return relative(f, y), relative(f - f.mean(1, keepdim=True), y - y.mean(1, keepdim=True))


def regret(problem: Problem, x: Array, theta: Tensor, least: Array) -> Array:
    """Return E(x) - E* of each context."""
    points = torch.from_numpy(np.ascontiguousarray(x)).reshape(-1, *problem.shape)
    return np.asarray(problem.energy(points, theta.double()).numpy() - least)
