"""A network whose branches are as large as the data can tell apart."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Unpack

from torch import nn

from socicnn.nn import SOCICNN
from socicnn.nn._branches import BranchMap
from socicnn.nn._options import BranchSettings
from socicnn.training._data import as_data

LARGE = 100_000  # parameters of a branch that are worth a warning


def network_for(data: Any, hidden_features: Sequence[int] = (64, 64), **settings: Unpack[BranchSettings]) -> SOCICNN:
    """Return an untrained network for these data: their sizes, and no branch with more rows than there are points.

    More rows than points are not told apart by the data, and rows are n parameters each.

    Args:
        data: as in `fit`.
        hidden_features: widths of the hidden layers.
        settings: arguments of `SOCICNN`; `quadratic` defaults to one branch, `norm` to two, of min(n, points) rows
            each.

    >>> import numpy as np
    >>> model = network_for((np.zeros((20, 3000)), np.zeros(20)), (32,))
    >>> model.quadratic, model.norm
    ((20,), (20, 20))
    """
    samples = as_data(data)
    n = int(samples.x[(0,) * samples.y.ndim].numel())
    rows = min(n, samples.y.numel())
    context = 0 if samples.context is None else int(samples.context[0].numel())
    chosen: dict[str, Any] = {"quadratic": (rows,), "norm": (rows, rows), "context_features": context, **settings}
    return SOCICNN(n, hidden_features, **chosen)


def warn_of_large_branches(model: nn.Module, points: int) -> None:
    """Warn if a branch has more rows than there are points, and these rows are many parameters."""
    for branch in model.modules():
        full = branch.full if isinstance(branch, BranchMap) else None
        if full is not None and len(full) > points and full.numel() > LARGE:
            warnings.warn(
                f"a branch has {len(full)} rows, {full.numel()} parameters, for {points} points, which cannot tell so "
                "many rows apart; socicnn.training.network_for(data) sizes branches by the data",
                UserWarning,
                stacklevel=4,
            )
            return
