"""One maker for every kind of node that is read, with its forms in old and new opsets."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.support.growing_graphs import Growing

Maker = Callable[[Growing], Any]


def _binary(op: str) -> Maker:
    def make(g: Growing) -> Any:
        constant = g.broadcast()
        pair = (g.tensor, constant) if op == "Div" or g.rng.random() < 0.6 else (constant, g.tensor)
        return g(op, *pair)

    return make


def _unary(op: str, **settings: Any) -> Maker:
    return lambda g: g(op, g.tensor, **settings)


def _pow(g: Growing) -> Any:
    exponent = float(g.rng.choice([2, 2, 2, 1, 0.5]))
    shape = [] if g.rng.random() < 0.5 else g.broadcast().shape
    kind = np.int64 if g.opset >= 12 and exponent != 0.5 and g.rng.random() < 0.3 else g.kind
    base = g("Mul", g.tensor, g.tensor) if exponent == 0.5 else g.tensor
    return g("Pow", base, g.weight(np.full(shape, exponent), kind))


def _matmul(g: Growing) -> Any:
    if g.rng.random() < 0.5:
        k = g.shape[-1]
        shapes: list[Any] = [(k,), (k, 2), (2, k, 3) if len(g.shape) > 1 else (k, 1)]
        return g("MatMul", g.tensor, g.number(shapes[int(g.rng.integers(3))]))
    k = g.shape[-2] if len(g.shape) > 1 else g.shape[0]
    shapes = [(k,), (2, k), (1, 3, k)]
    return g("MatMul", g.number(shapes[int(g.rng.integers(3))]), g.tensor)


def _gemm(g: Growing) -> Any:
    rows, columns = g.shape  # others do not fit, and are left out
    transposed = int(g.rng.random() < 0.3)
    m, k = (columns, rows) if transposed else (rows, columns)
    other = int(g.rng.random() < 0.5)
    weight = g.number((2, k) if other else (k, 2))
    added = [g.number([(2,), (1, 2), (m, 1), (1,), ()][int(g.rng.integers(5))])]
    if g.opset >= 11 and g.rng.random() < 0.3:
        added = []
    return g("Gemm", g.tensor, weight, *added, transA=transposed, transB=other, alpha=0.5, beta=float(g.rng.normal()))


def _reduce(op: str) -> Maker:
    def make(g: Growing) -> Any:
        rank = len(g.shape)
        count = int(g.rng.integers(0, rank + 1))
        axes = g.rng.choice(rank, size=count, replace=False) if rank else np.zeros(0)
        if g.opset >= 11 and g.rng.random() < 0.4:
            axes = axes - rank
        settings: dict[str, Any] = {"keepdims": int(g.rng.random() < 0.5)} if g.rng.random() < 0.8 else {}
        if g.opset >= (13 if op == "ReduceSum" else 18):
            settings["noop_with_empty_axes"] = int(g.rng.random() < 0.3)
            return g(op, g.tensor, *([g.vector(axes)] if count or g.rng.random() < 0.3 else []), **settings)
        return g(op, g.tensor, **({"axes": [int(a) for a in axes]} if count else {}), **settings)

    return make


def _reshape(g: Growing) -> Any:
    size = int(np.prod(g.shape, dtype=int))
    targets = [(-1,), (size,), (1, -1), (size, 1), (0, -1)] + ([(2, -1)] if size % 2 == 0 else [])
    return g("Reshape", g.tensor, g.vector(targets[int(g.rng.integers(len(targets)))]))


def _squeeze(g: Growing) -> Any:
    ones = [axis for axis, n in enumerate(g.shape) if n == 1]
    if not ones or g.rng.random() < 0.3:
        return g("Squeeze", g.tensor)
    chosen = [ones[0]] if g.opset < 11 or g.rng.random() < 0.5 else [ones[0] - len(g.shape)]
    return g("Squeeze", g.tensor, g.vector(chosen)) if g.opset >= 13 else g("Squeeze", g.tensor, axes=chosen)


def _unsqueeze(g: Growing) -> Any:
    axes = [g.axis(1, 11)]
    return g("Unsqueeze", g.tensor, g.vector(axes)) if g.opset >= 13 else g("Unsqueeze", g.tensor, axes=axes)


def _concat(g: Growing) -> Any:
    axis = g.axis(0, 11)
    other = list(g.shape)
    other[axis] = int(g.rng.integers(1, 3))
    parts = [g.tensor, g.number(other)] if g.rng.random() < 0.6 else [g.tensor, g.tensor]
    return g("Concat", *(parts if g.rng.random() < 0.5 else parts[::-1]), axis=axis)


def _slice(g: Growing) -> Any:
    axis = g.axis(0, 10)
    start, end = int(g.rng.integers(-3, 3)), int(g.rng.choice([1, 2, 5, -1, 2**40]))
    if g.opset < 10:
        return g("Slice", g.tensor, axes=[axis], starts=[start], ends=[end])
    step = int(g.rng.choice([1, 1, 2, -1]))
    if step < 0:
        start, end = -1, -(2**40)
    return g("Slice", g.tensor, *(g.vector([n]) for n in (start, end, axis, step)))


def _gather(g: Growing) -> Any:
    axis = g.axis(0, 11)
    size = g.shape[axis]
    low = -size if g.opset >= 11 else 0
    index = g.rng.integers(low, size, size=[(), (2,), (1, 2)][int(g.rng.integers(3))])
    return g("Gather", g.tensor, g.weight(index, np.int64), axis=axis)


def _split(g: Growing) -> Any:
    axis = g.axis(0, 11)
    size = g.shape[axis]
    sizes = [1, size - 1] if size > 1 else [1]
    outputs = len(sizes)
    if g.opset >= 13:
        parts = g("Split", g.tensor, g.vector(sizes), axis=axis, outputs=outputs)
    else:
        parts = g("Split", g.tensor, axis=axis, split=sizes, outputs=outputs)
    return parts if outputs == 1 else parts[int(g.rng.integers(2))]


def _pad(g: Growing) -> Any:
    rank = len(g.shape)
    mode = str(g.rng.choice(["constant", "constant", "constant", "edge", "reflect"]))
    least = -1 if mode == "constant" and min(g.shape) > 2 else 0
    pads = [int(n) for n in g.rng.integers(least, 2, size=2 * rank)]
    filling = float(g.rng.choice([0.0, 1.0, -0.5, 3.0]))
    if g.opset < 11:
        return g("Pad", g.tensor, pads=pads, value=filling, mode=mode)
    extra = [g.weight(filling)] if mode == "constant" and g.rng.random() < 0.7 else []
    if g.opset >= 18 and g.rng.random() < 0.3:  # some axes alone
        axis = g.axis()
        return g("Pad", g.tensor, g.vector([pads[0], pads[rank]]), *(extra or [""]), g.vector([axis]), mode=mode)
    return g("Pad", g.tensor, g.vector(pads), *extra, mode=mode)


def _where(g: Growing) -> Any:
    mask = g.weight(g.rng.random(size=g.broadcast().shape) < 0.5, np.bool_)
    parts = [g.tensor, g.broadcast() if g.rng.random() < 0.7 else g("Neg", g.tensor)]
    return g("Where", mask, *(parts if g.rng.random() < 0.5 else parts[::-1]))


def _conv(op: str) -> Maker:
    def make(g: Growing) -> Any:
        _, channels, *space = g.shape  # others do not fit
        rank = len(space)
        group = channels if g.rng.random() < 0.2 else 1
        kernel = [int(n) for n in g.rng.integers(1, 3, size=rank)]
        settings: dict[str, Any] = {"group": group, "strides": [int(n) for n in g.rng.integers(1, 3, size=rank)]}
        auto = str(g.rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        if op == "Conv" and g.rng.random() < 0.3:
            settings["auto_pad"] = auto
        else:
            settings["pads"] = [int(n) for n in g.rng.integers(0, 2, size=2 * rank)]
            settings["dilations"] = [int(n) for n in g.rng.integers(1, 3, size=rank)]
        shape = (2 * group, channels // group, *kernel) if op == "Conv" else (channels, 2, *kernel)
        outer = 2 * group
        return g(op, g.tensor, g.number(shape), *([g.number(outer)] if g.rng.random() < 0.5 else []), **settings)

    return make


def _average(g: Growing) -> Any:
    rank = len(g.shape) - 2
    if rank < 1 or g.rng.random() < 0.2:
        return g("GlobalAveragePool", g.tensor)
    settings: dict[str, Any] = {"count_include_pad": int(g.rng.random() < 0.5)}
    if g.opset >= 10 and g.rng.random() < 0.2:
        settings["ceil_mode"] = 1
    pads = [int(n) for n in g.rng.integers(0, 2, size=2 * rank)]
    return g("AveragePool", g.tensor, kernel_shape=[2] * rank, strides=[1 + int(g.rng.random() < 0.4)] * rank,
             pads=pads, **settings)  # fmt: skip


def _dropout(g: Growing) -> Any:
    if g.opset < 12:
        return g("Dropout", g.tensor, ratio=0.3)
    return g("Dropout", g.tensor, g.weight(0.3, np.float32))


def _einsum(g: Growing) -> Any:
    letters = "abcd"[: len(g.shape)]
    k = g.shape[-1]
    forms = [
        (f"{letters},{letters[-1]}z->{letters[:-1]}z", (k, 2)),
        (f"...{letters[-1]},{letters[-1]}->...", (k,)),
        (f"{letters},{letters[-1]}", (k,)),
    ]
    equation, shape = forms[int(g.rng.integers(3))]
    return g("Einsum", g.tensor, g.number(shape), equation=equation)


def _expand(g: Growing) -> Any:
    return g("Expand", g.tensor, g.vector([int(g.rng.integers(1, 3)), *g.shape] if g.rng.random() < 0.5 else [1]))


def _depth(g: Growing) -> Any:
    modes = [{}, {"mode": "DCR"}, {"mode": "CRD"}] if g.opset >= 11 else [{}]
    chosen = modes[int(g.rng.integers(len(modes)))]
    return g("DepthToSpace", g("Tile", g.tensor, g.vector([1, 4, 1, 1])), blocksize=2, **chosen)


def _clip(g: Growing) -> Any:
    low = float(g.rng.normal())
    if g.opset < 11:
        return g("Clip", g.tensor, min=low)
    return g("Clip", g.tensor, g.weight(low))


def _max_pool(g: Growing) -> Any:
    rank = len(g.shape) - 2
    if rank < 1 or g.rng.random() < 0.2:
        return g("GlobalMaxPool", g.tensor)
    settings: dict[str, Any] = {"dilations": [int(g.rng.integers(1, 3))] * rank} if g.opset >= 10 else {}
    pads = [int(n) for n in g.rng.integers(0, 2, size=2 * rank)]
    return g("MaxPool", g.tensor, kernel_shape=[2] * rank, strides=[1 + int(g.rng.random() < 0.4)] * rank, pads=pads,
             **settings)  # fmt: skip


def _batch_normalization(g: Growing) -> Any:
    channels = g.shape[1]  # others do not fit
    weights = [g.number(channels), *(g.rng.normal(size=channels) for _ in range(2)), g.rng.random(channels)]
    return g("BatchNormalization", g.tensor, *weights, epsilon=float(g.rng.choice([1e-5, 1e-3])))


def _form(g: Growing) -> Any:
    """x'Qx over the last axis, Q = A'A, perhaps of lower rank, perhaps not symmetric as it is written."""
    n = g.shape[-1]
    A, skew = g.rng.normal(size=(int(g.rng.integers(1, n + 1)), n)), g.rng.normal(size=(n, n))
    Q = A.T @ A + (skew - skew.T) * float(g.rng.random() < 0.3)
    product = g("MatMul", g.tensor, Q)
    pair = (g.tensor, product) if g.rng.random() < 0.5 else (product, g.tensor)
    return (
        g("ReduceSum", g("Mul", *pair), g.vector([-1])) if g.opset >= 13 else g("ReduceSum", g("Mul", *pair), axes=[-1])
    )


MAKERS: dict[str, tuple[int, Maker]] = {  # with the first opset that has it in this form
    **{op: (7, _binary(op)) for op in ("Add", "Sub", "Mul", "Div", "Sum")},
    "Square": (7, lambda g: g("Mul", g.tensor, g.tensor)),
    "Root": (7, lambda g: g("Sqrt", g("Add", g("Mul", g.tensor, g.tensor), np.abs(g.broadcast())))),
    "Pow": (7, _pow),
    **{op: (7, _unary(op)) for op in ("Relu", "Neg", "Identity")},
    "ReluToo": (7, _unary("Relu")),
    "LeakyRelu": (7, lambda g: g("LeakyRelu", g.tensor, alpha=float(g.rng.choice([0.0, 0.01, 0.3, 1.0])))),
    "PRelu": (7, lambda g: g("PRelu", g.tensor, g.rng.random([n if g.rng.random() < 0.7 else 1 for n in g.shape]))),
    "Clip": (7, _clip),
    "Max": (8, lambda g: g("Max", g.tensor, g.broadcast(), *([g("Neg", g.tensor)] if g.rng.random() < 0.3 else []))),
    "Abs": (7, _unary("Abs")),
    "MaxPool": (7, _max_pool),
    "BatchNormalization": (7, _batch_normalization),
    "Form": (7, _form),
    "Cast": (7, lambda g: g("Cast", g.tensor, to=g.element)),
    "Dropout": (7, _dropout),
    "MatMul": (7, _matmul),
    "Gemm": (7, _gemm),
    "Einsum": (12, _einsum),
    **{op: (7, _reduce(op)) for op in ("ReduceSum", "ReduceMean", "ReduceMax")},
    **{op: (7, _reduce(op)) for op in ("ReduceL1", "ReduceL2", "ReduceSumSquare")},
    "Transpose": (7, lambda g: g("Transpose", g.tensor, perm=[int(n) for n in g.rng.permutation(len(g.shape))])),
    "Flatten": (7, lambda g: g("Flatten", g.tensor, axis=g.axis(1, 11))),
    "Reshape": (7, _reshape),
    "Squeeze": (7, _squeeze),
    "Unsqueeze": (7, _unsqueeze),
    "Concat": (7, _concat),
    "Slice": (7, _slice),
    "Gather": (7, _gather),
    "Tile": (7, lambda g: g("Tile", g.tensor, g.vector(g.rng.integers(1, 3, size=len(g.shape))))),
    "Expand": (8, _expand),
    "Split": (7, _split),
    "Pad": (7, _pad),
    "Where": (9, _where),
    "Conv": (7, _conv("Conv")),
    "ConvTranspose": (7, _conv("ConvTranspose")),
    "AveragePool": (7, _average),
    "DepthToSpace": (7, _depth),
    "SpaceToDepth": (7, lambda g: g("SpaceToDepth", g("Tile", g.tensor, g.vector([1, 1, 2, 2])), blocksize=2)),
}  # fmt: skip
