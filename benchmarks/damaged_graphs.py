"""ONNX graphs to damage: whole files, and a random change of one field of a file.

Random bytes seldom leave a file that protobuf reads, so that most damages are to fields: sizes, types, names, numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

HUGE = (-1, 0, 1, 7, 10**5, 2**31 - 1, 2**31, 10**9, 2**40, 2**62)
TEXTS = ("", "x", "w0", "t0", "Relu", "MatMul", "Tile", "Expand", "Loop", "\0", "n" * 3000)


class Writer:
    """A graph of the input x that grows by a node a call: `writer("Relu", "x")` returns the name of its output.

    Args:
        shape: of x; an empty name is any batch.
    """

    def __init__(self, *shape: int | str) -> None:
        import onnx

        self._onnx = onnx
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)

    def __call__(self, kind: str, *inputs: Any, **settings: Any) -> str:
        """Add a node; numbers among its inputs become weights."""
        named = [entry if isinstance(entry, str) else self._weight(entry) for entry in inputs]
        output = f"t{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, named, [output], **settings))
        return output

    def _weight(self, values: Any) -> str:
        array = np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        name = f"w{len(self._weights)}"
        self._weights.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def content(self, output: str) -> bytes:
        """Return the bytes of the graph with this output."""
        helper = self._onnx.helper
        result = helper.make_tensor_value_info(output, self._onnx.TensorProto.FLOAT, None)
        graph = helper.make_graph(self._nodes, "graph", [self._x], [result], self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return bytes(model.SerializeToString())


def graphs() -> dict[str, bytes]:
    """Return whole files: layers with a square and a norm, convolutions, and nodes whose sizes are numbers."""
    rng = np.random.default_rng(0)

    dense = Writer("", 4)
    z = dense("Relu", dense("Gemm", "x", rng.normal(size=(6, 4)), rng.normal(size=6), transB=1))
    z = dense("Relu", dense("Add", dense("MatMul", z, np.ones((6, 5))), dense("MatMul", "x", rng.normal(size=(4, 5)))))
    square = dense("ReduceSum", dense("Mul", *2 * [dense("MatMul", "x", rng.normal(size=(4, 3)))]), [1])
    norm = dense("ReduceL2", dense("MatMul", "x", rng.normal(size=(4, 3))), axes=[1])
    total = dense("Add", dense("MatMul", z, np.ones((5, 1))), dense("Add", square, norm))

    image = Writer(1, 1, 6, 6)
    z = image("Relu", image("Conv", "x", rng.normal(size=(2, 1, 3, 3)), pads=[1, 1, 1, 1], strides=[2, 2]))
    z = image("AveragePool", image("Pad", z, [0, 0, 0, 0, 0, 0, 1, 1]), kernel_shape=[2, 2])
    z = image("Relu", image("ConvTranspose", z, np.ones((2, 1, 2, 2)), strides=[2, 2]))
    pixels = image("ReduceSum", image("Reshape", z, [1, -1]), [1], keepdims=0)

    sizes = Writer(1, 4)
    made = sizes("ConstantOfShape", sizes("Concat", [2], [4], axis=0))
    z = sizes("Add", sizes("Expand", "x", [2, 4]), made)
    z = sizes("Tile", sizes("Slice", z, [0], [2], [0]), [1, 2])
    z = sizes("Mul", sizes("Concat", z, z, axis=1), sizes("Cast", sizes("Range", 1, 17, 1), to=1))
    z = sizes("Einsum", sizes("Gather", z, [0, 1, 0], axis=0), np.ones((3, 2)), equation="ij,ik->jk")
    moved = sizes("ReduceSum", sizes("Relu", sizes("Transpose", z, perm=[1, 0])), keepdims=0)
    return {
        "dense.onnx": dense.content(total),
        "image.onnx": image.content(pixels),
        "sizes.onnx": sizes.content(moved),
    }


def damaged_graph(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with one or two of its fields changed, doubled or taken away."""
    import onnx

    model = onnx.ModelProto.FromString(content)
    for _ in range(int(rng.integers(1, 3))):
        _change(model, rng)
    return bytes(model.SerializeToString())


def _change(message: Any, rng: np.random.Generator) -> None:
    """Go down to a field at random and change it."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = fields[int(rng.integers(len(fields)))]
    repeated = hasattr(value, "add") or hasattr(value, "append")
    if repeated and rng.random() < 0.15:
        del value[int(rng.integers(len(value)))]
        return
    if repeated and rng.random() < 0.1:
        value.extend([value[int(rng.integers(len(value)))]])
        return
    if rng.random() < 0.05:
        message.ClearField(field.name)
        return
    place = int(rng.integers(len(value))) if repeated else None
    entry = value if place is None else value[place]
    if hasattr(entry, "ListFields"):
        _change(entry, rng)
        return
    other = _other(entry, rng)
    try:
        if place is None:
            setattr(message, field.name, other)
        else:
            value[place] = other
    except (TypeError, ValueError, UnicodeDecodeError):  # a number that this field cannot hold
        return


def _other(entry: Any, rng: np.random.Generator) -> Any:
    """Return another value of the type of a field."""
    pick: Callable[[Any], Any] = lambda values: values[int(rng.integers(len(values)))]  # noqa: E731 (local shorthand)
    if isinstance(entry, str):
        return pick(TEXTS)
    if isinstance(entry, float):
        return pick((float("nan"), float("inf"), -1.0, 1e30, 0.0))
    if isinstance(entry, bytes):
        changed = bytearray(entry)
        place = int(rng.integers(max(1, len(changed) // 8))) * 8  # where an int64 begins
        changed[place : place + 8] = int(pick(HUGE)).to_bytes(8, "little", signed=True)
        return bytes(changed)
    return pick(HUGE)
