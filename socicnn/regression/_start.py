"""A start from the data: units along the kinks of a max-affine fit, the read-out by bounded least squares."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from socicnn._arrays import Array
from socicnn.nn import SOCICNN
from socicnn.positivity._projected import Projected
from socicnn.regression._max_affine import fitted
from socicnn.training import Data

MOST = 2000  # rows that a start looks at
SMALL = 1e-2  # least weight of what the read-out starts from, so that nothing starts switched off
RIDGE = 1e-3  # of the least squares, per standardised column


@torch.no_grad()
def start(model: SOCICNN, samples: Data, seed: int, *, kinks: bool) -> None:
    """Put weights in a fresh network that has no context and holds its weights by projection; leave others alone.

    Args:
        model: the network.
        samples: training data in standardised units.
        seed: of the max-affine fit, and of the rows looked at.
        kinks: whether the first layer starts along the kinks of a max-affine fit, rather than at random.
    """
    if model.context_shape is not None or not isinstance(model.positivity, Projected) or samples.y.ndim != 1:
        return
    order = np.random.default_rng(seed).permutation(len(samples))[:MOST]
    part = samples[torch.from_numpy(np.sort(order))]
    x, y = part.x.numpy(), part.y.numpy()
    weight = np.ones(len(y)) if part.weight is None else part.weight.numpy()
    if kinks and model.U:
        _along_kinks(model, x, y, weight, seed)
    _read_out(model, part.x, y, weight)


def _along_kinks(model: SOCICNN, x: Array, y: Array, weight: Array, seed: int) -> None:
    """Point the first units along a_i - a_j for the pieces a_i, a_j: relu(l_i - l_j) has the kink between them."""
    width = model.hidden_features[0]
    count = max(k for k in range(1, 12) if k * (k - 1) // 2 <= width)
    slopes, offsets = fitted(x, y, weight, (min(count, max(1, len(y) // (2 * x.shape[1] + 2))),), 2, seed)
    i, j = np.triu_indices(len(slopes), 1)
    if not len(i):
        return
    rows, shifts = torch.tensor(slopes[i] - slopes[j]), torch.tensor(offsets[i] - offsets[j])
    lengths = torch.linalg.vector_norm(rows, dim=1).clamp(min=1e-6)
    rows, shifts = rows / lengths[:, None], shifts / lengths
    signs = model.signs
    model.U[0][: len(rows)] = rows[:, signs.free] if model.signed else rows
    if model.signed:
        model.signed[0].get_parameter("theta")[: len(rows)] = signs.turned(rows).clamp(min=SMALL)
    model.vectors.get_parameter("free.b1")[: len(rows)] = shifts


def _read_out(model: SOCICNN, x: Tensor, y: Array, weight: Array) -> None:
    """Set w, v, c and the size of the branches by least squares, weights that must be >= 0 bounded."""
    vectors = model.vectors(None)
    columns: dict[str, Array] = {}
    if model.hidden_features:
        units = model.hidden(x, vectors)[-1]
        if model.signs and not model.nonnegative:  # what v gains with w
            units = units + model.signs.turned(x) @ model.fall(x.dtype).T
        columns["w"] = units.numpy()
    branches = _branch_values(model, x, vectors)
    columns["branches"] = branches
    if not model.nonnegative:
        columns["v"] = x.numpy()
    columns["c"] = np.ones((len(y), 1))
    signs = np.array(model.signs.signs or [0] * model.in_features)
    low: dict[str, Any] = {
        "w": 0.0,
        "branches": 0.0,
        "v": np.where(signs == 1, 0.0, -np.inf),
        "c": 0.0 if model.nonnegative else -np.inf,
    }
    high: dict[str, Any] = {"v": np.where(signs == -1, 0.0, np.inf)}
    lower, upper = (
        np.concatenate([np.broadcast_to(ends.get(name, other), part.shape[1:]) for name, part in columns.items()])
        for ends, other in ((low, -np.inf), (high, np.inf))
    )
    matrix = np.concatenate(list(columns.values()), axis=1)
    root = np.sqrt(weight / weight.sum())
    scale = np.sqrt(np.average(matrix**2, axis=0, weights=weight)) + 1e-12
    ridge = RIDGE * np.diag(np.append(np.ones(matrix.shape[1] - 1), 0.0))
    system = np.concatenate([root[:, None] * matrix / scale, ridge])
    target = np.concatenate([root * y, np.zeros(len(ridge))])
    solution = optimize.lsq_linear(system, target, (lower, upper), max_iter=50).x / scale
    ends = np.cumsum([part.shape[1] for part in columns.values()])[:-1]
    _assign(model, dict(zip(columns, np.split(solution, ends), strict=True)))


def _assign(model: SOCICNN, parts: dict[str, Array]) -> None:
    vectors = model.vectors
    if "w" in parts:
        vectors.get_parameter("positive.w.theta").copy_(torch.from_numpy(parts["w"]).clamp(min=SMALL))
    if "v" in parts:
        v, signs = torch.from_numpy(parts["v"]), model.signs
        vectors.get_parameter("free.v").copy_(v[signs.free] if signs else v)
        if signs:
            vectors.get_parameter("positive.v_signed.theta").copy_(v[signs.bound].abs().clamp(min=SMALL))
    c = "positive.c.theta" if model.nonnegative else "free.c"
    vectors.get_parameter(c).copy_(torch.tensor(parts["c"][0]))
    count = len(model.quadratics)
    for branch, size, power in zip(
        [*model.quadratics, *model.norms], parts["branches"], [0.5] * count + [1.0] * len(model.norms), strict=True
    ):
        for parameter in branch.parameters():  # the weights beta and gamma stay, the matrices take the size
            parameter.mul_(max(float(size), SMALL) ** power)


def _branch_values(model: SOCICNN, x: Tensor, vectors: dict[str, Tensor]) -> Array:
    """Return what each branch adds to f, offsets being zero at the start, shape `(rows, branches)`."""
    inner = x[:, model.signs.free] if model.signs else x
    values, weights = [], [*vectors.get("beta", ()), *vectors.get("gamma", ())]
    for index, branch in enumerate([*model.quadratics, *model.norms]):
        image = branch.image(inner, inner if branch.full is None else inner @ branch.full.T)
        square = image.square().sum(dim=1)
        values.append((weights[index] * (square if index < len(model.quadratics) else square.sqrt())).numpy())
    return np.stack(values, axis=1) if values else np.zeros((len(x), 0))
