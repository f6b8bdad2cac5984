"""The likelihood of held-out points under a density, with its error."""

from __future__ import annotations

import math
from typing import Any

import torch

from socicnn._frames import refuse_other_columns
from socicnn.density._base import Density
from socicnn.density._estimate import Estimate
from socicnn.density._points import as_tensor
from socicnn.density._rule import Rule


@torch.no_grad()
def negative_log_likelihood(density: Density, rule: Rule | None, x: Any) -> Estimate:
    """Return the mean of -log p over held-out points in nats, with its errors; for an energy, mean E(x) + log Z.

    The result is a float. Its `error` is that of log Z, its `sampling_error` that of the mean: the standard deviation
    of -log p over the square root of the number of points. An `UnreliableEstimate` warning is given where the error
    cannot be believed: an effective sample size below 100, an error of a quadrature above 0.1, or more than 1 % of the
    mass outside its box.

    Args:
        density: a finalised energy or flow.
        rule: the rule for log Z; None for a density that needs none.
        x: points of shape `(count, n)`, a tensor or anything that NumPy reads as an array.

    Raises:
        ModelError: points that are not finite numbers of that shape or, for a quadrature, lie outside its box; a frame
            with other columns than the density was trained with; no rule for an energy; a flow whose potential is not
            convex at the points.

    >>> from socicnn.density import PotentialFlow
    >>> flow = PotentialFlow.dense(2, (8,), generator=torch.Generator().manual_seed(0))
    >>> found = negative_log_likelihood(flow, None, [[0.0, 0.0], [1.0, -1.0]])
    >>> found > 0, found.error
    (True, 0.0)
    """
    refuse_other_columns(density.ranges, "x", x)
    points = as_tensor(x, density.features, dtype=density.network.dtype, device=density.network.device)
    values, log_z = density.likelihoods(points, rule)
    deviation = float(values.double().std()) if len(values) > 1 else math.nan
    mean = float((values.mean() + torch.as_tensor(log_z.value, dtype=values.dtype)).detach())
    return Estimate(
        mean,
        error=log_z.error,
        sampling_error=deviation / math.sqrt(len(values)),
        effective_sample_size=log_z.effective_sample_size,
        outside=log_z.outside,
    ).warn()
