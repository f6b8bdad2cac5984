"""Batches of vectors and matrices, of which each context uses entries of its own, by their numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def positive(values: Tensor) -> Tensor:
    """Return positive sizes to divide by: 1 in place of 0."""
    return torch.where(values > 0, values, 1.0)


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return the products of matrices `(contexts, m, n)` with vectors `(contexts, n)`."""
    return (matrix @ vector[..., None])[..., 0]


def gathered(values: Tensor, numbers: Tensor) -> Tensor:
    """Return the numbered entries along the second axis; zero for padding, the number after the last."""
    padded = torch.cat([values, values.new_zeros(len(values), 1, *values.shape[2:])], dim=1)
    index = numbers.reshape(*numbers.shape, *(1,) * (values.ndim - 2)).expand(*numbers.shape, *values.shape[2:])
    return padded.gather(1, index)


def scattered(values: Tensor, numbers: Tensor, count: int) -> Tensor:
    """Return the sums of values at their numbered places, zero elsewhere, shape `(contexts, count)`."""
    return values.new_zeros(len(values), count + 1).scatter_add(1, numbers, values)[:, :-1]


def numbers_of(held: Tensor) -> Tensor:
    """Return the numbers of what is true, in order, filled up with the count of all, shape `(contexts, K)`."""
    count = held.shape[1]
    most = int(held.sum(dim=1).max()) if held.numel() else 0
    places = torch.where(held, torch.arange(count, device=held.device), count)
    return places.sort(dim=1).values[:, :most]
