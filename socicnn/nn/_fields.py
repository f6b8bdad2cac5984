"""Contexts that are images: theta next to x in each convolution (joint), or a small network that emits fields.

A vector that belongs to positions becomes a field, one value per channel and position; the others see theta's average
over positions. A sequence `(T, channels)` is an image of one axis, its channels last.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from socicnn._arrays import Array, as_float64
from socicnn.nn._context import NEAR_ZERO, SKIP, ParameterSource, Vector, VectorSource, raw_of, shaped
from socicnn.nn._geometry import Conv, Convolution, Resizing
from socicnn.nn._options import CONTEXT_HIDDEN
from socicnn.positivity._base import Recipe, Shared, in_evaluation_mode
from socicnn.positivity._initial import normal

CONTEXT_HIDDEN_KERNEL, HEAD_KERNEL = 5, 3  # kernels of the context network's two layers; the skip's is the second


@final
class JointField(VectorSource):
    """Parameters plus linear maps of the context: b + U_theta * theta, theta's channels next to those of x.

    Args:
        vectors: what to hold; `field` maps the context to a vector, with the kernel `theta` at the start; a vector with
            `theta` and no field takes the averages of theta's channels through that matrix.
        axes: number of spatial axes.
        positivity: recipe of the non-negative ones.
        shared: what the recipe shares among the weights of one network.
        channels_last: whether the context is `(T, channels)`.
    """

    def __init__(
        self,
        vectors: Sequence[Vector],
        axes: int,
        positivity: Recipe,
        shared: Shared | None,
        *,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.plain = ParameterSource([Vector(v.name, v.initial, v.positive) for v in vectors], positivity, shared)
        self.Theta = nn.ParameterDict({v.name: nn.Parameter(v.theta) for v in vectors if v.theta is not None})
        self.fields = {v.name: v.field for v in vectors if v.theta is not None}
        self.names = list(self.fields)
        self.axes, self.channels_last = axes, channels_last

    def forward(self, context: Tensor | None) -> dict[str, Tensor]:
        """Return the vectors moved by the context."""
        assert context is not None
        image = context.transpose(-1, -2) if self.channels_last else context
        average = image.flatten(-self.axes).mean(dim=-1)
        vectors = self.plain(None)
        for name, kernel in self.Theta.items():
            field = self.fields[name]
            linear = nn.functional.linear
            move = linear(average, kernel) if field is None else field.apply(image, kernel)
            vectors[name] = vectors[name] + (shaped(move, vectors[name].shape) if field is None else move)
        return vectors

    @in_evaluation_mode
    @torch.no_grad()
    def frozen(self, context: Tensor | None) -> dict[str, Array]:
        """Lift the parameters exactly, then add the context's part in float64."""
        assert context is not None
        lifted = {name: vector.double() for name, vector in self.plain(None).items()}  # read-outs in the model's type
        moved = copy.deepcopy(self).double()(context.double())
        own = moved.keys() - self.Theta.keys()
        return {name: as_float64(lifted[name] if name in own else moved[name]) for name in moved}


@final
class FieldNetwork(VectorSource):
    """Emits every vector from an image: a linear skip (3 wide) plus Conv(channels, 32, 5), SiLU, Conv(32, outputs, 3).

    Starts as `ContextNetwork` does: the skip's bias gives each vector its initial value.

    Args:
        vectors: what to emit; one with a `grid` becomes a field of that size, the others are averages over positions. A
            field with a start per position has parameters per position, too.
        context_channels: channels of the context.
        size: spatial size of the context.
        readout: recipe whose `emit` makes outputs non-negative.
        generator: source of the initial values.
        channels_last: whether the context is `(T, channels)`.
    """

    def __init__(
        self,
        vectors: Sequence[Vector],
        context_channels: int,
        size: tuple[int, ...],
        readout: Recipe,
        generator: torch.Generator | None,
        *,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.readout, self.channels_last, self.axes = readout, channels_last, len(size)
        ordered = sorted(vectors, key=lambda v: v.grid is None)  # fields first
        self.names = [v.name for v in ordered]
        self.positive = [v.positive for v in ordered]
        self.shapes = [tuple(v.initial.shape) for v in ordered]
        rows = [v.initial.numel() if v.grid is None else len(v.initial) for v in ordered]
        self.rows = rows
        self.grids = [None if v.grid is None else Resizing(k, size, v.grid) for v, k in zip(ordered, rows, strict=True)]
        outputs = sum(rows)
        self.skip_map = Convolution(Conv(outputs, HEAD_KERNEL), context_channels, size)
        self.code_map = Convolution(Conv(CONTEXT_HIDDEN, CONTEXT_HIDDEN_KERNEL), context_channels, size)
        self.head_map = Convolution(Conv(outputs, HEAD_KERNEL), CONTEXT_HIDDEN, size)
        starts = [raw_of(readout, v.initial) if v.positive else v.initial for v in ordered]
        parts = list(zip(self.names, starts, rows, strict=True))
        self.placed = nn.ParameterDict({name: nn.Parameter(s) for name, s, k in parts if s.numel() > k})
        starts = [torch.zeros(k, dtype=s.dtype, device="cpu") if s.numel() > k else s for _, s, k in parts]
        ones = (1,) * len(size)
        self.start = nn.Parameter(torch.cat([start.reshape(-1) for start in starts]).reshape(-1, *ones))

        def kernel(map_: Convolution, deviation: float) -> nn.Parameter:
            return nn.Parameter(deviation * normal(map_.kernel_shape, generator))

        self.skip = kernel(self.skip_map, SKIP / math.sqrt(self.skip_map.fan_in))
        self.code = kernel(self.code_map, 1 / math.sqrt(self.code_map.fan_in))
        self.code_bias = nn.Parameter(torch.zeros(CONTEXT_HIDDEN, *ones, dtype=torch.float64, device="cpu"))
        self.head = kernel(self.head_map, NEAR_ZERO)

    def forward(self, context: Tensor | None) -> dict[str, Tensor]:
        """Return the vectors emitted at the context."""
        assert context is not None
        image = context.transpose(-1, -2) if self.channels_last else context
        code = nn.functional.silu(self.code_map.apply(image, self.code) + self.code_bias)
        raw = self.skip_map.apply(image, self.skip) + self.head_map.apply(code, self.head) + self.start
        vectors: dict[str, Tensor] = {}
        parts: Any = zip(
            self.names, self.shapes, self.grids, self.positive, raw.split(self.rows, dim=-1 - self.axes), strict=True
        )
        for name, shape, grid, positive, part in parts:
            part = shaped(part.flatten(-self.axes).mean(dim=-1), shape) if grid is None else grid.apply(part)
            part = part + self.placed[name] if name in self.placed else part
            vectors[name] = self.readout.emit(part) if positive else part
        return vectors
