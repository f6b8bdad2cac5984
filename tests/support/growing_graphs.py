"""A graph that grows at random, and what runs it: onnxruntime."""

from typing import Any

import numpy as np

from tests.support.graphs import Graph, onnx, onnxruntime


def runner(content: bytes) -> Any:
    """Return onnxruntime's session."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # its fusions scale products of float64 matrices by a float32 number
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _newest() -> int:
    """Return the newest opset that both packages know."""
    for opset in range(onnx.defs.onnx_opset_version(), 7, -1):
        graph = Graph((1, 1), opset)
        try:
            runner(content(graph, graph("Identity", "x")))
        except Exception:  # not yet
            continue
        return opset
    raise AssertionError("onnxruntime runs no opset that onnx knows")


def content(graph: Graph, output: str) -> bytes:
    """Return the bytes of a graph with this output."""
    results = [onnx.helper.make_tensor_value_info(output, graph.element, None)]
    made = onnx.helper.make_graph(graph.nodes, "graph", graph.inputs, results, graph.weights)
    opsets = [onnx.helper.make_opsetid("", graph.opset)]
    return onnx.helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()


NEWEST = _newest()


class Growing(Graph):
    """A graph that grows at random from x; `tensor` is its end, `shape` the shape of that."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        rank = int(rng.choice([1, 2, 3, 4], p=[0.15, 0.35, 0.2, 0.3]))
        self.input_shape = tuple(int(n) for n in rng.integers(1, 5, size=rank))
        if rank > 1:
            self.input_shape = (1, *self.input_shape[1:])
        declared = ("batch", *self.input_shape[1:]) if rank > 1 and rng.random() < 0.3 else self.input_shape
        kind = np.float64 if rng.random() < 0.2 else np.float32
        super().__init__(declared, int(rng.integers(7, NEWEST + 1)), kind)
        self.tensor, self.shape = "x", self.input_shape

    def number(self, shape: Any, positive: float = 0.7) -> Any:
        values = self.rng.normal(size=shape)
        return np.abs(values) if self.rng.random() < positive else values

    def broadcast(self) -> Any:
        """Return a constant that broadcasts with the tensor, with fewer, more or stretched axes."""
        sizes = [n if self.rng.random() < 0.6 else 1 for n in self.shape]
        sizes = [int(self.rng.integers(1, 4)) if n == 1 and self.rng.random() < 0.2 else n for n in sizes]
        sizes = sizes[int(self.rng.integers(0, len(sizes) + 1)) :] if self.rng.random() < 0.4 else sizes
        return self.number([1] * int(self.rng.random() < 0.1) + sizes)

    def axis(self, extra: int = 0, negative: int = 7) -> int:
        """Return an axis, counted from the end in opsets that allow it, at times."""
        rank = len(self.shape) + extra
        axis = int(self.rng.integers(0, max(rank, 1)))
        return axis - rank if self.opset >= negative and self.rng.random() < 0.4 else axis

    def vector(self, values: Any) -> str:
        return self.integers(*(int(v) for v in values))
