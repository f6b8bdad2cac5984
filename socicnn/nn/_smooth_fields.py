"""Log-sum-exp and logistic branches of convolutional networks, and their formulas on images of any number of axes.

A log-sum-exp branch is alpha mean_g log sum exp((G * x + o)_g), g over groups of channels and positions, or over all of
them; a logistic branch sum_c omega_c mean log(1 + exp(S * x + s)_c), the mean over positions. Each holds its kernel and
one offset per channel, and one weight alpha, or one weight omega per channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from socicnn._arrays import Array, as_float64
from socicnn.frozen import Logistic, LogSumExp
from socicnn.nn import _operators as operators
from socicnn.nn._activations import softplus
from socicnn.nn._context import Vector
from socicnn.nn._geometry import Conv, Convolution
from socicnn.nn._smooth_branches import weights
from socicnn.positivity._initial import normal


def log_sum_exp(p: Tensor, axes: int, group: int | None) -> Tensor:
    """Return log sum exp over channels and positions, or its mean over groups of channels of a position.

    Args:
        p: shape `(*batch, channels, *size)`.
        axes: number of sizes.
        group: channels of a group; all channels and positions together if None.
    """
    if group is None:
        return torch.logsumexp(p.flatten(-axes - 1), dim=-1)
    groups = p.flatten(-axes).unflatten(-2, (-1, group))
    return torch.logsumexp(groups, dim=-2).flatten(-2).mean(dim=-1)


def logistic(p: Tensor, axes: int, omega: Tensor) -> Tensor:
    """Return the sum over channels of omega times the mean of log(1 + exp(p)) over positions."""
    return (softplus(p).flatten(-axes).mean(dim=-1) * omega).sum(dim=-1)


def row_weights(omega: Array, positions: int) -> Array:
    """Return weights of channels as those of rows, channel by channel."""
    return np.repeat(omega / positions, positions, axis=-1)


@final
class SmoothFields(nn.Module):
    """The kernels of the branches; their vectors are the network's.

    Args:
        logsumexp: the log-sum-exp branches.
        logistic: the logistic branches.
        channels: channels of x.
        size: sizes of x.
    """

    def __init__(
        self, logsumexp: Sequence[Conv], logistic: Sequence[Conv], channels: int, size: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.axes = len(size)
        self.maps = [("o", j, Convolution(spec, channels, size)) for j, spec in enumerate(logsumexp, start=1)]
        self.maps += [("s", j, Convolution(spec, channels, size)) for j, spec in enumerate(logistic, start=1)]
        self.kernels = nn.ParameterList()

    def build(
        self,
        add: Callable[[str, float, Convolution, float], None],
        fan_in: Callable[[Convolution], float],
        generator: torch.Generator | None,
    ) -> list[Vector]:
        """Draw the kernels and return the weights as they start; `add` takes offsets, with the deviation of theta."""
        for letter, j, map_ in self.maps:
            deviation = 1 / math.sqrt(fan_in(map_))
            self.kernels.append(nn.Parameter(deviation * normal(map_.kernel_shape, generator)))
            add(f"{letter}{j}", 0.0, map_, deviation)
        channels = [map_.out_channels for letter, _, map_ in self.maps if letter == "s"]
        return weights(len(self.maps) - len(channels), channels)

    def value(self, x: Tensor, vectors: dict[str, Tensor]) -> Tensor | float:
        """Return the sum of the branches."""
        value: Tensor | float = 0.0
        for (letter, j, map_), kernel in zip(self.maps, self.kernels, strict=True):
            p = map_.apply(x, kernel) + vectors[f"{letter}{j}"]
            if letter == "o":
                value = value + vectors["alpha"][..., j - 1] * log_sum_exp(p, self.axes, map_.spec.group)
            else:
                value = value + logistic(p, self.axes, vectors[f"omega{j}"])
        return value

    def frozen(self, vectors: dict[str, Array], field: Callable[[Array, Convolution], Array]) -> dict[str, Any]:
        """Return the branches as arrays, by the name of the argument of `FrozenNet`; `field` flattens an offset."""
        parts: dict[str, Any] = {"logsumexps": [], "logistics": []}
        for (letter, j, map_), kernel in zip(self.maps, self.kernels, strict=True):
            matrix, offset = map_.matrix(as_float64(kernel.double())), field(vectors[f"{letter}{j}"], map_)
            positions, group = int(np.prod(map_.out_size)), map_.spec.group
            if letter == "s":
                parts["logistics"].append(Logistic(row_weights(vectors[f"omega{j}"], positions), matrix, offset))
                continue
            alpha = vectors["alpha"][..., j - 1]
            if group is not None:
                order = operators.grouped_rows(map_.out_channels, positions, group)
                matrix, offset = matrix[order], offset[..., order]
                alpha = alpha / (map_.out_channels // group * positions)
            parts["logsumexps"].append(LogSumExp(alpha, matrix, offset, group))
        return parts
