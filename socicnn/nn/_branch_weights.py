"""Values and weights of quadratic and norm branches: one weight for the branch, or one per position.

With a weight per position, beta_i and gamma_i stand inside the mean over positions i. In a frozen network the squares
of a position are a unit of the last layer, relu(||A_i x + e_i||^2) = ||A_i x + e_i||^2 with read-out weight beta_i over
their number, and the norms of each position are a branch of their own: both forms are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from socicnn._arrays import Array, Matrix
from socicnn.frozen import Layer, Norm, Output, Squares
from socicnn.frozen._composition import joined
from socicnn.nn._context import Vector
from socicnn.nn._geometry import Convolution
from socicnn.nn._operators import grouped_rows


@final
@dataclass(frozen=True)
class BranchWeights:
    """The weights of some branches.

    Args:
        name: of the vector with the weights that are numbers: beta or gamma; a weight per position of branch m is the
            vector `name` + m.
        grids: of each branch the size of its image if it has a weight per position, else None.
    """

    name: str
    grids: tuple[tuple[int, ...] | None, ...]

    @classmethod
    def of(cls, name: str, maps: Sequence[Any]) -> BranchWeights:
        """Return the weights of branches with these maps."""
        placed = (isinstance(map_, Convolution) and map_.spec.per_position for map_ in maps)
        return cls(name, tuple(map_.out_size if own else None for own, map_ in zip(placed, maps, strict=True)))

    def vectors(self, starts: Sequence[float]) -> list[Vector]:
        """Return the vectors, which start at one value per branch."""
        numbers = [start for start, grid in zip(starts, self.grids, strict=True) if grid is None]
        made = []
        if numbers:
            made.append(Vector(self.name, torch.tensor(numbers, dtype=torch.float64, device="cpu"), positive=True))
        for m, (start, grid) in enumerate(zip(starts, self.grids, strict=True), start=1):
            if grid is not None:
                field = torch.full((1, *grid), start, dtype=torch.float64, device="cpu")
                made.append(Vector(f"{self.name}{m}", field, positive=True, grid=grid))
        return made

    def get(self, vectors: dict[str, Any], index: int) -> Any:
        """Return the weight of a branch, or its weights with the positions in the last axis."""
        grid = self.grids[index]
        if grid is None:
            return vectors[self.name][..., sum(before is None for before in self.grids[:index])]
        field = vectors[f"{self.name}{index + 1}"]
        return field.reshape(*field.shape[: -1 - len(grid)], math.prod(grid))


def group_lengths(u: Tensor, axes: int, group: int) -> Tensor:
    """Return the lengths of groups of channels at each position, shape `(*batch, groups, positions)`.

    Args:
        u: shape `(*batch, channels, *size)`.
        axes: number of sizes.
        group: channels of a group.
    """
    groups = u.flatten(-axes).unflatten(-2, (-1, group)).movedim(-2, -1)
    return torch.linalg.vector_norm(groups.contiguous(), dim=-1)  # over an axis with a stride it is five times as slow


def averaged(weight: Tensor, values: Tensor, map_: Convolution) -> Tensor:
    """Return the weighted mean of values over positions, shape `(*batch, positions)`; the weight is one of `get`."""
    return (weight * values).mean(dim=-1) if map_.spec.per_position else weight * values.mean(dim=-1)


@final
@dataclass(frozen=True, eq=False)
class Positions:
    """A branch with a weight per position, as arrays.

    Args:
        weight: shape `(positions,)`, or `(contexts, positions)`.
        matrix: shape `(positions * channels, n)`, the rows of a position adjoining.
        offset: shape `(positions * channels,)` or `(contexts, positions * channels)`.
        channels: rows of a position.
    """

    weight: Array
    matrix: sparse.csr_array
    offset: Array
    channels: int

    @classmethod
    def of(cls, weight: Array, matrix: Matrix, offset: Array | None, channels: int) -> Positions:
        """Return it from rows in the order (channel, position)."""
        positions = weight.shape[-1]
        order = grouped_rows(channels, positions, channels)
        moved = np.zeros(len(order)) if offset is None else offset[..., order]
        return cls(weight, sparse.csr_array(sparse.csr_array(matrix)[order]), moved, channels)

    def norms(self, group: int) -> list[Norm]:
        """Return the norms of groups of channels, one branch per position."""
        rows, positions = self.channels, self.weight.shape[-1]
        share = group / (rows * positions)
        places = [slice(start, start + rows) for start in range(0, rows * positions, rows)]
        return [
            Norm(share * self.weight[..., i], self.matrix[place], self.offset[..., place], group)
            for i, place in enumerate(places)
        ]


def with_squares(layers: Sequence[Layer], output: Output, branches: Sequence[Positions]) -> tuple[list[Layer], Output]:
    """Return layers and read-out with the squares of each position, averaged, as further units of the last layer."""
    if not branches:
        return list(layers), output
    n, most = output.v.shape[-1], max(branch.channels for branch in branches)
    counts = [branch.weight.shape[-1] for branch in branches]
    units, channels = sum(counts), np.repeat([branch.channels for branch in branches], counts)
    # rows of each position, padded to the same number
    place = (most * np.arange(units)[:, None] + np.arange(most))[np.arange(most) < channels[:, None]]
    rows = sparse.coo_array(sparse.vstack([branch.matrix for branch in branches]))
    F = sparse.csr_array((rows.data, (place[rows.row], rows.col)), shape=(units * most, n))
    offsets = joined([branch.offset for branch in branches])
    g = np.zeros((*offsets.shape[:-1], units * most))
    g[..., place] = offsets
    last = layers[-1] if layers else Layer(None, sparse.csr_array((0, n)), np.zeros(0))
    layer = _with_squared_units(last, F, g, units)
    shares = [b.weight / (b.channels * count) for b, count in zip(branches, counts, strict=True)]
    return [*layers[:-1], layer], Output(joined([output.w, *shares]), output.v, output.c)


def _with_squared_units(layer: Layer, F: Matrix, g: Array, units: int) -> Layer:
    """Return the layer with further units ||F_i x + g_i||^2 after its own, all of equally many rows of F."""
    h, (rows, n) = layer.width, F.shape
    before, k = layer.W.shape[1], rows // units
    W = sparse.vstack([sparse.csr_array(layer.W), sparse.csr_array((units, before))], format="csr")
    own = layer.U if layer.U.shape[1] else sparse.csr_array((h, n))  # without passthrough it has no columns
    U = sparse.vstack([sparse.csr_array(own), sparse.csr_array((units, n))], format="csr")
    all_rows = sparse.vstack([sparse.csr_array((h * k, n)), F], format="csr")
    offsets = joined([np.zeros(h * k), g])
    squares = Squares(np.repeat([0.0, 1.0], [h, units]), all_rows, offsets)
    smoothing = np.concatenate([layer.taus, np.zeros(units)]) if layer.smooth else 0.0
    return Layer(W if before else None, U, joined([layer.b, np.zeros(units)]), squares, smoothing)
