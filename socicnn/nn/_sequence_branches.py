"""The maps of branches over a sequence `(T, p)`: matrices on the flattened sequence, or convolutions over time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from socicnn._arrays import Array, Matrix, as_float64
from socicnn.errors import ModelError
from socicnn.nn import _branches as branches
from socicnn.nn import _operators as operators
from socicnn.nn._activations import softplus
from socicnn.nn._branch_weights import Positions, averaged, group_lengths
from socicnn.nn._branches import BranchMap, BranchSpec
from socicnn.nn._context import Vector
from socicnn.nn._geometry import Conv, Convolution, ImageMap, specified
from socicnn.nn._smooth_fields import log_sum_exp, logistic, row_weights
from socicnn.nn._stages import check_group
from socicnn.positivity._initial import normal


class SequenceBranch(nn.Module, ABC):
    """The map of one branch, and what is summed or averaged of its image.

    Attributes:
        group: rows that one norm takes together; all if omitted.
        start: what beta (its root: gamma) starts at.
    """

    group: int | None
    start: float

    @abstractmethod
    def image(self, x: Tensor) -> Tensor:
        """Return the linear image of sequences x `(*batch, T, p)`."""

    @abstractmethod
    def square(self, p: Tensor, weight: Tensor) -> Tensor:
        """Return the squared image, summed or averaged, times the weight, which may be one per position."""

    @abstractmethod
    def length(self, u: Tensor, weight: Tensor) -> Tensor:
        """Return the norm of the image, or the average of its groups' norms, times the weight."""

    @property
    @abstractmethod
    def weights(self) -> int:
        """Number of weights of a logistic branch: one per row of a matrix, or per channel."""

    @abstractmethod
    def log_sum_exp(self, p: Tensor) -> Tensor:
        """Return log sum exp of the image, or the average of its groups'."""

    @abstractmethod
    def logistic(self, p: Tensor, omega: Tensor) -> Tensor:
        """Return the sum of log(1 + exp(p)) with these weights, averaged over positions."""

    @abstractmethod
    def row_weights(self, omega: Array) -> Array:
        """Return the weights of a logistic branch as those of its rows, as `frozen(..., squared=True)` orders them."""

    @abstractmethod
    def offset(self, name: str, channels: int, features: int, generator: torch.Generator | None) -> Vector:
        """Return the offset, zero, and how a joint context (sequence of `channels`, vector of `features`) enters."""

    @abstractmethod
    def frozen(self, offset: Array | None, squared: bool) -> tuple[Matrix, Array | None, float]:
        """Return the matrix on the flattened sequence, the offset, and the share of beta (or gamma) of each row."""


@final
class MatrixBranch(SequenceBranch):
    """A matrix on the flattened sequence; its rows are summed."""

    def __init__(self, map_: BranchMap, fan_in: int, steps: int) -> None:
        super().__init__()
        self.map, self.fan_in, self.steps = map_, fan_in, steps
        self.group = None
        self.start = 1 / map_.rows

    def image(self, x: Tensor) -> Tensor:
        """Return A x, shape `(*batch, rows)`."""
        flat = x.flatten(-2)
        full = self.map.full
        return self.map.image(flat, flat if full is None else nn.functional.linear(flat, full))

    def square(self, p: Tensor, weight: Tensor) -> Tensor:
        """Return the weight times ||p||^2."""
        return weight * p.square().sum(dim=-1)

    def length(self, u: Tensor, weight: Tensor) -> Tensor:
        """Return the weight times ||u||."""
        return weight * torch.linalg.vector_norm(u, dim=-1)

    @property
    def weights(self) -> int:
        """One per row."""
        return self.map.rows

    def log_sum_exp(self, p: Tensor) -> Tensor:
        """Return log sum exp of p."""
        return torch.logsumexp(p, dim=-1)

    def logistic(self, p: Tensor, omega: Tensor) -> Tensor:
        """Return omega'log(1 + exp(p))."""
        return (softplus(p) * omega).sum(dim=-1)

    def row_weights(self, omega: Array) -> Array:
        """Return the weights as they are."""
        return omega

    def offset(self, name: str, channels: int, features: int, generator: torch.Generator | None) -> Vector:
        """Return an offset per row; a joint sequence enters through a full matrix."""
        rows = self.map.rows
        zeros = torch.zeros(rows, dtype=torch.float64, device="cpu")
        size = channels * self.steps or features
        if not size:
            return Vector(name, zeros)
        theta = normal((rows, size), generator) / math.sqrt(self.fan_in)
        return Vector(name, zeros, theta=theta, field=_Flat(rows, channels, (self.steps,)) if channels else None)

    def frozen(self, offset: Array | None, squared: bool) -> tuple[Matrix, Array | None, float]:
        """Return the matrix as it is."""
        return self.map.frozen(), offset, 1.0


@final
class TimeBranch(SequenceBranch):
    """A convolution over time; its image is averaged."""

    def __init__(self, map_: Convolution, kernel: Tensor, fan_in: int) -> None:
        super().__init__()
        self.map, self.fan_in = map_, fan_in
        self.kernel = nn.Parameter(kernel)
        self.group = map_.spec.group
        self.start = 1.0 if self.group is None else 1 / self.group

    def image(self, x: Tensor) -> Tensor:
        """Return A * x, shape `(*batch, channels, positions)`."""
        return self.map.apply(x.transpose(-1, -2), self.kernel)

    def square(self, p: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted mean of p^2 over channels and positions."""
        return averaged(weight, p.square().mean(dim=-2), self.map)

    def length(self, u: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted mean norm of the groups of channels at each position, or the norm of all."""
        if self.group is None:
            return weight * torch.linalg.vector_norm(u.flatten(-2), dim=-1)
        return averaged(weight, group_lengths(u, 1, self.group).mean(dim=-2), self.map)

    def placed(self, weight: Array, offset: Array | None) -> Positions:
        """Return the branch by position, if it has a weight per position."""
        matrix = self._matrix()
        full = None if offset is None else self._field(offset)
        return Positions.of(weight, matrix, full, self.map.out_channels)

    @property
    def weights(self) -> int:
        """One per channel."""
        return self.map.out_channels

    def log_sum_exp(self, p: Tensor) -> Tensor:
        """Return log sum exp of all of p, or the mean over groups of channels at each position."""
        return log_sum_exp(p, 1, self.group)

    def logistic(self, p: Tensor, omega: Tensor) -> Tensor:
        """Return the sum over channels of omega times the mean of log(1 + exp(p)) over positions."""
        return logistic(p, 1, omega)

    def row_weights(self, omega: Array) -> Array:
        """Return one weight per channel and position."""
        return row_weights(omega, *self.map.out_size)

    def offset(self, name: str, channels: int, features: int, generator: torch.Generator | None) -> Vector:
        """Return an offset per channel; a joint sequence enters through a convolution like that of x."""
        rows, grid = self.map.out_channels, self.map.out_size
        zeros, deviation = torch.zeros(rows, 1, dtype=torch.float64, device="cpu"), 1 / math.sqrt(self.fan_in)
        if channels:
            field = Convolution(self.map.spec, channels, self.map.size)
            return Vector(name, zeros, theta=deviation * normal(field.kernel_shape, generator), field=field, grid=grid)
        theta = deviation * normal((rows, features), generator) if features else None
        return Vector(name, zeros, theta=theta, grid=grid)

    def frozen(self, offset: Array | None, squared: bool) -> tuple[Matrix, Array | None, float]:
        """Return the matrix with its columns in the order of the sequence and the rows of a group adjoining."""
        (positions,), channels = self.map.out_size, self.map.out_channels
        matrix = self._matrix()
        offset = None if offset is None else self._field(offset)
        if squared:
            return matrix, offset, 1 / (channels * positions)
        if self.group is None:
            return matrix, offset, 1.0
        order = operators.grouped_rows(channels, positions, self.group)
        moved = None if offset is None else offset[..., order]
        return sparse.csr_array(matrix[order]), moved, self.group / (channels * positions)

    def _matrix(self) -> sparse.csr_array:
        """Return the matrix with its columns in the order of the sequence."""
        (T,), p = self.map.size, self.map.in_channels
        columns = np.arange(p * T).reshape(p, T).T.ravel()
        return sparse.csr_array(self.map.matrix(as_float64(self.kernel.double()))[:, columns])

    def _field(self, offset: Array) -> Array:
        """Return an offset, one per channel or for all positions, as one vector."""
        full = np.broadcast_to(offset, (*offset.shape[:-1], *self.map.out_size))
        return full.reshape(*full.shape[:-2], -1)


@final
class _Flat(ImageMap):
    """A full matrix on a flattened image."""

    def __init__(self, rows: int, in_channels: int, size: tuple[int, ...]) -> None:
        self.in_channels, self.size = in_channels, size
        self.out_channels, self.out_size = rows, ()

    def apply(self, x: Tensor, kernel: Tensor | None) -> Tensor:
        assert kernel is not None
        return nn.functional.linear(x.flatten(-1 - len(self.size)), kernel)

    def matrix(self, kernel: Array | None) -> sparse.csr_array:
        return sparse.csr_array(kernel)


def checked(listed: Sequence[Any] | None, argument: str, default: Conv | None = None) -> tuple[BranchSpec | Conv, ...]:
    """Return the branches as a tuple, the default alone if omitted.

    Raises:
        ModelError: an entry is not a branch of a sequence.
    """
    if isinstance(listed, str | int | Conv):
        raise ModelError(f"{argument} lists the branches, one entry each; received {listed!r}: write ({listed!r},)")
    specs: list[BranchSpec | Conv] = []
    own: Sequence[Any] = () if default is None else (default,)
    for entry in own if listed is None else listed:
        if isinstance(entry, Conv | dict):
            spec = cast(Conv, specified(entry, argument))
            check_group(spec, argument)
            specs.append(spec)
        else:
            specs.extend(branches.checked((entry,), 0, argument))
    return tuple(specs)


def sequence_branch(
    spec: BranchSpec | Conv, steps: int, features: int, channels: int, more: int, generator: torch.Generator | None
) -> SequenceBranch:
    """Return the branch of a checked entry, its matrix N(0, 1/fan_in).

    Args:
        spec: the entry.
        steps: horizon T.
        features: features p of a step.
        channels: features of a joint context that is a sequence, else 0.
        more: length of a joint context that is a vector, else 0.
        generator: source of the initial values.
    """
    if not isinstance(spec, Conv):
        fan_in = steps * (features + channels) + more
        return MatrixBranch(branches.branch_map(spec, steps * features, fan_in, generator), fan_in, steps)
    map_ = Convolution(spec, features, (steps,))
    fan_in = map_.fan_in * (features + channels) // features + more
    return TimeBranch(map_, normal(map_.kernel_shape, generator) / math.sqrt(fan_in), fan_in)
