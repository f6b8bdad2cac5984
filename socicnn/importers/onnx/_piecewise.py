"""The nodes with kinks: Relu, LeakyRelu, PRelu, Clip, Max, Abs, ReduceL1, ReduceMax and maximum pooling; Softplus."""

from __future__ import annotations

import numpy as np

from socicnn.importers._piecewise import absolute, largest_of, leaky, log_sum_exp, maximum, unit
from socicnn.importers._value import Value
from socicnn.importers._windows import windows
from socicnn.importers.onnx._node import Node, Tensor
from socicnn.importers.onnx._reductions import groups, summed


def relu(node: Node) -> list[Tensor]:
    """Handle a Relu."""
    return [unit(node, node.first())]


def softplus(node: Node) -> list[Tensor]:
    """Handle a Softplus."""
    return [unit(node, node.first(), 1.0)]


def reduce_log_sum_exp(node: Node) -> list[Tensor]:
    """Take the logarithm of sums of exponentials over axes."""
    value = node.first()
    together, shape = groups(node, value)
    return [log_sum_exp(node, [value.picked(column) for column in together.T]).reshaped(shape)]


def leaky_relu(node: Node) -> list[Tensor]:
    """Handle a LeakyRelu, whose slope is an attribute."""
    return [leaky(node, node.first(), np.array(float(node.settings.get("alpha", np.float32(0.01)))))]


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


def largest(node: Node) -> list[Tensor]:
    """Handle a Max of several tensors."""
    shape = np.broadcast_shapes(*(tensor.shape for tensor in node.inputs))
    tensors = [
        tensor.picked(np.broadcast_to(tensor.index, shape))
        if isinstance(tensor, Value)
        else np.broadcast_to(tensor, shape)
        for tensor in node.inputs
    ]
    return [maximum(node, tensors)]


def absolute_value(node: Node) -> list[Tensor]:
    """Handle an Abs."""
    return [absolute(node, node.first())]


def reduce_l1(node: Node) -> list[Tensor]:
    """Sum absolute values over axes."""
    value = absolute(node, node.first())
    return [summed(value, *groups(node, value))]


def reduce_max(node: Node) -> list[Tensor]:
    """Take the maximum over axes."""
    value = node.first()
    return [largest_of(node, value, *groups(node, value))]


def max_pool(node: Node) -> list[Tensor]:
    """Take the maximum over windows; what lies in the padding does not count."""
    value = node.first()
    together, shape = windows(value.shape, node.settings, node.refused)
    return [largest_of(node, value, np.where(together >= 0, together, together.max(axis=1, keepdims=True)), shape)]


def global_max_pool(node: Node) -> list[Tensor]:
    """Take the maximum over all positions."""
    value = node.first()
    shape = (*value.shape[:2], *(1 for _ in value.shape[2:]))
    return [largest_of(node, value, value.index.reshape(int(np.prod(shape)), -1), shape)]
