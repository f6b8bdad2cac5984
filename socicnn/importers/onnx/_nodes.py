"""What each kind of node does to affine expressions of x and convex atoms; one function a kind, found by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from socicnn._arrays import IntArray
from socicnn.importers._contraction import einsum, stacked_product
from socicnn.importers._entries import Tensor, averaged, broadcast, groups, plus, summed
from socicnn.importers._forms import product
from socicnn.importers._norms import norms, root
from socicnn.importers._piecewise import absolute, largest_of, leaky, log_sum_exp_of, max_pool, maximum, unit
from socicnn.importers._place import squared
from socicnn.importers._value import Value
from socicnn.importers.onnx._convolution import average_pool, convolution, transposed
from socicnn.importers.onnx._moves import concat, moved, pad
from socicnn.importers.onnx._node import Node
from socicnn.importers.onnx._scaling import batch_normalization, linear_regressor, scaler
from socicnn.importers.onnx._softplus import Beyond, greater, where_beyond

Handler: TypeAlias = Callable[[Node], Sequence[Any]]


def _add(node: Node) -> list[Tensor]:
    total: Tensor = node.inputs[0]
    for other in node.inputs[1:]:
        total = plus(total, other)
    return [total]


def _sub(node: Node) -> list[Tensor]:
    first, second = node.inputs
    return [plus(first, second.times(np.array(-1.0)) if isinstance(second, Value) else -second)]


def _mul(node: Node) -> list[Tensor]:
    first, second = node.inputs
    if isinstance(first, Value) and isinstance(second, Value):
        if first is second:
            return [squared(node, first)]
        return [product(node, *broadcast([first, second]))]
    return [first.times(second) if isinstance(first, Value) else second.times(first)]


def _div(node: Node) -> list[Tensor]:
    divisor = node.constant(1, "a divisor")
    return [node.first().times(1.0 / np.asarray(divisor, dtype=np.float64))]


def _pow(node: Node) -> list[Tensor]:
    powers = node.constant(1, "an exponent")
    value = node.first()
    value = value.broadcast(np.broadcast_shapes(value.shape, powers.shape))
    exponent = np.unique(powers).tolist()
    if exponent == [1]:
        return [value]
    if exponent == [0.5]:
        return [root(node, value)]
    if exponent != [2]:
        raise node.refused(f"has exponent {exponent}; 2, 1 and, of a sum of squares, 0.5 are read")
    return [squared(node, value)]


def _matmul(node: Node) -> list[Tensor]:
    return [_product(node, node.inputs[0], node.inputs[1])]


def _gemm(node: Node) -> list[Tensor]:
    first, second, *rest = node.inputs
    if node.settings.get("transA", 0):
        first = first.picked(first.index.T) if isinstance(first, Value) else first.T
    if node.settings.get("transB", 0):
        second = second.picked(second.index.T) if isinstance(second, Value) else second.T
    product = _product(node, first, second, float(node.settings.get("alpha", 1.0)))
    if not rest or rest[0] is None:
        return [product]
    scale = float(node.settings.get("beta", 1.0))
    added = rest[0].times(np.array(scale)) if isinstance(rest[0], Value) else scale * rest[0].astype(np.float64)
    return [product.plus(added)]


def _product(node: Node, first: Tensor, second: Tensor, alpha: float = 1.0) -> Value:
    """Return alpha times a matrix product, one factor of which is constant, as one sparse matrix."""
    if isinstance(first, Value) and isinstance(second, Value):
        return stacked_product(node, first, second).times(np.array(alpha))
    value, weight = (first, second) if isinstance(first, Value) else (second, first)
    assert isinstance(value, Value)
    assert isinstance(weight, np.ndarray)
    weight = alpha * weight.astype(np.float64)
    if weight.ndim > 2 or (value is second and len(value.shape) > 2):
        return stacked_product(node, *((value, weight) if value is first else (weight, value)))
    if value is first:
        leading, k = value.shape[:-1], value.shape[-1]
        factor = sparse.csr_array(weight.reshape(k, -1).T)
        matrix = sparse.kron(sparse.eye_array(int(np.prod(leading, dtype=np.int64))), factor, format="csr")
        return value.mapped(matrix, leading + weight.shape[1:], node.words)
    trailing = value.shape[1:]
    factor = sparse.csr_array(weight.reshape(-1, value.shape[0]))
    matrix = sparse.kron(factor, sparse.eye_array(int(np.prod(trailing, dtype=np.int64))), format="csr")
    return value.mapped(matrix, weight.shape[:-1] + trailing, node.words)


def _conv(node: Node, kind: Callable[..., Any] = convolution) -> list[Tensor]:
    value = node.first()
    weight = node.constant(1, "a kernel").astype(np.float64)
    matrix, shape = kind(value.shape, weight, node.settings, node.refused)
    result = value.mapped(matrix, shape, node.words)
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = node.constant(2, "a bias").astype(np.float64)
        result = result.plus(bias.reshape(-1, *(1,) * (len(shape) - 2)))
    return [result]


def _activated(node: Node, tensors: list[Tensor]) -> list[Tensor]:
    """Apply the activation that a runtime fused into a node."""
    kind = node.settings.get("activation", "")
    value = tensors[0]
    assert isinstance(value, Value)
    if kind == "LeakyRelu":
        slope = node.settings.get("activation_alpha", (node.settings.get("activation_params") or [0.01])[0])
        return [_leaky(node, value, slope)]
    if kind not in ("", "Relu"):
        raise node.refused(f"has activation '{kind}' fused in, which is not read")
    return [unit(node, value) if kind else value]


def _leaky(node: Node, value: Value, slope: Any) -> Value:
    return leaky(node, value, np.array(float(slope)))


def _positions(value: Value) -> tuple[Any, tuple[int, ...]]:
    """Return the positions of each channel of images, and the shape with one position each."""
    return groups(value, range(2, len(value.shape)), keep=True)


def _where(node: Node) -> list[Tensor]:
    """Choose by a constant mask, or take softplus and its straight tail as one unit."""
    if isinstance(node.inputs[0], Beyond):
        return [where_beyond(node, *node.inputs)]
    mask = node.constant(0, "a condition").astype(bool)
    parts: list[Tensor] = []
    for part, chosen in zip(node.inputs[1:], (mask, ~mask), strict=True):
        parts.append(part.times(chosen.astype(float)) if isinstance(part, Value) else np.where(chosen, part, 0.0))
    return [plus(*parts)]


def _dropout(node: Node) -> list[Tensor]:
    """Return the input, as dropout does in inference, and the mask of all entries."""
    value = node.first()
    training = len(node.inputs) > 2 and node.inputs[2] is not None and node.constant(2, "a training mode").any()
    if training:
        raise node.refused("is in training mode and drops entries at random; export the network in evaluation mode")
    return [value, np.ones(value.shape, dtype=bool)]


def _cast(node: Node) -> list[Tensor]:
    kind = _FLOATS.get(node.settings.get("to", 0))
    if kind is None:
        raise node.refused("turns a function of x into something else than floats")
    return [replace(node.first(), kind=kind)]


def _over(reduce: Callable[[Node, Value, IntArray, tuple[int, ...]], Value]) -> Callable[[Node], list[Tensor]]:
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


def _p_relu(node: Node) -> list[Tensor]:
    """Handle a PRelu, whose slopes are weights, broadcast to the input."""
    slope = node.constant(1, "slopes").astype(np.float64)
    value = node.first()
    return [leaky(node, value, np.broadcast_to(slope, value.shape))]


def _clip(node: Node) -> list[Tensor]:
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


_FLOATS = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}  # by their numbers in ONNX
_MOVES = (
    "DepthToSpace", "Expand", "Flatten", "Gather", "GatherND", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze",
    "Tile", "Transpose", "Unsqueeze",
)  # fmt: skip

HANDLERS: dict[str, Handler] = {
    "Add": _add,
    "Sum": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "Neg": lambda node: [node.first().times(np.array(-1.0))],
    "Pow": _pow,
    "Sqrt": lambda node: [root(node, node.first())],
    "Relu": lambda node: [unit(node, node.first())],
    "LeakyRelu": lambda node: [_leaky(node, node.first(), node.settings.get("alpha", np.float32(0.01)))],
    "PRelu": _p_relu,
    "Clip": _clip,
    "Softplus": lambda node: [unit(node, node.first(), 1.0)],
    "Max": lambda node: [maximum(node, broadcast(node.inputs))],
    "Abs": lambda node: [absolute(node, node.first())],
    "BatchNormalization": batch_normalization,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": lambda node: [einsum(node, str(node.settings["equation"]), node.inputs)],
    "Conv": _conv,
    "ConvTranspose": lambda node: _conv(node, transposed),
    "AveragePool": lambda node: [node.first().mapped(*average_pool(node.first().shape, node.settings, node.refused))],
    "GlobalAveragePool": lambda node: [averaged(node.first(), *_positions(node.first()))],
    "MaxPool": lambda node: [max_pool(node, node.first(), node.settings)],
    "GlobalMaxPool": lambda node: [largest_of(node, node.first(), *_positions(node.first()))],
    "ReduceSum": _over(lambda node, value, *group: summed(value, *group)),
    "ReduceMax": _over(largest_of),
    "ReduceL1": _over(lambda node, value, *group: summed(absolute(node, value), *group)),
    "ReduceLogSumExp": _over(log_sum_exp_of),
    "ReduceMean": _over(lambda node, value, *group: averaged(value, *group)),
    "ReduceSumSquare": _over(lambda node, value, *group: summed(squared(node, value), *group)),
    "ReduceL2": _over(norms),
    "Concat": concat,
    "Pad": pad,
    "Where": _where,
    "Greater": greater,
    "Identity": lambda node: [node.first()],
    "Dropout": _dropout,
    "Cast": _cast,
    **dict.fromkeys(_MOVES, moved),
}
OTHER_DOMAINS: dict[str, dict[str, Handler]] = {
    "ai.onnx.ml": {"Scaler": scaler, "LinearRegressor": linear_regressor},
    "com.microsoft": {
        "FusedGemm": lambda node: _activated(node, _gemm(node)),
        "FusedConv": lambda node: _activated(node, _conv(node)),
    },
}
