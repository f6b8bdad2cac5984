"""The region of the training candidates: a surrogate that is asked outside it has learned nothing there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from socicnn._arrays import as_float64
from socicnn.errors import ModelError


@dataclass(frozen=True, eq=False)
class Region:
    """The box of the candidates, and how far from their mean they reach.

    Distances are in standard deviations of each coordinate: sqrt(mean_j ((x_j - mean_j) / scale_j)^2).

    Args:
        lower: least value of each coordinate, shape `(n,)`.
        upper: largest value.
        mean: mean of each coordinate.
        scale: standard deviation of each coordinate, 1 where it is zero.
        reach: largest distance of a candidate.

    >>> region = Region.of(torch.rand(10, 20, 3, generator=torch.Generator().manual_seed(0)))
    >>> region.outside(torch.tensor([[0.5, 0.5, 0.5], [0.5, 0.5, 1.5]])).tolist()
    [False, True]
    """

    lower: Tensor
    upper: Tensor
    mean: Tensor
    scale: Tensor
    reach: float

    @classmethod
    def of(cls, data: Any) -> Region:
        """Return the region of candidates x of shape `(*batch, n)`, or of data that hold them as `x`.

        Raises:
            ModelError: there are no candidates, or an entry is not finite.
        """
        x = torch.tensor(as_float64(getattr(data, "x", data), "candidates"))
        if x.ndim < 2 or not x.numel():
            raise ModelError(f"candidates must have shape (*batch, n), with rows; received shape {tuple(x.shape)}")
        if not bool(x.isfinite().all()):
            raise ModelError("candidates have non-finite entries; remove or replace them")
        x = x.reshape(-1, x.shape[-1])
        mean, scale = x.mean(dim=0), x.std(dim=0, unbiased=False)
        scale = torch.where(scale > 0, scale, 1.0)
        box = cls(x.amin(dim=0), x.amax(dim=0), mean, scale, 0.0)
        return replace(box, reach=float(box.distance(x).max()))

    def distance(self, x: Tensor) -> Tensor:
        """Return the distance of each row from the mean, shape `(*batch,)`."""
        return ((x - self.mean.to(x)) / self.scale.to(x)).square().mean(dim=-1).sqrt()

    def outside(self, x: Tensor, tolerance: float = 1e-9) -> Tensor:
        """Return whether each row leaves the box or reaches further than any candidate, shape `(*batch,)`."""
        if x.shape[-1] != len(self.lower):
            raise ModelError(f"the region has {len(self.lower)} coordinates; received points of shape {tuple(x.shape)}")
        low, high = self.lower.to(x) - tolerance, self.upper.to(x) + tolerance
        return ((x < low) | (x > high)).any(dim=-1) | (self.distance(x) > self.reach * (1.0 + tolerance))
