"""Derivatives by differences of exact decisions, to judge gradients by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def central(values: Callable[[], Tensor], moved: Sequence[Tensor], directions: Sequence[Tensor], step: float) -> Tensor:
    """Return the derivative of values along directions of tensors, to the fourth order of the step.

    Args:
        values: evaluates at the tensors as they are.
        moved: the tensors; they are moved in place and moved back.
        directions: one per tensor.
        step: h of (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h.
    """
    kept = [one.detach().clone() for one in moved]

    def at(length: float) -> Tensor:
        with torch.no_grad():
            for one, start, direction in zip(moved, kept, directions, strict=True):
                one.copy_(start + length * direction)
            return values().detach().clone()

    found = (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step)
    at(0.0)
    return found


def directions_of(tensors: Sequence[Tensor], seed: int = 0) -> list[Tensor]:
    """Return a random direction for each tensor, of length about 1."""
    draw = torch.Generator().manual_seed(seed)
    return [
        torch.randn(one.shape, generator=draw, dtype=torch.float64).to(one) / max(one.numel(), 1) ** 0.5
        for one in tensors
    ]
