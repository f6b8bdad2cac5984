"""Run a graph, or one node, on arrays: by onnx's reference evaluator, or by onnxruntime where that lacks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from typing import Any, TypeAlias

import numpy as np

from socicnn.errors import ModelError
from socicnn.importers.onnx._source import captured, first_line, words

Run: TypeAlias = Callable[[Mapping[str, Any]], list[Any]]


def run(onnx: Any, model: Any, arrays: Mapping[str, Any]) -> list[Any]:
    """Return the outputs of a model; the reference evaluator's error if nothing can run it."""
    try:
        return list(reference(onnx, model)(arrays))
    except Exception as error:  # each operator has its own kinds
        session = runtime(model)
        if session is None:
            raise error
        return session(arrays)


def reference(onnx: Any, model: Any) -> Run:
    """Return the reference evaluator of a model."""
    evaluator = onnx.reference.ReferenceEvaluator(model)
    return lambda arrays: list(evaluator.run(None, dict(arrays)))


def runtime(model: Any) -> Run | None:
    """Return onnxruntime's session of a model, or None if it is not installed or cannot run the model."""
    try:
        ort = import_module("onnxruntime")
        options = ort.SessionOptions()
        options.log_severity_level = 4
        # as written: fused, a product of float64 matrices is scaled by a float32 number
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        with redirect_stdout(StringIO()):  # it prints what it cannot run
            session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # it refuses in many ways; then there is no second opinion
        return None
    return lambda arrays: list(session.run(None, dict(arrays)))


def run_node(onnx: Any, model: Any, proto: Any, arrays: Mapping[str, Any]) -> list[Any]:
    """Return the outputs of a node.

    Args:
        onnx: the package.
        model: the graph's model, for its opsets.
        proto: the node.
        arrays: its inputs by their names, those of its inner graphs included.

    Raises:
        ModelError: nothing here can run it, or its inputs do not fit; the message names the node.
    """
    if proto.op_type == "DequantizeLinear" and not any(a.name == "block_size" and a.i for a in proto.attribute):
        return [_dequantized(onnx, proto, [None if not name else np.asarray(arrays[name]) for name in proto.input])]
    helper = onnx.helper
    inputs = {name: np.asarray(arrays[name]) for name in dict.fromkeys([*proto.input, *captured(proto)]) if name}
    try:
        graph = helper.make_graph(
            [proto],
            "one",
            [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), None)
             for name, array in inputs.items()],
            [helper.make_tensor_value_info(name, 0, None) for name in proto.output if name],
        )  # fmt: skip
        graph_of_node = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        outputs = iter(run(onnx, graph_of_node, inputs))
    except Exception as error:  # each operator of a runtime has its own kinds
        raise ModelError(f"{words(proto)} cannot be computed from its constant inputs: {first_line(error)}") from error
    return [next(outputs) if name else None for name in proto.output]


def _dequantized(onnx: Any, proto: Any, inputs: list[Any]) -> Any:
    """Return (q - zero point) * scale in the type of the scale; one scale, or one for each entry of an axis."""
    q, scale, *rest = inputs
    zero = rest[0] if rest and rest[0] is not None else np.zeros_like(scale, dtype=q.dtype)
    axis = next((a.i for a in proto.attribute if a.name == "axis"), 1)
    if scale.ndim > 1 or (scale.ndim == 1 and scale.size > 1 and not (q.ndim and q.shape[axis] == scale.size)):
        raise ModelError(f"{words(proto)} has scales of shape {scale.shape} for weights of shape {q.shape}")
    if scale.ndim == 1 and scale.size > 1:
        shape = [1] * q.ndim
        shape[axis] = scale.size
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    kind = np.dtype(scale.dtype)
    if q.dtype.kind in "iu":
        return ((q.astype(np.int64) - zero.astype(np.int64)) * scale.astype(np.float32)).astype(kind)
    return ((q.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)).astype(kind)
