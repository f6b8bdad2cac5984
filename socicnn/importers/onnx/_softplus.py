"""Softplus as torch exports it: Where(s a > threshold, a, Softplus(s a) / s), whose tail beyond the threshold is gone.

It is read as the exact function, which is convex; the exported one falls by log1p(exp(-threshold)) at the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from socicnn.importers._entries import Tensor
from socicnn.importers._value import Value
from socicnn.importers.onnx._node import Node

LEAST_THRESHOLD = 15.0  # softplus is its argument there up to 3e-7
TAIL = 2e-10  # what the missing tail is of the function at torch's threshold, 20


@dataclass(frozen=True)
class Beyond:
    """The condition value > threshold."""

    value: Value
    threshold: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.value.shape


def greater(node: Node) -> list[Beyond]:
    """Keep a condition on x for the Where that reads it."""
    thresholds = np.unique(node.constant(1, "a threshold"))
    if len(thresholds) != 1:
        raise node.refused("compares x with several numbers, which is not convex in general")
    return [Beyond(node.first(), float(thresholds[0]))]


def where_beyond(node: Node, beyond: Beyond, high: Tensor, low: Tensor) -> Value:
    """Return the softplus unit `low` if `high` is its argument and takes its place where the two agree."""
    if isinstance(low, Value) and isinstance(high, Value) and len(low.atoms) == 1 and not low.constant.any():
        ((group, M),) = low.atoms.items()
        straight = group.source.mapped(M, low.shape)
        if (
            group.smoothing
            and beyond.threshold >= LEAST_THRESHOLD * group.smoothing
            and not low.x.nnz
            and _same(beyond.value, group.source)
            and _same(high, straight)
        ):
            return low
    raise node.refused("has a condition on x, which is not convex in general; that of a softplus with its tail is read")


def _same(first: Value, second: Value) -> bool:
    """Return whether two tensors are equal up to the rounding of their weights."""
    far = first.plus(second.times(np.array(-1.0)))
    pairs = [(far.constant, first.constant), (far.x.data, first.x.data)]
    pairs += [
        (M.data, first.atoms[group].data if group in first.atoms else np.zeros(1)) for group, M in far.atoms.items()
    ]
    return all(np.abs(gap).max(initial=0.0) <= 1e-6 * np.abs(size).max(initial=0.0) for gap, size in pairs)
