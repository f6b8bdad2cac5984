"""One walk over the nodes of a graph: every tensor becomes an affine expression of x and of convex atoms, or a number.

Whatever does not keep the output convex is refused where it happens, by the name of its node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Literal

import numpy as np
from scipy import sparse

from socicnn._arrays import as_float64
from socicnn._files import FileError
from socicnn.errors import ModelError
from socicnn.importers._forms import without_products
from socicnn.importers._value import Value
from socicnn.importers.onnx._node import Node
from socicnn.importers.onnx._nodes import HANDLERS, OTHER_DOMAINS
from socicnn.importers.onnx._runtimes import run_node
from socicnn.importers.onnx._sizes import check_input, check_size
from socicnn.importers.onnx._softplus import Beyond
from socicnn.importers.onnx._source import Source, captured, words

_WRITE = {
    "FusedMatMul": "save the graph without the fusions of onnxruntime's extended optimisation",
    "Min": "min(a, b) is not convex; where its negative is meant, write -Max(-a, -b)",
    "ReduceMin": "a minimum is not convex; where its negative is meant, write -ReduceMax(-a)",
}

# kinds whose tensors must all be of one type
_ONE_TYPE = {
    "Add", "Sub", "Mul", "Div", "Sum", "Max", "PRelu", "MatMul", "Gemm", "Einsum", "Conv", "ConvTranspose", "Concat",
    "Where", "FusedGemm", "FusedConv",
}  # fmt: skip
_FLOATS = ("float16", "bfloat16", "float32", "float64")


class Interpreter:
    """The tensors of a graph, as functions of x.

    Args:
        source: the graph.
        fixed: numbers for inputs other than x.
        batch: axis of x that is the batch; None for none.

    Raises:
        ModelError: the inputs are not one x and numbers.
    """

    def __init__(self, source: Source, fixed: Mapping[str, Any], batch: Literal[0] | None) -> None:
        self._source = source
        self._helper = source.onnx.helper
        graph = source.model.graph
        self._tensors: dict[str, Any] = {"": None}
        self._weights(graph)
        free = [tensor for tensor in graph.input if tensor.name not in self._tensors]
        unknown = sorted(set(fixed) - {tensor.name for tensor in free})
        if unknown:
            named = ", ".join(tensor.name for tensor in free)
            raise ModelError(f"the graph has no input '{unknown[0]}' to fix; its inputs are {named}")
        left = [tensor for tensor in free if tensor.name not in fixed]
        if len(left) != 1:
            named = ", ".join(tensor.name for tensor in left) or "none"
            raise ModelError(
                f"the network must be a function of one input x; the inputs left are {named}: give the others a number "
                "each, fixed={'context': theta}"
            )
        self.fixed = {tensor.name: self._fixed(tensor, fixed[tensor.name]) for tensor in free if tensor.name in fixed}
        self._tensors |= self.fixed
        self.x = left[0]
        self.shape, self.input_shape = self._input(batch)

    def run(self) -> Value:
        """Walk over the nodes and return the output."""
        self._walk(self._source.model.graph.node)
        output = self._read(self._source.output, "the graph's output")
        if isinstance(output, Beyond):
            raise ModelError(f"output '{self._source.output}' is a condition on x, not a number")
        if not isinstance(output, Value):
            raise ModelError(f"output '{self._source.output}' does not depend on x")
        return without_products(None, output)

    def _weights(self, graph: Any) -> None:
        for weight in graph.initializer:
            try:
                self._tensors[weight.name] = self._source.onnx.numpy_helper.to_array(weight)
            except Exception as error:  # sizes, types and bytes that do not belong together
                raise FileError(f"{self._source.name} has a damaged weight '{weight.name}': {error}") from error

    def _walk(self, nodes: Any) -> None:
        for proto in nodes:
            outputs = self._branch(proto) if proto.op_type == "If" else self._outputs(proto)
            for place, name in enumerate(proto.output):
                self._tensors[name] = outputs[place] if place < len(outputs) else _Unread(words(proto))
            self._tensors[""] = None

    def _read(self, name: str, reader: str) -> Any:
        tensor = self._tensors[name]
        if isinstance(tensor, _Unread):
            raise ModelError(f"{reader} reads output '{name}' of {tensor.node}, which is not read")
        return tensor

    def _branch(self, proto: Any) -> list[Any]:
        """Take the branch of an If whose condition is constant; its tensors have names of their own."""
        condition = self._read(proto.input[0], words(proto))
        if isinstance(condition, Value | Beyond):
            raise ModelError(f"{words(proto)} has a condition that depends on x, which is not convex in general")
        chosen = "then_branch" if bool(np.asarray(condition).reshape(())) else "else_branch"
        branch = next(attribute.g for attribute in proto.attribute if attribute.name == chosen)
        self._weights(branch)
        self._walk(branch.node)
        return [self._read(tensor.name, words(proto)) for tensor in branch.output]

    def _outputs(self, proto: Any) -> list[Any]:
        name = words(proto)
        inputs = [self._read(tensor, name) for tensor in proto.input]
        outer = {tensor: self._read(tensor, name) for tensor in captured(proto)}
        if any(isinstance(tensor, Value) for tensor in outer.values()):
            raise ModelError(f"{name} has an inner graph that reads x, which is not read; unroll it before the export")
        if proto.op_type in ("Shape", "Size") and isinstance(inputs[0], Value):
            inputs = [np.empty(inputs[0].shape)]
        settings = {a.name: _setting(self._helper.get_attribute_value(a)) for a in proto.attribute}
        evaluate = lambda arguments: self._evaluate(proto, arguments, outer)  # noqa: E731 (bound to this node)
        values = [tensor for tensor in inputs if isinstance(tensor, Value)]
        held = self._source.size
        if not values and not any(isinstance(tensor, Beyond) for tensor in inputs):
            check_size(name, proto.op_type, settings, inputs, held=held)
            return evaluate(inputs)
        handlers = HANDLERS if proto.domain in ("", "ai.onnx") else OTHER_DOMAINS.get(proto.domain, {})
        if proto.op_type not in handlers:
            layer = max((value.level for value in values), default=0) + 1
            raise ModelError(f"{name} (layer {layer}) {hint(proto.op_type, sorted(HANDLERS))}")
        check_size(name, proto.op_type, settings, inputs, held=held)
        _check_types(name, proto.op_type, inputs)
        node = Node(name, inputs, settings, evaluate)
        try:
            return list(handlers[proto.op_type](node))
        except ModelError:
            raise
        except (ValueError, IndexError, TypeError, AttributeError, KeyError, ZeroDivisionError) as error:
            raise node.refused(f"does not fit its inputs: {error}") from error  # shapes, or a missing attribute

    def _evaluate(self, proto: Any, inputs: Sequence[Any], outer: Mapping[str, Any]) -> list[Any]:
        arrays = dict(zip(proto.input, inputs, strict=True)) | dict(outer)
        return run_node(self._source.onnx, self._source.model, proto, arrays)

    def _input(self, batch: Literal[0] | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Make x known; return its shape with a batch of one, and the shape of one x."""
        name, kind = self.x.name, self.x.type.tensor_type
        held = str(np.dtype(self._helper.tensor_dtype_to_np_dtype(kind.elem_type))) if kind.elem_type else "no tensor"
        if held not in _FLOATS:
            raise ModelError(f"input '{name}' holds {held}; x must be of a floating type, one of {', '.join(_FLOATS)}")
        sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        batched = batch is not None and len(sizes) > 1
        if batched and sizes[0] not in (None, 0, 1):
            raise ModelError(
                f"input '{name}' has a fixed batch of {sizes[0]}; export it with a batch of 1 or any, or pass "
                "batch=None if its first axis belongs to x"
            )
        inner = [size for size in sizes[batched:] if size]
        if not sizes or len(inner) < len(sizes[batched:]):
            raise ModelError(f"input '{name}' has shape {sizes}; all its sizes but the batch must be fixed")
        shape = (1, *inner) if batched else tuple(inner)
        check_input(name, shape)
        n = prod(shape)
        self._tensors[name] = Value(shape, np.zeros(n), sparse.eye_array(n, format="csr"), kind=held)
        return shape, tuple(inner)

    def _fixed(self, tensor: Any, number: Any) -> Any:
        """Return a fixed input in the graph's type, with a batch of one in front where the graph has a batch."""
        kind = tensor.type.tensor_type
        exact = as_float64(number, f"the number for input '{tensor.name}'")
        held = np.dtype(self._helper.tensor_dtype_to_np_dtype(kind.elem_type))
        with np.errstate(over="ignore", invalid="ignore"):
            array = exact.astype(held)
            back = array.astype(np.float64)
        rounded = str(held) in _FLOATS
        if not np.isfinite(exact).all() or not (np.isfinite(back).all() if rounded else np.array_equal(back, exact)):
            raise ModelError(
                f"the number for input '{tensor.name}' must be finite and one that {held} holds; received "
                f"{exact.reshape(-1)[:5].tolist()}"
            )
        rank = len(kind.shape.dim)
        array = array[None] if array.ndim == rank - 1 else array
        sizes = [dim.dim_value if dim.HasField("dim_value") else 1 for dim in kind.shape.dim]
        if list(array.shape) != sizes:
            raise ModelError(
                f"the number for input '{tensor.name}' must have shape {tuple(sizes)}; it has {array.shape}"
            )
        return array


class _Unread:
    """An output of a node that its reader does not give, such as a mask."""

    def __init__(self, node: str) -> None:
        self.node = node


def _check_types(words: str, kind: str, inputs: Sequence[Any]) -> None:
    """Raise a ModelError where tensors of two types meet, such as float64 and float32: no runtime runs that."""
    if kind not in _ONE_TYPE:
        return
    tensors = [tensor for tensor in inputs[kind == "Where" :] if tensor is not None]
    types = sorted({tensor.kind if isinstance(tensor, Value) else str(tensor.dtype) for tensor in tensors})
    if len(types) > 1:
        raise ModelError(f"{words} mixes {' and '.join(types)}, which ONNX does not let meet; add a Cast")


def _setting(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def hint(kind: str, known: Sequence[str]) -> str:
    """Return the end of the sentence that refuses a node of this kind.

    >>> hint("Min", ["Relu"])
    'is not read; min(a, b) is not convex; where its negative is meant, write -Max(-a, -b)'
    >>> hint("Tanh", ["Add", "Relu"])
    'is of a kind that has no program here; a convex network may use Add, Relu'
    """
    if kind in _WRITE:
        return f"is not read; {_WRITE[kind]}"
    return f"is of a kind that has no program here; a convex network may use {', '.join(known)}"
