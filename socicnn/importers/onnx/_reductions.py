"""Reductions over axes: sums, means, norms and maxima."""

from __future__ import annotations

from collections.abc import Callable

from socicnn._arrays import IntArray
from socicnn.importers._entries import Tensor, groups
from socicnn.importers._value import Value
from socicnn.importers.onnx._node import Node


def over(reduce: Callable[[Node, Value, IntArray, tuple[int, ...]], Value]) -> Callable[[Node], list[Tensor]]:
    """Return what handles a reduction over axes that is read by this function of the positions of each entry."""

    def handle(node: Node) -> list[Tensor]:
        value = node.first()
        keep = bool(node.settings.get("keepdims", 1))
        return [reduce(node, value, *groups(value, _axes(node, len(value.shape)), keep=keep))]

    return handle


def _axes(node: Node, rank: int) -> tuple[int, ...]:
    """Return the axes that a reduction sums over: an attribute in older graphs, an input in newer ones."""
    axes = node.settings.get("axes")
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        axes = node.constant(1, "axes").reshape(-1).tolist()
    if not axes:
        return () if node.settings.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(int(axis) % rank for axis in axes))
