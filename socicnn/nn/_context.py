"""Where the vectors of a network come from: its biases and offsets, its read-out and the weights of its branches.

Without a context they are parameters. A joint context adds Theta theta to those that an input weight would reach; a
partial context emits all of them from a small network. The matrices U, W, A, C never depend on the context.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from socicnn._arrays import Array, as_float64
from socicnn._integers import as_integer
from socicnn._registry import choose
from socicnn.nn._geometry import ImageMap
from socicnn.nn._options import CONTEXT_HIDDEN, ContextActivation
from socicnn.positivity._base import Recipe, Shared, in_evaluation_mode
from socicnn.positivity._initial import normal

CODE_ACTIVATIONS = {"relu": torch.relu, "silu": nn.functional.silu}
NEAR_ZERO = 0.01  # standard deviation of its last layer at the start
SKIP = 0.1  # standard deviation that theta ~ N(0, I) gives each output at the start, through the skip


@dataclass(frozen=True, eq=False)
class Vector:
    """One vector of a network and how it starts.

    Args:
        name: its name, for instance `b1`.
        initial: the values that it starts at.
        positive: whether it must stay >= 0.
        theta: for a joint context, how theta enters at the start, shape `(size, p)`, or the kernel of `field`;
            None if it does not.
        field: for a joint context that is an image, the map through which it enters.
        grid: for a partial context that is an image, the size of the field that the vector becomes.
    """

    name: str
    initial: Tensor
    positive: bool = False
    theta: Tensor | None = None
    field: ImageMap | None = None
    grid: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Emitted:
    """All vectors of a network at some contexts, side by side.

    Args:
        names: of the vectors, in order.
        sizes: how many entries each has.
        values: shape `(contexts, entries in all)`.
    """

    names: Sequence[str]
    sizes: Sequence[int]
    values: Array


class VectorSource(nn.Module, ABC):
    """Gives the vectors of a network, by name, perhaps at a context."""

    names: list[str]

    @property
    def moving(self) -> frozenset[str]:
        """Names of the vectors that depend on the context: all, if a network emits them."""
        return frozenset(self.names)

    @abstractmethod
    def forward(self, context: Tensor | None) -> dict[str, Tensor]:
        """Return each vector; where it depends on the context, the context's leading shape comes first."""

    @in_evaluation_mode
    @torch.no_grad()
    def frozen(self, context: Tensor | None) -> dict[str, Array]:
        """Return the same in float64, every read-out evaluated in the model's own type first."""
        return {name: as_float64(vector.double()) for name, vector in self(context).items()}

    def row(self, contexts: Tensor) -> Emitted:
        """Return what `frozen` returns at contexts of shape `(contexts, p)`, side by side."""
        vectors = self.frozen(contexts)
        moving = self.moving
        wide = [
            value.reshape(len(contexts), -1) if name in moving else np.tile(value.reshape(1, -1), (len(contexts), 1))
            for name, value in vectors.items()
        ]
        return Emitted(list(vectors), [array.shape[1] for array in wide], np.concatenate(wide, axis=1))


@final
class ParameterSource(VectorSource):
    """Vectors that are parameters, and for a joint context affine in theta: b + Theta theta.

    Args:
        vectors: what to hold; the order is that of the rows of Theta.
        positivity: recipe of the non-negative ones.
        shared: what the recipe shares among the weights of one network.
    """

    def __init__(self, vectors: Sequence[Vector], positivity: Recipe, shared: Shared | None) -> None:
        super().__init__()
        self.positive = nn.ModuleDict({v.name: positivity.weight(v.initial, shared) for v in vectors if v.positive})
        self.free = nn.ParameterDict({v.name: nn.Parameter(v.initial.clone()) for v in vectors if not v.positive})
        reached = [(v, v.theta) for v in vectors if v.theta is not None]
        self.names = [v.name for v, _ in reached]
        self.sizes = [v.initial.numel() for v, _ in reached]
        rows = [theta for _, theta in reached]
        self.Theta = nn.Parameter(torch.cat(rows)) if rows else None

    def forward(self, context: Tensor | None) -> dict[str, Tensor]:
        """Return the parameters, moved by the context where it is joint."""
        vectors = {**self.free, **{name: weight() for name, weight in self.positive.items()}}
        if self.Theta is not None and context is not None:
            moves = nn.functional.linear(context, self.Theta).split(self.sizes, dim=-1)
            for name, move in zip(self.names, moves, strict=True):
                vectors[name] = vectors[name] + shaped(move, vectors[name].shape)
        return vectors

    @in_evaluation_mode
    @torch.no_grad()
    def frozen(self, context: Tensor | None) -> dict[str, Array]:
        """Lift the parameters exactly, then add Theta theta in float64."""
        vectors = super().frozen(None)
        if self.Theta is not None and context is not None:
            moves = context.double() @ self.Theta.double().T
            for name, move in zip(self.names, moves.split(self.sizes, dim=-1), strict=True):
                vectors[name] = vectors[name] + as_float64(shaped(move, vectors[name].shape))
        return vectors


@final
class ContextNetwork(VectorSource):
    """Emits every vector from a context: a linear skip plus Linear(p, 32), SiLU, Linear(32, outputs).

    At the start the skip's bias gives each vector its own initial value (through the inverse of the positive
    read-out), the skip's weight is N(0, 0.1^2/p), the first layer N(0, 1/p) and the last N(0, 0.01^2), biases zero;
    with ReLU the first layer's biases are N(0, 1), so that its kinks do not all pass through theta = 0.

    Args:
        vectors: what to emit.
        context_features: length p of the context.
        readout: recipe whose `emit` makes outputs non-negative.
        generator: source of the initial values.
        hidden: width of the hidden layer; 0 leaves the skip alone, vectors affine in theta.
        activation: `silu`, or `relu` for vectors with kinks in theta.

    Raises:
        ModelError: the width or the activation is invalid.
    """

    def __init__(
        self,
        vectors: Sequence[Vector],
        context_features: int,
        readout: Recipe,
        generator: torch.Generator | None,
        *,
        hidden: int = CONTEXT_HIDDEN,
        activation: ContextActivation = "silu",
    ) -> None:
        super().__init__()
        hidden = as_integer("context_hidden", hidden, 0)
        choose("context_activation", activation, CODE_ACTIVATIONS)
        self.activation = activation
        ordered = [v for v in vectors if not v.positive] + [v for v in vectors if v.positive]
        self.names = [v.name for v in ordered]
        self.shapes = [tuple(v.initial.shape) for v in ordered]
        self.sizes = [v.initial.numel() for v in ordered]
        self.positives = sum(v.initial.numel() for v in ordered if v.positive)
        self.readout = readout
        p, outputs = context_features, sum(self.sizes)
        first = ordered[0].initial
        sizes = [(outputs, p), (hidden, p), (outputs, hidden)] if hidden else [(outputs, p)]
        layers = [
            nn.utils.skip_init(nn.Linear, columns, rows, dtype=first.dtype, device=first.device)
            for rows, columns in sizes
        ]
        self.skip = layers[0]
        self.code: nn.Linear | None = layers[1] if hidden else None
        self.head: nn.Linear | None = layers[2] if hidden else None
        starts = [raw_of(readout, v.initial) if v.positive else v.initial for v in ordered]
        with torch.no_grad():
            self.skip.weight.copy_(SKIP / math.sqrt(p) * normal(self.skip.weight.shape, generator))
            self.skip.bias.copy_(torch.cat([start.reshape(-1) for start in starts]))
            if self.code is not None and self.head is not None:
                self.code.weight.copy_(normal(self.code.weight.shape, generator) / math.sqrt(p))
                self.code.bias.copy_(
                    normal((hidden,), generator) if activation == "relu" else torch.zeros(hidden, device="cpu")
                )
                self.head.weight.copy_(NEAR_ZERO * normal(self.head.weight.shape, generator))
                self.head.bias.zero_()

    def forward(self, context: Tensor | None) -> dict[str, Tensor]:
        """Return the vectors emitted at the context."""
        assert context is not None
        parts = self._emitted(context).split(self.sizes, dim=-1)
        return {name: shaped(part, shape) for name, shape, part in zip(self.names, self.shapes, parts, strict=True)}

    def _emitted(self, context: Tensor) -> Tensor:
        """Return the vectors side by side."""
        raw = self.skip(context)
        if self.code is not None and self.head is not None:
            raw = raw + self.head(CODE_ACTIVATIONS[self.activation](self.code(context)))
        free = raw.shape[-1] - self.positives
        return torch.cat([raw[..., :free], self.readout.emit(raw[..., free:])], dim=-1)

    @torch.no_grad()
    def row(self, contexts: Tensor) -> Emitted:
        """Return the vectors emitted at each context, side by side."""
        return Emitted(self.names, self.sizes, as_float64(self._emitted(contexts).double()))


def shaped(flat: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return `flat`, shape `(*lead, size)`, with its last axis split into `shape`."""
    return flat if len(shape) == 1 else flat.reshape((*flat.shape[:-1], *shape))


def raw_of(readout: Recipe, values: Tensor) -> Tensor:
    """Return the largest raw in [-40, 40] with readout.emit(raw) <= values, by bisection in float64.

    Every read-out increases to the right of its least point, so that this is its inverse there. Of a tensor without
    values, on the device `meta`, only the shape is returned.
    """
    if values.is_meta:  # a file that is read is compared with such a network; the search would take a second
        return torch.empty_like(values)
    grid = torch.linspace(-40.0, 40.0, 321, dtype=torch.float64, device=values.device)
    target = values.detach().double().reshape(-1)
    below = readout.emit(grid)[:, None] <= target
    index = torch.where(below, torch.arange(len(grid), device=values.device)[:, None], 0).amax(dim=0)
    low = grid[index]
    high = grid[(index + 1).clamp(max=len(grid) - 1)]
    for _ in range(60):
        middle = (low + high) / 2
        fits = readout.emit(middle) <= target
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return low.reshape(values.shape).to(values.dtype)
