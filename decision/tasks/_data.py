"""Labelled candidates: what a surrogate learns from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from socicnn.errors import ModelError


@dataclass(frozen=True, eq=False)
class Data:
    """Candidates x of each context theta with their costs y.

    Args:
        x: shape `(contexts, candidates, n)`.
        context: shape `(contexts, p)`.
        y: shape `(contexts, candidates)`.
        gradient: gradients of the cost in x, if they are known, shape of x.

    Raises:
        ModelError: shapes that disagree, or a non-finite entry.

    >>> import torch
    >>> data = Data(torch.rand(5, 4, 3), torch.rand(5, 2), torch.rand(5, 4))
    >>> len(data), data.labels
    (5, 20)
    """

    x: Tensor
    context: Tensor
    y: Tensor
    gradient: Tensor | None = None

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or self.context.ndim != 2:
            raise ModelError(
                "data need x of shape (contexts, candidates, n) and context of shape (contexts, p); received "
                f"{tuple(self.x.shape)} and {tuple(self.context.shape)}"
            )
        if len(self.context) != len(self.x) or self.y.shape != self.x.shape[:2]:
            raise ModelError(
                f"data disagree on contexts or candidates: x {tuple(self.x.shape)}, context "
                f"{tuple(self.context.shape)}, y {tuple(self.y.shape)}"
            )
        if self.gradient is not None and self.gradient.shape != self.x.shape:
            raise ModelError(
                f"gradient must have the shape of x, {tuple(self.x.shape)}; got {tuple(self.gradient.shape)}"
            )
        known = [("x", self.x), ("context", self.context), ("y", self.y)]
        for name, values in known if self.gradient is None else [*known, ("gradient", self.gradient)]:
            bad = int((~values.isfinite()).sum())
            if bad:
                raise ModelError(f"{name} of the data has {bad} non-finite entries; remove or replace them")

    def __len__(self) -> int:
        """Return the number of contexts."""
        return len(self.x)

    @property
    def labels(self) -> int:
        """Number of labelled points: the data budget of a method."""
        return self.y.numel()

    def __getitem__(self, index: Tensor | slice) -> Data:
        """Return the contexts of that index, their candidates and costs."""
        slopes = None if self.gradient is None else self.gradient[index]
        return Data(self.x[index], self.context[index], self.y[index], slopes)

    def to(self, target: torch.dtype | torch.device | str) -> Data:
        """Return the data in another float type or on another device."""
        slopes = None if self.gradient is None else self.gradient.to(target)
        return Data(self.x.to(target), self.context.to(target), self.y.to(target), slopes)
