"""The nodes with kinks whose arguments take more than a line: PRelu and Clip."""

from __future__ import annotations

import numpy as np

from socicnn.importers._entries import Tensor
from socicnn.importers._piecewise import leaky, maximum
from socicnn.importers.onnx._node import Node


def p_relu(node: Node) -> list[Tensor]:
    """Handle a PRelu, whose slopes are weights, broadcast to the input."""
    slope = node.constant(1, "slopes").astype(np.float64)
    value = node.first()
    return [leaky(node, value, np.broadcast_to(slope, value.shape))]


def clip(node: Node) -> list[Tensor]:
    """Handle a Clip that clips from below alone."""
    low, high = (_limit(node, place, name) for place, name in ((1, "min"), (2, "max")))
    value = node.first()
    largest = {"float16": 65504.0, "float64": 1.7976931348623157e308}.get(value.kind, 3.3895313892515355e38)
    if high is not None and high < largest:
        raise node.refused(f"clips from above, at {high:.6g}: min(a, {high:.6g}) bends down, so that it is not convex")
    return [value if low is None or low <= -largest else maximum(node, [value, np.full(value.shape, low)])]


def _limit(node: Node, place: int, name: str) -> float | None:
    """Return a limit: an attribute up to opset 10, an input later."""
    if len(node.inputs) > place and node.inputs[place] is not None:
        return float(node.constant(place, f"a {name}").reshape(()))
    return None if name not in node.settings else float(node.settings[name])
