"""Sums, means and norms over axes, and roots of sums of squares."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from socicnn.importers._value import Value, negative
from socicnn.importers.onnx._forms import whole_form
from socicnn.importers.onnx._node import Node, Tensor, affine, squared


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
    affine(node, value, "takes the norm of")
    together, shape = groups(node, value)
    lengths = np.full(len(together), together.shape[1])
    return [value.picked(together.reshape(-1)).made("norm", node.words, lengths).reshaped(shape)]


def root(node: Node, value: Value) -> Value:
    """Read the root of a sum of squares (and of a constant >= 0), or of a semidefinite form, as a norm."""
    if any(group.kind == "product" for group in value.atoms):
        if any(group.kind not in ("product", "square") for group in value.atoms):
            raise node.refused("takes the root of something that is not a sum of squares")
        value = whole_form(node, value)
    squares = {group: M for group, M in value.atoms.items() if group.kind == "square"}
    if len(squares) < len(value.atoms) or value.x.nnz or negative(value)[0] or (value.constant < 0).any():
        raise node.refused("takes the root of something that is not a sum of squares")
    n = value.x.shape[1]
    parts: list[tuple[Any, Any, Any]] = []  # entry, row of X, constant of each row inside a norm
    for group, M in squares.items():
        coo = M.tocoo()
        factor = np.sqrt(coo.data)
        parts.append(
            (coo.row, sparse.diags_array(factor) @ group.source.x[coo.col], factor * group.source.constant[coo.col])
        )
    extra = np.flatnonzero(value.constant)
    parts.append((extra, sparse.csr_array((len(extra), n)), np.sqrt(value.constant[extra])))
    entry = np.concatenate([part[0] for part in parts])
    order = np.argsort(entry, kind="stable")
    rows = sparse.csr_array(sparse.vstack([part[1] for part in parts], format="csr")[order])
    constant = np.concatenate([part[2] for part in parts])[order]
    lengths = np.bincount(entry, minlength=value.size)
    if (lengths == 0).any():
        raise node.refused("takes the root of zero at some entries")
    return Value((len(order),), constant, rows, kind=value.kind).made("norm", node.words, lengths).reshaped(value.shape)
