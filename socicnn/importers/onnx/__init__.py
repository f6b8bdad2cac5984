"""Read a feed-forward ONNX graph as a frozen network.

The graph is interpreted symbolically: every tensor is an affine expression of x and of convex atoms (ReLU units,
squares, norms). Whatever does not keep the output convex is refused where it happens, by the name of its node.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from socicnn.arrays import as_float64
from socicnn.errors import MissingExtra, ModelError
from socicnn.files import FileError
from socicnn.frozen import FrozenNet
from socicnn.importers.onnx.assemble import assemble
from socicnn.importers.onnx.node import Node
from socicnn.importers.onnx.nodes import HANDLERS
from socicnn.importers.onnx.value import Value


def from_onnx(path: str | os.PathLike[str], fixed: Mapping[str, Any] | None = None) -> FrozenNet:
    """Return the network of an ONNX file; see `FrozenNet.from_onnx`."""
    onnx = _package()
    name = str(path)
    if not Path(path).is_file():
        raise FileError(f"{name} does not exist")
    try:
        model = onnx.load(name)
        if not model.graph.node:
            raise ValueError("it has no nodes")
        model = onnx.inliner.inline_local_functions(model)
    except Exception as error:  # protobuf and the inliner each have their own kinds
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FileError(f"{name} is not a whole ONNX file: {first}") from error
    return _Interpreter(onnx, model, fixed or {}).run()


def _package() -> Any:
    try:
        onnx = import_module("onnx")
        import_module("onnx.inliner")
        import_module("onnx.reference")
    except ImportError as error:
        raise MissingExtra('reading ONNX needs the package onnx; run: pip install "socicnn[onnx]"') from error
    return onnx


class _Interpreter:
    """One walk over the nodes of a graph, in their order."""

    def __init__(self, onnx: Any, model: Any, fixed: Mapping[str, Any]) -> None:
        self._onnx = onnx
        self._model = model
        graph = model.graph
        if graph.sparse_initializer:
            raise ModelError("the graph stores sparse weights, which are not read; store them dense")
        self._tensors: dict[str, Any] = {"": None}
        for weight in graph.initializer:
            self._tensors[weight.name] = onnx.numpy_helper.to_array(weight)
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
        for tensor in free:
            if tensor.name in fixed:
                self._tensors[tensor.name] = self._fixed(tensor, fixed[tensor.name])
        self.input_shape = self._input(left[0])

    def run(self) -> FrozenNet:
        """Walk over the nodes, then assemble the output."""
        graph = self._model.graph
        if len(graph.output) != 1:
            named = ", ".join(tensor.name for tensor in graph.output)
            raise ModelError(f"the graph must have one output; it has {len(graph.output)}: {named}")
        for proto in graph.node:
            for name, tensor in zip(proto.output, self._outputs(proto), strict=False):
                self._tensors[name] = tensor
        name = graph.output[0].name
        output = self._tensors[name]
        if not isinstance(output, Value):
            raise ModelError(f"output '{name}' does not depend on x")
        return assemble(output, name, self.input_shape)

    def _outputs(self, proto: Any) -> list[Any]:
        inputs = [self._tensors[name] for name in proto.input]
        words = f"{proto.op_type} '{proto.name or proto.output[0]}'"
        evaluate = lambda given: self._evaluate(proto, given)  # noqa: E731 (bound to this node)
        if proto.op_type == "Shape" and isinstance(inputs[0], Value):
            inputs = [np.empty(inputs[0].shape)]
        if not any(isinstance(tensor, Value) for tensor in inputs):
            return evaluate(inputs)
        if proto.op_type not in HANDLERS or proto.domain not in ("", "ai.onnx"):
            raise ModelError(
                f"{words} is of a kind that has no second-order cone form here; a convex network may use "
                f"{', '.join(sorted(HANDLERS))}"
            )
        settings = {a.name: _setting(self._onnx.helper.get_attribute_value(a)) for a in proto.attribute}
        node = Node(words, inputs, settings, evaluate)
        try:
            return list(HANDLERS[proto.op_type](node))
        except ModelError:
            raise
        except (ValueError, IndexError, TypeError, AttributeError) as error:  # shapes that do not fit
            raise node.refused(f"does not fit its inputs: {error}") from error

    def _evaluate(self, proto: Any, inputs: Sequence[Any]) -> list[Any]:
        """Run one node on arrays, in the types that they have."""
        helper = self._onnx.helper
        given = {name: array for name, array in zip(proto.input, inputs, strict=True) if name}
        graph = helper.make_graph(
            [proto],
            "one",
            [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.asarray(array).dtype), None)
             for name, array in given.items()],
            [helper.make_tensor_value_info(name, 0, None) for name in proto.output if name],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=self._model.opset_import)
        found = iter(self._onnx.reference.ReferenceEvaluator(model).run(None, given))
        return [next(found) if name else None for name in proto.output]

    def _input(self, tensor: Any) -> tuple[int, ...]:
        """Make x known: the first axis is the batch and becomes 1, where there is more than one axis."""
        dimensions = tensor.type.tensor_type.shape.dim
        sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in dimensions]
        batched = len(sizes) > 1
        if batched and sizes[0] not in (None, 1):
            raise ModelError(
                f"input '{tensor.name}' has a fixed batch of {sizes[0]}; export it with a batch of 1 or any"
            )
        inner = [size for size in sizes[batched:] if size]
        if not sizes or len(inner) < len(sizes[batched:]):
            raise ModelError(f"input '{tensor.name}' has shape {sizes}; all its sizes but the batch must be fixed")
        shape = (1, *inner) if batched else tuple(inner)
        n = int(np.prod(shape, dtype=np.int64))
        self._tensors[tensor.name] = Value(shape, np.zeros(n), sparse.eye_array(n, format="csr"))
        return shape[1:] if batched else shape

    def _fixed(self, tensor: Any, number: Any) -> Any:
        """Return a fixed input in the graph's type, with a batch of one in front where the graph has a batch."""
        kind = tensor.type.tensor_type
        array = as_float64(number).astype(self._onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        rank = len(kind.shape.dim)
        array = array[None] if array.ndim == rank - 1 else array
        sizes = [dim.dim_value if dim.HasField("dim_value") else 1 for dim in kind.shape.dim]
        if list(array.shape) != sizes:
            raise ModelError(
                f"the number for input '{tensor.name}' must have shape {tuple(sizes)}; it has {array.shape}"
            )
        return array


def _setting(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
