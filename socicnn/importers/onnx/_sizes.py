"""How large a node's result would be, before it is computed: a few bytes of a damaged file can ask for any size.

Every kind of node is either one whose result holds no more than its inputs do, or one whose size is worked out here
from the inputs' shapes and numbers; constants of other kinds are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np

from socicnn.errors import ModelError
from socicnn.importers._value import Value

MOST = 2**21  # entries of one tensor that the file does not hold itself: 16 MiB in float64
MOST_OF_X = 2**18  # the same for a function of x, whose entries each have a row of coefficients
COEFFICIENTS = 2**20  # of a function of x, all rows together; a file of convolutions may need more
PER_BYTE = 256  # coefficients that each byte of a file may ask for

Settings: TypeAlias = Mapping[str, Any]
Shape: TypeAlias = tuple[int, ...]
Estimate: TypeAlias = Callable[[Settings, Sequence[Any], Sequence[Shape]], int]


def check_size(words: str, kind: str, settings: Settings, inputs: Sequence[Any], *, held: int = 0) -> None:
    """Raise a ModelError if a node would make more entries, or coefficients of x, than a file may ask for.

    Args:
        words: the node, for messages.
        kind: its kind.
        settings: its attributes.
        inputs: tensors, arrays or None.
        held: bytes of the whole file.
    """
    values = [tensor for tensor in inputs if isinstance(tensor, Value)]
    if not values and kind not in GROWING and kind not in KEEPING:
        raise ModelError(f"{words} cannot be computed from its constant inputs: this kind of node is not evaluated")
    shapes = [tuple(tensor.shape) for tensor in inputs if tensor is not None]
    for shape in shapes:  # a tensor without entries may have any size along its other axes
        _within(words, _count(shape) if 0 in shape else 0, MOST, "entries")
    if kind not in GROWING:
        return
    entries = GROWING[kind](settings, inputs, shapes)
    most = max(MOST_OF_X if values else MOST, *(_size(tensor) for tensor in inputs), 0)
    _within(words, entries, most, "entries")
    if values:
        matrix = _matrix(kind, settings, inputs, shapes)
        heaviest, columns = max(map(_heaviest, values)), max(map(_columns, values))
        count = entries * heaviest if kind in SPREADING else max(matrix, min(matrix * heaviest, entries * columns))
        most = max(COEFFICIENTS, PER_BYTE * held, *(sum(M.nnz for M in (v.x, *v.atoms.values())) for v in values))
        _within(words, count, most, "coefficients")


def check_input(name: str, shape: Sequence[int]) -> None:
    """Raise a ModelError if one x has more than `MOST_OF_X` entries: a file says its size in a few bytes."""
    if prod(shape) > MOST_OF_X:
        raise ModelError(
            f"input '{name}' has {prod(shape)} entries, more than the {MOST_OF_X} that are read; the file may be "
            "damaged"
        )


def _within(words: str, count: int, most: int, what: str) -> None:
    if count > most:
        raise ModelError(f"{words} makes {count} {what}, more than the {most} that are read; the file may be damaged")


def _matmul(settings: Settings, inputs: Sequence[Any], shapes: Sequence[Shape]) -> int:
    a, b = shapes  # a vector is a row on the left, a column on the right
    rows = a[-2] if len(a) > 1 else 1
    columns = b[-1] if len(b) > 1 else 1
    return prod(np.broadcast_shapes(a[:-2], b[:-2])) * rows * columns


def _gemm(settings: Settings, inputs: Sequence[Any], shapes: Sequence[Shape]) -> int:
    return shapes[0][1 if settings.get("transA") else 0] * shapes[1][0 if settings.get("transB") else 1]


def _expand(settings: Settings, inputs: Sequence[Any], shapes: Sequence[Shape]) -> int:
    wanted = _integers(inputs[1])
    padded = [1] * max(0, len(shapes[0]) - len(wanted)) + wanted
    own = [1] * (len(padded) - len(shapes[0])) + list(shapes[0])
    return _count(max(a, b) for a, b in zip(padded, own, strict=True))


def _range(settings: Settings, inputs: Sequence[Any], shapes: Sequence[Shape]) -> int:
    start, limit, step = (float(np.asarray(number).reshape(())) for number in inputs)
    return max(0, int((limit - start) / step)) if step else MOST + 1


def _pad(settings: Settings, inputs: Sequence[Any], shapes: Sequence[Shape]) -> int:
    pads = list(settings.get("pads") or (_integers(inputs[1]) if len(inputs) > 1 else []))
    shape = shapes[0]
    if len(pads) == 2 * len(shape):
        return prod(n + max(0, a) + max(0, b) for n, a, b in zip(shape, pads, pads[len(shape) :], strict=False))
    return prod(shape) * prod(1 + max(0, pad) for pad in pads)  # some axes alone: an upper bound


def _gather(settings: Settings, inputs: Sequence[Any], shapes: Sequence[Shape]) -> int:
    data, index = shapes
    return prod(index) * prod(data) // max(1, data[settings.get("axis", 0)])


def _gather_nd(settings: Settings, inputs: Sequence[Any], shapes: Sequence[Shape]) -> int:
    data, index = shapes
    return prod(index[:-1]) * prod(data[index[-1] + settings.get("batch_dims", 0) :])


def _resize(settings: Settings, inputs: Sequence[Any], shapes: Sequence[Shape]) -> int:
    """Return the larger of what its sizes and its scales ask for."""
    numbers = [np.asarray(tensor, dtype=np.float64).reshape(-1) for tensor in inputs[1:] if tensor is not None]
    scales = settings.get("scales") or []  # an attribute of Upsample up to opset 8
    sizes = [max(1.0, float(np.prod(np.maximum(np.abs(listed), 1.0)))) for listed in (*numbers, np.asarray(scales))]
    return int(min(prod(shapes[0]) * max(sizes), 2.0**62))


def _einsum(settings: Settings, inputs: Sequence[Any], shapes: Sequence[Shape]) -> int:
    """Return the size of the grid over all letters, those that are summed included."""
    terms = str(settings["equation"]).replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        before, _, after = term.partition("...")
        inner = [f".{place}" for place in range(len(shape) - len(before) - len(after), 0, -1)]
        for letter, size in zip([*before, *inner, *after], shape, strict=True):
            sizes[letter] = max(sizes.get(letter, 1), size)
    return prod(sizes.values())


def _convolved(settings: Settings, inputs: Sequence[Any], shapes: Sequence[Shape]) -> int:
    """Return the entries of the padded input, or of the result; pooling counts as a kernel for each channel."""
    image, kernel = shapes[0], _kernel(settings, shapes)
    reach, padded = _padded_space(settings, image[2:], kernel)
    positions = _positions(settings, reach, padded)
    return image[0] * max(image[1] * _count(padded), (shapes[1][0] if len(shapes) > 1 else image[1]) * positions)


def _transposed(settings: Settings, inputs: Sequence[Any], shapes: Sequence[Shape]) -> int:
    image, weight = shapes[0], shapes[1]
    space = image[2:]
    strides, dilations = _steps(settings, len(space))
    more = settings.get("output_padding") or [0] * len(space)
    sides = zip(space, strides, dilations, weight[2:], more, strict=True)
    out = [n * stride + k * dilation + abs(pad) for n, stride, dilation, k, pad in sides]
    return image[0] * weight[1] * max(1, int(settings.get("group", 1))) * _count(out)


def _matrix(kind: str, settings: Settings, inputs: Sequence[Any], shapes: Sequence[Shape]) -> int:
    """Return the coefficients of the sparse matrix that a product or a convolution of x is read as."""
    if kind == "Einsum":
        return _einsum(settings, inputs, shapes)
    if kind == "MatMul":
        return _matmul(settings, inputs, shapes) * shapes[0][-1]
    if kind in ("Gemm", "FusedGemm"):
        return _gemm(settings, inputs, shapes) * shapes[0][0 if settings.get("transA") else 1]
    if kind == "ConvTranspose":
        return prod(shapes[0]) * prod(shapes[1][1:])
    if kind in ("Conv", "FusedConv", "AveragePool", "MaxPool"):
        kernel = _kernel(settings, shapes)
        positions = _positions(settings, *_padded_space(settings, shapes[0][2:], kernel))
        return shapes[0][0] * positions * (prod(shapes[1]) if len(shapes) > 1 else shapes[0][1] * _count(kernel))
    return 0


def _kernel(settings: Settings, shapes: Sequence[Shape]) -> list[int]:
    return list(settings.get("kernel_shape") or shapes[1][2:]) if len(shapes) < 2 else list(shapes[1][2:])


def _padded_space(settings: Settings, space: Shape, kernel: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return how far a kernel reaches along each axis, and the size of each padded axis, at most."""
    reach = [max(1, (k - 1) * step + 1) for k, step in zip(kernel, _steps(settings, len(space))[1], strict=True)]
    if settings.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return reach, [n + span for n, span in zip(space, reach, strict=True)]
    pads = settings.get("pads") or [0] * (2 * len(space))
    sides = zip(space, pads, pads[len(space) :], strict=False)
    return reach, [n + max(0, a) + max(0, b) for n, a, b in sides]


def _positions(settings: Settings, reach: Sequence[int], padded: Sequence[int]) -> int:
    strides = _steps(settings, len(reach))[0]
    return prod(max(0, n - span) // stride + 1 for n, span, stride in zip(padded, reach, strides, strict=True))


def _steps(settings: Settings, rank: int) -> tuple[list[int], list[int]]:
    """Return the strides and dilations, each at least 1."""
    strides, dilations = (settings.get(name) or [1] * rank for name in ("strides", "dilations"))
    return [max(1, abs(step)) for step in strides], [max(1, abs(step)) for step in dilations]


def _count(sizes: Any) -> int:
    """Return the product of sizes, zeros and signs left out: a result that is empty at last may be full on the way."""
    return prod(max(1, abs(int(size))) for size in sizes)


def _integers(tensor: Any) -> list[int]:
    if tensor is None or isinstance(tensor, Value):
        return []
    return [int(number) for number in np.asarray(tensor).reshape(-1)]


def _size(tensor: Any) -> int:
    return 0 if tensor is None else int(prod(tensor.shape))


def _columns(value: Value) -> int:
    """Return the number of things that an entry may depend on: entries of x and atoms."""
    return value.x.shape[1] + sum(matrix.shape[1] for matrix in value.atoms.values())


def _heaviest(value: Value) -> int:
    """Return the most coefficients that an entry has."""
    rows = sum((np.diff(matrix.indptr) for matrix in (value.x, *value.atoms.values())), np.zeros(value.size, dtype=int))
    return int(rows.max(initial=0))


# each entry of the result is an entry of an input, perhaps added to others or multiplied by a number
SPREADING = ("Add", "Sub", "Mul", "Div", "Pow", "Sum", "Where", "Expand", "Tile", "Gather", "GatherND")
GROWING: dict[str, Estimate] = {
    **dict.fromkeys(
        ("Add", "Sub", "Mul", "Div", "Pow", "Sum", "Where", "And", "Or", "Xor", "Less", "LessOrEqual", "Greater",
         "GreaterOrEqual", "Equal", "Mod", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Max", "Min", "Mean",
         "PRelu"),
        lambda settings, inputs, shapes: prod(np.broadcast_shapes(*shapes)),
    ),
    "Concat": lambda settings, inputs, shapes: sum(map(prod, shapes)),
    "Constant": lambda settings, inputs, shapes: MOST + 1 if "sparse_value" in settings else 0,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    "ConstantOfShape": lambda settings, inputs, shapes: _count(_integers(inputs[0])),
    "Tile": lambda settings, inputs, shapes: _count(shapes[0]) * _count(_integers(inputs[1])),
    "Expand": _expand,
    "Range": _range,
    "Pad": _pad,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "OneHot": lambda settings, inputs, shapes: prod(shapes[0]) * _count(_integers(inputs[1])),
    "Resize": _resize,
    "Upsample": _resize,
    "Einsum": _einsum,
    "Conv": _convolved,
    "FusedConv": _convolved,
    "AveragePool": _convolved,
    "MaxPool": _convolved,
    "ConvTranspose": _transposed,
}  # fmt: skip
# kinds whose result holds no more entries than their inputs
_KEEPING = """
    Abs Acos Acosh ArgMax ArgMin Asin Asinh Atan Atanh BatchNormalization BitwiseNot Cast CastLike Ceil Celu Clip
    Compress Cos Cosh CumProd CumSum DepthToSpace DequantizeLinear Det Dropout Elu Erf Exp EyeLike Flatten
    Floor GatherElements Gelu GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Hardmax Identity
    InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Log LogSoftmax LpNormalization
    MeanVarianceNormalization Mish Neg NonZero Not QuantizeLinear RMSNormalization Reciprocal ReduceL1 ReduceL2
    ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape
    ReverseSequence Round Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax
    Softplus Softsign SpaceToDepth Split Sqrt Squeeze Swish Tan Tanh ThresholdedRelu TopK Transpose Trilu Unique
    Unsqueeze
"""
KEEPING = frozenset(_KEEPING.split())
