"""Entries of tensors added, broadcast, joined and summed over axes; a tensor is a function of x, or constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn.importers._value import Value

Tensor: TypeAlias = Value | Array


def plus(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum of two tensors, broadcast; either may be constant."""
    if isinstance(first, Value):
        return first.plus(second)
    return second.plus(first) if isinstance(second, Value) else first + second


def broadcast(tensors: Sequence[Any]) -> list[Any]:
    """Return tensors in the shape that all of them are broadcast to."""
    shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    return [t.broadcast(shape) if isinstance(t, Value) else np.broadcast_to(t, shape) for t in tensors]


def joined(parts: Sequence[Tensor], join: Callable[[list[IntArray]], IntArray]) -> Tensor:
    """Return tensors joined as `join` joins the numbers of their entries.

    Each part is spread into its places, zeros elsewhere, and all are added.
    """
    starts = np.cumsum([0, *(part.size for part in parts)]).tolist()
    whole = join([start + np.arange(part.size).reshape(part.shape) for start, part in zip(starts, parts, strict=False)])
    total: Tensor = np.zeros(())
    for number, (start, part) in enumerate(zip(starts, parts, strict=False)):
        place = np.where((whole >= start) & (whole < start + part.size), whole - start, -1)
        spread = part.picked(place) if isinstance(part, Value) else np.where(place >= 0, part.reshape(-1)[place], 0.0)
        total = plus(total, spread) if number else spread
    return total


def groups(value: Value, axes: Sequence[int], *, keep: bool) -> tuple[IntArray, tuple[int, ...]]:
    """Return the positions that each entry of a reduction reads, one row each, and the reduction's shape.

    Args:
        value: the tensor.
        axes: what is reduced, ascending.
        keep: whether these axes stay, with one entry each.
    """
    rank = len(value.shape)
    kept = [axis for axis in range(rank) if axis not in axes]
    size = int(np.prod([value.shape[axis] for axis in axes], dtype=np.int64))
    shape = tuple(value.shape[axis] if axis in kept else 1 for axis in range(rank) if keep or axis in kept)
    return value.index.transpose([*kept, *axes]).reshape(-1, size), shape


def summed(value: Value, together: IntArray, shape: tuple[int, ...]) -> Value:
    """Return the sum over each row of positions, in this shape."""
    rows = np.repeat(np.arange(len(together)), together.shape[1])
    ones = np.ones(together.size)
    total = sparse.csr_array((ones, (rows, together.reshape(-1))), shape=(len(together), value.size))
    return value.mapped(total, shape)


def averaged(value: Value, together: IntArray, shape: tuple[int, ...]) -> Value:
    """Return the mean over each row of positions, in this shape."""
    return summed(value, together, shape).times(np.array(1.0 / together.shape[1]))
