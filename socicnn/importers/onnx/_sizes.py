"""How large a node's result would be, before it is computed: a few bytes of a damaged file can ask for any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from socicnn.errors import ModelError
from socicnn.importers._value import Value

MOST = 2**21  # entries of one tensor that the file does not hold itself: 16 MiB in float64
MOST_OF_X = 2**18  # the same for a function of x, whose entries each have a row of coefficients
_STEPS = 10_000  # of a loop over constants
_ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Pow", "Sum", "Where")


def check_size(words: str, kind: str, settings: Mapping[str, Any], inputs: Sequence[Any]) -> None:
    """Raise a ModelError if a node would make more than `MOST` entries of little, or loop without an end.

    Args:
        words: the node, for messages.
        kind: its kind.
        settings: its attributes.
        inputs: tensors, arrays or None.
    """
    if kind == "Loop":
        steps = None if inputs[0] is None else np.asarray(inputs[0]).reshape(-1)
        if steps is None or steps.size != 1 or int(steps[0]) > _STEPS:
            raise ModelError(
                f"{words} may take more than {_STEPS} steps, which is not read; unroll it before the export"
            )
    most = MOST_OF_X if any(isinstance(tensor, Value) for tensor in inputs) else MOST
    entries = _entries(kind, settings, inputs)
    if entries > max(most, *(_size(tensor) for tensor in inputs), 0):
        raise ModelError(
            f"{words} makes {entries} entries, more than the {most} that are read; the file may be damaged"
        )


def check_input(name: str, shape: Sequence[int]) -> None:
    """Raise a ModelError if one x has more than `MOST_OF_X` entries: a file says its size in a few bytes."""
    if prod(shape) > MOST_OF_X:
        raise ModelError(
            f"input '{name}' has {prod(shape)} entries, more than the {MOST_OF_X} that are read; the file may be "
            "damaged"
        )


def _entries(kind: str, settings: Mapping[str, Any], inputs: Sequence[Any]) -> int:
    """Return the entries of a result whose size its inputs' numbers say; 0 for other kinds."""
    shapes = [tuple(tensor.shape) for tensor in inputs if tensor is not None]
    if kind in _ELEMENTWISE:
        return prod(np.broadcast_shapes(*shapes))
    if kind == "Concat":
        return sum(map(prod, shapes))
    if kind == "MatMul":
        return _product(*shapes)
    if kind == "Gemm":
        return shapes[0][1 if settings.get("transA") else 0] * shapes[1][0 if settings.get("transB") else 1]
    if kind in ("ConstantOfShape", "Expand", "Tile"):
        numbers = _integers(inputs[-1])
        if kind == "ConstantOfShape":
            return prod(numbers)
        if kind == "Tile":
            return prod(shapes[0]) * prod(numbers)
        padded = [1] * max(0, len(shapes[0]) - len(numbers)) + numbers
        own = [1] * (len(padded) - len(shapes[0])) + list(shapes[0])
        return prod(max(a, b) for a, b in zip(padded, own, strict=True))
    if kind == "Range":
        start, limit, step = (float(np.asarray(number).reshape(())) for number in inputs)
        return max(0, int((limit - start) / step)) if step else MOST + 1
    if kind == "Pad":
        pads = list(settings.get("pads") or (_integers(inputs[1]) if len(inputs) > 1 else []))
        if len(pads) == 2 * len(shapes[0]):
            return _padded(shapes[0], pads)
        return prod(shapes[0]) * prod(1 + max(0, pad) for pad in pads)  # some axes alone: an upper bound
    if kind in ("Conv", "AveragePool") and settings.get("pads"):
        return prod(shapes[0][:2]) * _padded(shapes[0][2:], list(settings["pads"]))
    if kind == "ConvTranspose":
        space = shapes[0][2:]
        steps = [settings.get(name) or [1] * len(space) for name in ("strides", "dilations")]
        more = settings.get("output_padding") or [0] * len(space)
        sides = zip(space, steps[0], steps[1], shapes[1][2:], more, strict=True)
        return shapes[1][1] * prod(n * stride + k * dilation + pad for n, stride, dilation, k, pad in sides)
    return 0


def _product(a: Sequence[int], b: Sequence[int]) -> int:
    """Return the entries of a matrix product; a vector is a row on the left, a column on the right."""
    rows = a[-2] if len(a) > 1 else 1
    columns = b[-1] if len(b) > 1 else 1
    return prod(np.broadcast_shapes(tuple(a[:-2]), tuple(b[:-2]))) * rows * columns


def _padded(shape: Sequence[int], pads: Sequence[int]) -> int:
    return prod(n + max(0, a) + max(0, b) for n, a, b in zip(shape, pads, pads[len(shape) :], strict=False))


def _integers(tensor: Any) -> list[int]:
    return (
        []
        if tensor is None or isinstance(tensor, Value)
        else [int(number) for number in np.asarray(tensor).reshape(-1)]
    )


def _size(tensor: Any) -> int:
    return 0 if tensor is None else int(prod(tensor.shape))
