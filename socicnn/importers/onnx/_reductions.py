"""Sums, means and norms over axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from socicnn.importers._norms import norms
from socicnn.importers._place import squared
from socicnn.importers._value import Value
from socicnn.importers.onnx._node import Node, Tensor


def _axes(node: Node, rank: int) -> tuple[int, ...]:
    """Return the axes that a reduction sums over: an attribute in older graphs, an input in newer ones."""
    axes = node.settings.get("axes")
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        axes = node.constant(1, "axes").reshape(-1).tolist()
    if not axes:
        return () if node.settings.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(int(axis) % rank for axis in axes))


def groups(node: Node, value: Value) -> tuple[Any, tuple[int, ...]]:
    """Return the positions that each entry of a reduction sums, one row each, and the reduction's shape."""
    axes = _axes(node, len(value.shape))
    kept = [axis for axis in range(len(value.shape)) if axis not in axes]
    together = value.index.transpose([*kept, *axes]).reshape(
        -1, int(np.prod([value.shape[a] for a in axes], dtype=int))
    )
    if node.settings.get("keepdims", 1):
        return together, tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
    return together, tuple(value.shape[axis] for axis in kept)


def summed(value: Value, together: Any, shape: tuple[int, ...]) -> Value:
    """Return the sum over each row of positions."""
    rows = np.repeat(np.arange(len(together)), together.shape[1])
    ones = np.ones(together.size)
    return value.mapped(
        sparse.csr_array((ones, (rows, together.reshape(-1))), shape=(len(together), value.size)), shape
    )


def reduce_sum(node: Node) -> list[Tensor]:
    """Sum over axes."""
    value = node.first()
    return [summed(value, *groups(node, value))]


def reduce_mean(node: Node) -> list[Tensor]:
    """Average over axes."""
    value = node.first()
    together, shape = groups(node, value)
    return [summed(value, together, shape).times(np.array(1.0 / together.shape[1]))]


def reduce_sum_square(node: Node) -> list[Tensor]:
    """Sum the squares of what is affine in x, over axes."""
    value = node.first()
    return [summed(squared(node, value), *groups(node, value))]


def reduce_l2(node: Node) -> list[Tensor]:
    """Take the 2-norm of what is affine in x, over axes."""
    value = node.first()
    return [norms(node, value, *groups(node, value))]
