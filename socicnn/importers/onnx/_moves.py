"""Nodes that move entries about: they are run on the positions of the entries."""

from __future__ import annotations

import numpy as np

from socicnn.importers._entries import Tensor, joined
from socicnn.importers.onnx._node import Node


def moved(node: Node) -> list[Tensor]:
    """Handle a node that moves entries about, by running it on their positions."""
    for position in range(1, len(node.inputs)):
        if node.inputs[position] is not None:
            node.constant(position, "an argument")
    value = node.first()
    return [value.picked(np.asarray(index)) for index in node.evaluate([value.index, *node.inputs[1:]])]


def concat(node: Node) -> list[Tensor]:
    """Concatenate."""
    return [joined(node.inputs, lambda numbers: np.asarray(node.evaluate(numbers)[0]))]


def pad(node: Node) -> list[Tensor]:
    """Pad with a constant, or with entries of the tensor (modes edge, reflect and wrap); negative pads cut off."""
    value = node.first()
    filling = node.settings.get("value", 0.0)  # an attribute up to opset 10, an input later
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        filling = float(node.constant(2, "a padding").reshape(()))
    if not np.isfinite(filling):
        raise node.refused(f"pads with {filling}; only finite numbers can be padded with")
    before, after = _pads(node, len(value.shape))
    mode = node.settings.get("mode", "constant")
    if mode not in ("constant", "edge", "reflect", "wrap"):
        raise node.refused(f"has mode '{mode}', which is not read")
    if mode != "constant" and min([*before, *after], default=0) < 0:
        raise node.refused(f"has mode '{mode}' and negative pads, which is not read")
    ends = [size + min(more, 0) for size, more in zip(value.shape, after, strict=True)]
    inner = value.index[tuple(slice(max(-less, 0), end) for less, end in zip(before, ends, strict=True))]
    widths = [(max(less, 0), max(more, 0)) for less, more in zip(before, after, strict=True)]
    place = np.pad(inner, widths, mode, **({"constant_values": -1} if mode == "constant" else {}))
    return [value.picked(place).plus(np.where(place < 0, float(filling), 0.0))]


def _pads(node: Node, rank: int) -> tuple[list[int], list[int]]:
    """Return the entries to add before and after each axis."""
    widths = node.settings.get("pads")
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        widths = node.constant(1, "pads").reshape(-1).tolist()
    axes = list(range(rank))
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        axes = [int(axis) % rank for axis in node.constant(3, "axes").reshape(-1)]
    if widths is None or len(widths) != 2 * len(axes):
        raise node.refused(f"needs a pad before and after each of {len(axes)} axes; it has {widths}")
    before, after = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        before[axis], after[axis] = int(widths[place]), int(widths[len(axes) + place])
    return before, after
