"""Normalisation, and the two affine nodes of ai.onnx.ml that exporters for tables write."""

from pathlib import Path

import numpy as np
import pytest

from socicnn.frozen import FrozenNet
from tests.support.graphs import Graph, close, draw, onnx, values

pytestmark = pytest.mark.extra


def test_normalised_layers(tmp_path: Path) -> None:
    """As torch exports Linear, BatchNorm1d, ReLU in evaluation mode; negative scales before an activation are right."""
    graph, r = Graph(("batch", 4)), draw(1)
    z = graph("Gemm", "x", r(4, 6), r(6))
    z = graph("Relu", graph("BatchNormalization", z, r(6), r(6), r(6), abs(r(6)), epsilon=1e-3))
    z = graph("BatchNormalization", graph("MatMul", z, abs(r(6, 3))), abs(r(3)), r(3), r(3), abs(r(3)))
    path = graph.save(tmp_path / "bn.onnx", graph("ReduceSum", graph("Relu", z), keepdims=0))
    close(FrozenNet.from_onnx(path), path, 2 * np.random.default_rng(2).normal(size=(8, 1, 4)))


def test_scaler_and_linear_regressor(tmp_path: Path) -> None:
    """A Scaler in front, and a LinearRegressor at the end of units."""
    rng = np.random.default_rng(3)
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    W, b = rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    coefficients = np.abs(rng.normal(size=5))
    nodes = [
        helper.make_node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=[1.0, 2.0, -1.0], scale=[0.5, 2.0, 3.0]),
        helper.make_node("Gemm", ["s", "W", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["z"]),
        helper.make_node(
            "LinearRegressor", ["z"], ["y"], domain="ai.onnx.ml", coefficients=coefficients, intercepts=[0.7], targets=1
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info("x", floats, ["batch", 3])],
        [helper.make_tensor_value_info("y", floats, ["batch", 1])],
        [onnx.numpy_helper.from_array(W, "W"), onnx.numpy_helper.from_array(b, "b")],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    path = tmp_path / "table.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    net = FrozenNet.from_onnx(path)
    x = rng.normal(size=(8, 1, 3)).astype(np.float32)
    np.testing.assert_allclose(net(x[:, 0]), values(path, x), rtol=1e-5, atol=1e-5)
