"""Slices of the loss landscape: a plane through a trained network, the loss on a grid, trajectories projected on it.

The plane is chosen to show the gap between two runs (Siahkoohi and Thatipelli, section 5.3): in constrained coordinates
(the plain tensors of finalised networks) one axis is the difference of the two ends and the other the leading
principal component of the trajectories orthogonal to it; in lifted coordinates (the tensors of the lift itself) both
are leading principal components; a plane of random directions is the control. Directions are normalised filter by
filter (Li et al., 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from socicnn._arrays import Array
from socicnn.errors import ModelError

Tensors: TypeAlias = Mapping[str, Tensor]


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the model's parameters in float64, by name: one point of a trajectory."""
    return {name: parameter.detach().double().clone() for name, parameter in model.named_parameters()}


@dataclass(frozen=True, eq=False)
class Plane:
    """The points centre + alpha first + beta second.

    Args:
        centre: tensors at (0, 0).
        first: direction of alpha.
        second: direction of beta.
    """

    centre: Tensors
    first: Tensors
    second: Tensors

    @classmethod
    def between(cls, centre: Tensors, end: Tensors, trajectory: Sequence[Tensors]) -> Plane:
        """Return the plane for constrained coordinates: end - centre, and what the trajectories add to it.

        Args:
            centre: end of the run at the centre (the converged lift).
            end: end of the other run.
            trajectory: snapshots of either run or of both.

        Raises:
            ModelError: names or shapes differ, or the snapshots do not span a plane.
        """
        middle, difference = _flat(centre, centre), _flat(end, centre) - _flat(centre, centre)
        length = np.linalg.norm(difference)
        if not length > 0:
            raise ModelError("the two ends agree, and so give no direction; give another run's end")
        rows = np.stack([_flat(point, centre) for point in trajectory]) - middle if trajectory else middle[None] * 0
        axis, scale = difference / length, np.linalg.norm(rows)
        rows = rows - np.outer(rows @ axis, axis)
        return cls._normalised(centre, difference, _principal(rows, 1, scale)[0])

    @classmethod
    def principal(cls, centre: Tensors, trajectory: Sequence[Tensors]) -> Plane:
        """Return the plane for lifted coordinates: the two leading principal components of the trajectory.

        Raises:
            ModelError: names or shapes differ, or the snapshots do not span a plane.
        """
        rows = np.stack([_flat(point, centre) for point in trajectory]) if trajectory else np.zeros((1, 1))
        rows = rows - _flat(centre, centre) if trajectory else rows
        first, second = _principal(rows, 2, np.linalg.norm(rows))
        return cls._normalised(centre, first, second)

    @classmethod
    def random(cls, centre: Tensors, generator: torch.Generator | None = None) -> Plane:
        """Return the plane of two random directions (Li et al., 2018), normal before filters are scaled.

        Args:
            centre: the tensors of a trained network.
            generator: of the directions, on the processor; torch's own if omitted.
        """
        count = len(_flat(centre, centre))
        draws = [torch.randn(count, generator=generator, dtype=torch.float64).numpy() for _ in range(2)]
        return cls._normalised(centre, *draws)

    @classmethod
    def _normalised(cls, centre: Tensors, first: Array, second: Array) -> Plane:
        return cls(dict(centre), *(filter_normalised(_unflat(axis, centre), centre) for axis in (first, second)))

    def at(self, alpha: float, beta: float) -> dict[str, Tensor]:
        """Return the tensors at (alpha, beta)."""
        return {name: c + alpha * self.first[name] + beta * self.second[name] for name, c in self.centre.items()}

    def project(self, points: Sequence[Tensors]) -> Array:
        """Return the least-squares coordinates (alpha, beta) of each point, shape `(count, 2)`."""
        axes = np.stack([_flat(self.first, self.centre), _flat(self.second, self.centre)], axis=1)
        moved = np.stack([_flat(point, self.centre) for point in points], axis=1)
        moved -= _flat(self.centre, self.centre)[:, None]
        return np.asarray(np.linalg.lstsq(axes, moved, rcond=None)[0].T, dtype=np.float64)

    def slice(self, loss: Callable[[dict[str, Tensor]], float], alphas: Array, betas: Array) -> Slice:
        """Evaluate a loss on the grid of alphas and betas; a loss that is not finite becomes NaN.

        Args:
            loss: loss of the tensors by name, as `at` gives them (`torch.func.functional_call` takes these).
            alphas: first coordinates.
            betas: second coordinates.
        """
        values = np.array([[float(loss(self.at(a, b))) for b in betas] for a in alphas])
        return Slice(np.asarray(alphas), np.asarray(betas), np.where(np.isfinite(values), values, np.nan))


@dataclass(frozen=True, eq=False)
class Slice:
    """The loss on a grid of a plane.

    Args:
        alphas: shape `(rows,)`.
        betas: shape `(columns,)`.
        loss: shape `(rows, columns)`, NaN where it is not finite.
    """

    alphas: Array
    betas: Array
    loss: Array


def filter_normalised(direction: Tensors, centre: Tensors) -> dict[str, Tensor]:
    """Return the direction with each filter scaled to the norm of the same filter of the centre.

    A filter is what feeds one unit: a row of a matrix, a kernel of a convolution; a vector or a number is one filter.
    """
    scaled = {}
    for name, tensor in direction.items():
        flat, target = (t.reshape(len(t), -1) if t.ndim > 1 else t.reshape(1, -1) for t in (tensor, centre[name]))
        norm = flat.norm(dim=1, keepdim=True)
        scale = torch.where(norm > 0, target.norm(dim=1, keepdim=True) / norm.clamp(min=1e-300), 0.0)
        scaled[name] = (flat * scale).reshape(tensor.shape)
    return scaled


def _flat(tensors: Tensors, like: Tensors) -> Array:
    if list(tensors) != list(like) or any(tensors[name].shape != like[name].shape for name in like):
        raise ModelError("the points of a trajectory must have the names and shapes of the centre, in its order")
    return torch.cat([tensor.detach().double().reshape(-1) for tensor in tensors.values()]).cpu().numpy().copy()


def _unflat(vector: Array, like: Tensors) -> dict[str, Tensor]:
    parts = torch.from_numpy(vector).split([tensor.numel() for tensor in like.values()])
    return {name: part.reshape(tensor.shape) for (name, tensor), part in zip(like.items(), parts, strict=True)}


def _principal(rows: Array, count: int, scale: float | np.floating[Any]) -> Array:
    """Return the leading unit directions of the rows about zero, from their Gram matrix: rows are few, entries many."""
    values, vectors = np.linalg.eigh(rows @ rows.T)
    if len(rows) < count or not values[-count] > 1e-20 * scale**2:
        raise ModelError(f"the snapshots span fewer than {count} directions; give more of them, further apart")
    leading = vectors[:, ::-1][:, :count].T @ rows
    return np.asarray(leading / np.linalg.norm(leading, axis=1, keepdims=True))
