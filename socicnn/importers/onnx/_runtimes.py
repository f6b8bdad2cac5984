"""Run a graph on arrays: by onnx's reference evaluator, or by onnxruntime where that lacks an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from typing import Any, TypeAlias

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
