"""Kinks as units max(0, a): Relu, LeakyRelu, PRelu, Clip, Max, Abs, ReduceL1, ReduceMax and maximum pooling.

LeakyRelu(z)            = s z + (1 - s) relu(z),                     0 <= s <= 1; s < 0 where z is affine in x
max(a_1, ..., a_k, c)   = a_1 + relu(a_2 - a_1 + relu(... relu(c - a_k)))     a_i affine in x, c convex
|a|                     = 2 relu(a) - a,                             a affine in x
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.importers._value import Value, negative
from socicnn.importers.onnx._convolution import windows
from socicnn.importers.onnx._forms import without_products
from socicnn.importers.onnx._node import Node, Tensor
from socicnn.importers.onnx._reductions import groups, summed

MOST_PIECES = 256  # of one maximum: each one more is a layer more


def unit(node: Node, value: Value) -> Value:
    """Return max(0, value), or raise a ModelError where that is not convex."""
    inside = sorted({group.node for group in value.atoms if group.kind == "norm"})
    if inside:
        raise node.refused(f"has {', '.join(inside)} inside; a FrozenNet has norms in its read-out alone")
    value = without_products(node, value)
    for kind, words in (("relu", "hidden"), ("square", "quadratic")):
        count, least = negative(value, (kind,))
        if count:
            raise node.refused(
                f"(layer {value.level + 1}) takes {value.origin or 'its input'} with {count} negative {words} weights "
                f"(least {least:.1e}), so that the network is not convex; train it with non-negative {words} weights"
            )
    return value.made("relu", node.words)


def relu(node: Node) -> list[Tensor]:
    """Handle a Relu."""
    return [unit(node, node.first())]


def leaky(node: Node, value: Value, slope: Array) -> Value:
    """Return max(z, s z) for slopes s in [0, 1], and the convex z -> s z (z < 0), z (z > 0) for s < 0 of affine z."""
    if slope.max(initial=0.0) > 1:
        raise node.refused(f"has slope {slope.max():.6g}, above 1: its graph bends down at 0, so that it is not convex")
    if slope.min(initial=0.0) < 0 and value.atoms:
        raise node.refused(
            f"has slope {slope.min():.6g}, below 0, and takes {_makers(value)}: it falls where they rise, which is "
            "not convex"
        )
    if (slope == 1).all():
        return value
    return value.times(slope).plus(unit(node, value).times(1.0 - slope))


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
    return [
        maximum(
            node,
            [
                tensor.picked(np.broadcast_to(tensor.index, shape))
                if isinstance(tensor, Value)
                else np.broadcast_to(tensor, shape)
                for tensor in node.inputs
            ],
        )
    ]


def maximum(node: Node, tensors: Sequence[Tensor]) -> Value:
    """Return the entrywise maximum of tensors of one shape, at most one of which is more than pieces affine in x.

    Args:
        node: the node, for messages.
        tensors: the tensors; a constant counts as affine in x.

    Raises:
        ModelError: two of them are convex, but no maxima of affine pieces.
    """
    values = [tensor for tensor in tensors if isinstance(tensor, Value)]
    constants = [np.asarray(tensor, dtype=np.float64) for tensor in tensors if not isinstance(tensor, Value)]
    affine: list[Value] = []
    curved: list[Value] = []
    for value in values:
        pieces = _pieces(value)
        affine += pieces or []
        curved += [value] if pieces is None else []
    if len(curved) > 1:
        raise node.refused(
            f"takes the maximum of {' and '.join(dict.fromkeys(map(_makers, curved)))}; at most one of its inputs may "
            "be more than a maximum of two pieces that are affine in x"
        )
    if constants:
        floor = np.maximum.reduce(constants)
        affine.append(values[0].mapped(sparse.csr_array((values[0].size, values[0].size)), floor.shape).plus(floor))
    affine = _distinct(affine)
    if len(affine) > MOST_PIECES:
        raise node.refused(f"takes the maximum of {len(affine)} pieces, more than the {MOST_PIECES} that are read")
    result = curved[0] if curved else affine.pop()
    for piece in reversed(affine):
        result = piece.plus(unit(node, result.plus(piece.times(np.array(-1.0)))))
    return result


def _pieces(value: Value) -> list[Value] | None:
    """Return u and u + c a where every entry is u + c relu(a), c >= 0, with u and a affine in x; None elsewhere.

    What is affine in x is one piece.
    """
    if not value.atoms:
        return [value]
    entries = np.zeros(value.size, dtype=np.int64)
    for group, M in value.atoms.items():
        if group.kind != "relu" or group.source.atoms or (M.data < 0).any():
            return None
        entries += np.diff(M.indptr)
    if entries.max(initial=0) > 1:
        return None
    base = Value(value.shape, value.constant, value.x, origin=value.origin, kind=value.kind)
    raised = base
    for group, M in value.atoms.items():
        raised = raised.plus(group.source.mapped(M, value.shape))
    return [base, raised]


def _distinct(pieces: Sequence[Value]) -> list[Value]:
    """Leave out pieces that are equal to an earlier one in every entry."""
    kept: list[Value] = []
    for piece in pieces:
        if not any((piece.x != old.x).nnz == 0 and np.array_equal(piece.constant, old.constant) for old in kept):
            kept.append(piece)
    return kept


def absolute(node: Node, value: Value) -> Value:
    """Return |a| for entries that are affine in x, and convex entries as they are if they cannot be negative."""
    curved = np.zeros(value.size, dtype=bool)
    falling = np.diff(value.x.indptr) > 0
    for M in value.atoms.values():
        rows = M.tocoo()
        curved[rows.row] = True
        falling[rows.row[rows.data < 0]] = True
    falling |= value.constant < 0
    if (curved & falling).any() or any(group.kind == "product" for group in value.atoms):
        raise node.refused(
            f"takes the absolute value of {_makers(value)}, which may be negative: that is not convex; take it of what "
            "is affine in x, or of units that are not negative"
        )
    if curved.all():
        return value
    straight = (~curved).astype(np.float64).reshape(value.shape)
    part = value.times(straight)
    return value.plus(unit(node, part).times(2.0 * straight)).plus(part.times(np.array(-2.0)))


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
    together, shape = groups(node, value)
    return [_over(node, value, together, shape)]


def max_pool(node: Node) -> list[Tensor]:
    """Take the maximum over windows; what lies in the padding does not count."""
    value = node.first()
    together, shape = windows(value.shape, node.settings, node.refused)
    inside = np.where(together >= 0, together, together.max(axis=1, keepdims=True))
    return [_over(node, value, inside, shape)]


def global_max_pool(node: Node) -> list[Tensor]:
    """Take the maximum over all positions."""
    value = node.first()
    shape = (*value.shape[:2], *(1 for _ in value.shape[2:]))
    return [_over(node, value, value.index.reshape(int(np.prod(shape)), -1), shape)]


def _over(node: Node, value: Value, together: Any, shape: tuple[int, ...]) -> Value:
    """Return the maximum over each row of positions."""
    if together.shape[1] > MOST_PIECES:
        raise node.refused(
            f"takes the maximum of {together.shape[1]} entries, more than the {MOST_PIECES} that are read"
        )
    return maximum(node, [value.picked(column) for column in together.T]).reshaped(shape)


def _makers(value: Value) -> str:
    return ", ".join(sorted({group.node for group in value.atoms}))
