"""ONNX graphs written node by node, and their values by onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from socicnn._compile import value_program
from socicnn.frozen import FrozenNet

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'socicnn[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


class Graph:
    """A graph that grows: `graph("Relu", "a")` adds a node and returns the name of its output."""

    def __init__(self, shape: tuple[Any, ...], opset: int = 18, kind: type = np.float32) -> None:
        self.kind, self.opset = kind, opset
        self.element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs = [onnx.helper.make_tensor_value_info("x", self.element, list(shape))]

    def weight(self, values: Any, kind: Any = None) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(np.asarray(values, dtype=kind or self.kind), name))
        return name

    def integers(self, *values: int) -> str:
        return self.weight(values, np.int64)

    def __call__(self, op: str, *inputs: Any, name: str = "", outputs: int = 1, **settings: Any) -> Any:
        named = [self.weight(item) if isinstance(item, np.ndarray | float) else item for item in inputs]
        made = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(onnx.helper.make_node(op, named, made, name=name, **settings))
        return made[0] if outputs == 1 else made

    def save(self, path: Path, *outputs: str) -> Path:
        results = [onnx.helper.make_tensor_value_info(name, self.element, None) for name in outputs]
        graph = onnx.helper.make_graph(self.nodes, "graph", self.inputs, results, self.weights)
        opsets = [onnx.helper.make_opsetid("", self.opset)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
        return path


def values(path: Path, x: Any, *, as_written: bool = False, **others: Any) -> Any:
    """Return the first output at each point of x, one run per point; `as_written`: without onnxruntime's fusions."""
    options = onnxruntime.SessionOptions()
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kind = np.float64 if session.get_inputs()[0].type == "tensor(double)" else np.float32
    feeds = {name: np.asarray(value, dtype=kind) for name, value in others.items()}
    return np.array([session.run(None, {"x": point.astype(kind), **feeds})[0].reshape(()) for point in x])


def draw(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return lambda *shape: rng.normal(size=shape)


def mlp(graph: Graph, passthrough: bool = True, opset_gemm: bool = True) -> tuple[str, Any]:
    """Two layers of widths 6 and 5; returns the last layer."""
    r = draw()
    first = (
        graph("Gemm", "x", r(6, 4), r(6), transB=1) if opset_gemm else graph("Add", graph("MatMul", "x", r(4, 6)), r(6))
    )
    z = graph("Relu", first, name="relu1")
    a = graph("Gemm", z, abs(r(5, 6)), r(5), transB=1, name="hidden2")
    if passthrough:
        a = graph("Add", a, graph("MatMul", "x", r(4, 5)))
    return graph("Relu", a, name="relu2"), r


def close(net: FrozenNet, path: Path, points: Any, rtol: float = 2e-6, *, as_written: bool = False) -> None:
    """The frozen network equals onnxruntime to float32 rounding, and its program to the solver's."""
    truth = values(path, points, as_written=as_written)
    found = net(np.asarray(points, dtype=np.float32).reshape(len(points), -1))
    scale = 1 + np.abs(truth).max()
    np.testing.assert_allclose(found, truth, atol=rtol * scale, rtol=rtol)
    assert np.ptp(truth) > 1e-3, "the case would not show anything"
    x = np.asarray(points[0], dtype=np.float32).reshape(-1)
    assert value_program(net).at(x).solve().value == pytest.approx(net(x)[0], rel=1e-6, abs=1e-6)
