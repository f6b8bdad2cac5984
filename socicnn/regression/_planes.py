"""A maximum of planes with a penalty, and with signs of slopes: what a network is stacked with.

minimise sum_i p_i (max_k (a_k'x_i + b_k) - y_i)^2 + lambda sum_k ||a_k||^2,   low <= a_k <= high

The starts come from the least-squares partition heuristic; L-BFGS-B descends from there, along penalties from strong
to weak, each from the planes of the one before. A maximum of planes that increase increases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
from scipy import optimize

from socicnn._arrays import Array
from socicnn.regression._max_affine import heuristic

FIRST = 20  # iterations of the heuristic at most; the descent goes on from there
STEPS = 60  # of one descent at most


class Planes(NamedTuple):
    """The function max_k (a_k'x + b_k).

    Args:
        slopes: a_k, shape `(planes, n)`.
        offsets: b_k, shape `(planes,)`.
        objective: what was minimised, at these planes.
    """

    slopes: Array
    offsets: Array
    objective: float

    def values(self, x: Array) -> Array:
        """Return the values at points of shape `(points, n)`."""
        values: Array = (x @ self.slopes.T + self.offsets).max(axis=1)
        return values


@final
@dataclass(frozen=True, eq=False)
class StandardRows:
    """Rows in standardised units.

    Args:
        x: shape `(rows, n)`.
        y: shape `(rows,)`.
        weight: > 0, sum 1, shape `(rows,)`.
    """

    x: Array
    y: Array
    weight: Array

    def error(self, values: Array) -> float:
        """Return the mean squared error of values."""
        return float(self.weight @ (values - self.y) ** 2)


def planes_along(
    rows: StandardRows,
    count: int,
    ridges: Sequence[float],
    signs: Sequence[int],
    restarts: int,
    draw: np.random.RandomState,
) -> list[Planes]:
    """Return the best planes over the restarts, for each penalty.

    Args:
        rows: the rows.
        count: number of planes.
        ridges: penalties lambda, from strong to weak.
        signs: 1 where f increases, -1 where it decreases, 0 elsewhere, one per column.
        restarts: random partitions to start from.
        draw: of the partitions.
    """
    starts = [heuristic(rows.x, rows.y, rows.weight, count, draw, FIRST) for _ in range(restarts if count > 1 else 1)]
    paths = []
    for slopes, offsets in starts:
        path = [Planes(slopes, offsets, np.inf)]
        for ridge in ridges:
            path.append(_descend(rows, path[-1], ridge, np.array(signs)))
        paths.append(path[1:])
    return [min(fits, key=lambda planes: planes.objective) for fits in zip(*paths, strict=True)]


def _descend(rows: StandardRows, planes: Planes, ridge: float, signs: Any) -> Planes:
    x, y, weight = rows.x, rows.y, rows.weight
    count, n = planes.slopes.shape
    places = np.arange(len(y))

    def objective(point: Array) -> tuple[float, Array]:
        a, b = point[: count * n].reshape(count, n), point[count * n :]
        values = x @ a.T + b
        top = values.argmax(axis=1)
        residual = values[places, top] - y
        pull = np.zeros_like(values)
        pull[places, top] = 2 * weight * residual
        value = float(weight @ residual**2) + ridge * float((a**2).sum())
        return value, np.append((pull.T @ x + 2 * ridge * a).ravel(), pull.sum(axis=0))

    free = np.full(count, np.inf)
    low = np.append(np.tile(np.where(signs > 0, 0.0, -np.inf), count), -free)
    high = np.append(np.tile(np.where(signs < 0, 0.0, np.inf), count), free)
    result = optimize.minimize(
        objective,
        np.clip(np.append(planes.slopes.ravel(), planes.offsets), low, high),
        jac=True,
        method="L-BFGS-B",
        bounds=optimize.Bounds(low, high),
        options={"maxiter": STEPS, "ftol": 1e-7},
    )
    return Planes(result.x[: count * n].reshape(count, n), result.x[count * n :], float(result.fun))
