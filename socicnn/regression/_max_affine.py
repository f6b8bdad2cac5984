"""Max-affine regression: f(x) = max_k (a_k'x + b_k), by the least-squares partition heuristic.

Start from a partition of the points; fit each part by least squares; give each point to the part whose affine
function is largest there; repeat until the partition stays.

Source: Magnani and Boyd, Convex piecewise-linear fitting, 2009.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from socicnn._arrays import Array
from socicnn._integers import as_integer
from socicnn.frozen import FrozenNet
from socicnn.regression._columns import as_before_on_failure, refuse_unlike
from socicnn.regression._rows import TableRows

CHOICES = (1, 2, 3, 5, 8)  # numbers of pieces that are tried if none is given
ITERATIONS = 50
RIDGE = 1e-6  # of a piece with few points, relative to its spread


class MaxAffine(RegressorMixin, BaseEstimator):
    """A convex regressor of few pieces, for comparison: f(x) = max_k (a_k'x + b_k).

    Args:
        pieces: number of affine pieces; the best of 1, 2, 3, 5 and 8 on a fifth of the rows if omitted.
        restarts: random partitions to start from.
        random_state: seed of the partitions.

    Attributes:
        slopes_: a_k, shape `(pieces, columns)`.
        offsets_: b_k, shape `(pieces,)`.
        network_: the same function as a FrozenNet, for `to_cvxpy`, `verify.certify` and `decide`.

    >>> x = np.linspace(-1, 1, 21)[:, None]
    >>> model = MaxAffine(pieces=2, random_state=0).fit(x, np.abs(x[:, 0]))
    >>> model.predict([[0.5], [-0.25]]).round(4).tolist()
    [0.5, 0.25]
    """

    def __init__(self, pieces: int | None = None, *, restarts: int = 5, random_state: Any = None) -> None:
        self.pieces = pieces
        self.restarts = restarts
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the pieces.

        Args:
            X: shape `(rows, columns)`.
            y: shape `(rows,)`.
            sample_weight: weights >= 0, shape `(rows,)`.

        Raises:
            ValueError: data that scikit-learn refuses.
            ModelError: `pieces` or `restarts` is not an integer >= 1.
        """
        with as_before_on_failure(self):
            return self._fit(X, y, sample_weight)

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> Self:
        refuse_unlike(X=X, y=y, sample_weight=sample_weight)
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        restarts = as_integer("restarts", self.restarts)
        counts = CHOICES if self.pieces is None else (as_integer("pieces", self.pieces),)
        rows = TableRows.of(X, np.asarray(y, dtype=np.float64), weight)
        self.slopes_, self.offsets_ = fitted(rows.table, rows.y, rows.weight, counts, restarts, self.random_state)
        return self

    def predict(self, X: Any) -> Array:
        """Return f at each row, shape `(rows,)`."""
        check_is_fitted(self)
        refuse_unlike(X=X)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        values: Array = (X @ self.slopes_.T + self.offsets_).max(axis=1)
        return values

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R2 of the predictions, as scikit-learn's regressors do.

        Raises:
            ModelError: y holds dates or times, or its rows are in another order than those of X.
        """
        refuse_unlike(X=X, y=y, sample_weight=sample_weight)
        return float(super().score(X, y, sample_weight))

    @property
    def network_(self) -> FrozenNet:
        """The same function as a chain of units: m_k = l_k + relu(m_{k-1} - l_k), l_k the pieces."""
        check_is_fitted(self)
        return FrozenNet.from_structure(maxima=[(self.slopes_, self.offsets_)])


def fitted(
    x: Array, y: Array, weight: Array, counts: tuple[int, ...], restarts: int, random_state: Any
) -> tuple[Array, Array]:
    """Return slopes and offsets of the best number of pieces, judged on a fifth of the rows if there is a choice."""
    draw = check_random_state(random_state)
    mean, level = np.average(x, axis=0, weights=weight), float(np.average(y, weights=weight))
    scale, unit = _spread(x - mean, weight), float(_spread(y - level, weight))
    x, y = (x - mean) / scale, (y - level) / unit
    count = counts[0]
    if len(counts) > 1 and len(x) >= 20:
        order = draw.permutation(len(x))
        held, train = order[: len(x) // 5], order[len(x) // 5 :]
        errors = []
        for tried in counts:
            a, b = _best(x[train], y[train], weight[train], tried, restarts, draw)
            errors.append(np.average(((x[held] @ a.T + b).max(axis=1) - y[held]) ** 2, weights=weight[held]))
        count = counts[int(np.argmin(errors))]
    a, b = _best(x, y, weight, count, restarts, draw)
    slopes: Array = unit * a / scale
    return slopes, level + unit * b - slopes @ mean


def _spread(centred: Array, weight: Array) -> Array:
    """Return the standard deviation of each column; the largest entry where squares overflow or vanish, else 1."""
    with np.errstate(over="ignore", under="ignore"):
        spread = np.sqrt(np.average(centred**2, axis=0, weights=weight))
    largest = np.abs(centred).max(axis=0)
    spread = np.where((spread > 0) & np.isfinite(spread), spread, largest)
    return np.where(spread > 0, spread, 1.0)


def _best(x: Array, y: Array, weight: Array, count: int, restarts: int, draw: Any) -> tuple[Array, Array]:
    """Return the pieces of the least squared error over the restarts."""
    fits = [heuristic(x, y, weight, count, draw) for _ in range(restarts if count > 1 else 1)]
    errors = [np.average(((x @ a.T + b).max(axis=1) - y) ** 2, weights=weight) for a, b in fits]
    return fits[int(np.argmin(errors))]


def heuristic(
    x: Array, y: Array, weight: Array, count: int, draw: Any, iterations: int = ITERATIONS
) -> tuple[Array, Array]:
    """Return slopes and offsets by the heuristic, from a random partition: the cells of `count` of the points."""
    centres = x[draw.permutation(len(x))[:count]]
    owner = np.argmin(((x[:, None] - centres) ** 2).sum(axis=2), axis=1)
    columns = np.column_stack([x, np.ones(len(x))])
    pieces = _least_squares(columns, y, weight)[None]
    best, least = pieces, np.inf
    for _ in range(iterations):
        parts = [owner == k for k in range(count)]
        pieces = np.array([_least_squares(columns[part], y[part], weight[part]) for part in parts if part.any()])
        values = columns @ pieces.T
        error = float(np.average((values.max(axis=1) - y) ** 2, weights=weight))
        if error < least:
            best, least = pieces, error
        moved = np.argmax(values, axis=1)
        if (moved == owner).all():
            break
        owner = moved
    return best[:, :-1], best[:, -1]


def _least_squares(columns: Array, y: Array, weight: Array) -> Array:
    """Return weighted least squares with a small ridge on the slopes, so that few points give a finite piece."""
    root = np.sqrt(weight)[:, None]
    gram = (root * columns).T @ (root * columns)
    ridge = RIDGE * weight.sum() * np.eye(len(gram))
    ridge[-1, -1] = 1e-12 * weight.sum()
    solution: Array = np.linalg.solve(gram + ridge, columns.T @ (weight * y))
    return solution
