"""Nodes that move entries about: they are run on the positions of the entries."""

from __future__ import annotations

import numpy as np

from socicnn.importers.onnx.node import Node, Tensor, plus
from socicnn.importers.onnx.value import Value


def moved(node: Node) -> list[Tensor]:
    """Handle a node that moves entries about, by running it on their positions."""
    for position in range(1, len(node.inputs)):
        if node.inputs[position] is not None:
            node.constant(position, "an argument")
    value = node.first()
    return [value.picked(np.asarray(index)) for index in node.evaluate([value.index, *node.inputs[1:]])]


def concat(node: Node) -> list[Tensor]:
    """Concatenate; each part is spread into its places, and the parts are added."""
    start, numbered = 0, []
    for part in node.inputs:
        index = part.index if isinstance(part, Value) else np.arange(part.size).reshape(part.shape)
        numbered.append(index + start)
        start += index.size
    whole = np.asarray(node.evaluate(numbered)[0])
    total: Tensor | None = None
    start = 0
    for part in node.inputs:
        size = part.size
        place = np.where((whole >= start) & (whole < start + size), whole - start, -1)
        if isinstance(part, Value):
            spread: Tensor = part.picked(place)
        else:
            spread = np.where(place >= 0, part.reshape(-1)[place], 0.0)
        total = spread if total is None else plus(total, spread)
        start += size
    assert total is not None
    return [total]


def pad(node: Node) -> list[Tensor]:
    """Pad with a constant, or with entries of the tensor (modes edge, reflect and wrap)."""
    value = node.first()
    filling = node.settings.get("value", 0.0)  # an attribute up to opset 10, an input later
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        filling = float(node.constant(2, "a padding").reshape(()))
    if not np.isfinite(filling):
        raise node.refused(f"pads with {filling}; only finite numbers can be padded with")
    for position in range(1, len(node.inputs)):
        if node.inputs[position] is not None:
            node.constant(position, "an argument")
    shift = 2 + int(abs(filling))  # positions start past whatever the attribute fills in
    rest = [np.array(0, dtype=np.int64) if position == 2 else item for position, item in enumerate(node.inputs)][1:]
    place = np.asarray(node.evaluate([value.index + shift, *rest])[0])
    inside = place >= shift
    return [value.picked(np.where(inside, place - shift, -1)).plus(np.where(inside, 0.0, float(filling)))]
