"""Helper variables of a set's rows at given decisions: those in the middle of what the rows leave."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decision.sets._conic_set import ConicSystem
from socicnn.conic._program import ConicProgram
from socicnn.errors import SolverError


def with_helpers(rows: ConicSystem, h: Tensor, x: Tensor) -> Tensor:
    """Return [x | u] with h - G [x | u] in K for each row x, shape `(contexts, columns)`.

    u is where an interior-point method ends that has nothing to minimise, so that a row is tight only if it must be.

    Args:
        rows: G and K.
        h: right-hand sides, shape `(contexts, rows)`.
        x: shape `(contexts, n)`.

    Raises:
        SolverError: no u exists.
    """
    n, columns = x.shape[1], rows.G.shape[1]
    if columns == n:
        return x
    own, more = rows.G[:, :n], rows.G[:, n:]
    u = np.empty((len(x), columns - n))
    sides = h.cpu().numpy() - x.cpu().numpy() @ own.toarray().T
    for i, b in enumerate(sides):
        solution = ConicProgram(sparse.csc_array(more), b, np.zeros(columns - n), 0.0, rows.cones).solve("clarabel")
        if not np.isfinite(solution.v).all():
            raise SolverError(f"no helper variables were found for the decision of context {i}: {solution.status}")
        u[i] = solution.v
    return torch.cat([x, torch.as_tensor(u, dtype=x.dtype, device=x.device)], dim=1)
