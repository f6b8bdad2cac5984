"""Kinks that are no plain Relu: leaky units, maxima, absolute values, pooling; with onnxruntime's values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import verify
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from tests.support.graphs import Graph, close, draw, mlp, onnx, values

pytestmark = pytest.mark.extra


def points(n: int, count: int = 8) -> Any:
    return 2 * np.random.default_rng(6).normal(size=(count, 1, n))


def total(graph: Graph, tensor: str) -> str:
    return graph("ReduceSum", tensor, keepdims=0)


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0, -0.5])
def test_leaky_units(slope: float, tmp_path: Path) -> None:
    """Slopes in [0, 1] in every layer, and below 0 of what is affine in x."""
    graph, r = Graph((1, 4)), draw(1)
    z = graph("LeakyRelu", graph("Gemm", "x", r(4, 5), r(5)), alpha=slope)
    if slope >= 0:
        z = graph("LeakyRelu", graph("Gemm", z, abs(r(5, 3)), r(3)), alpha=slope)
    path = graph.save(tmp_path / "leaky.onnx", total(graph, z))
    if slope == 1:
        assert FrozenNet.from_onnx(path).hidden_features == ()
    close(FrozenNet.from_onnx(path), path, points(4))


def test_a_unit_per_channel_has_its_slope(tmp_path: Path) -> None:
    graph, r = Graph((1, 3, 4, 4)), draw(2)
    z = graph("Conv", "x", r(2, 3, 3, 3), r(2), pads=[1, 1, 1, 1])
    z = graph("PRelu", z, np.array([0.1, 0.7]).reshape(2, 1, 1))
    path = graph.save(tmp_path / "prelu.onnx", total(graph, z))
    close(FrozenNet.from_onnx(path), path, points(48).reshape(8, 1, 3, 4, 4))


@pytest.mark.parametrize("opset", [7, 11, 18])
def test_clipping_from_below(opset: int, tmp_path: Path) -> None:
    """An upper limit that the type cannot exceed clips nothing."""
    graph, r = Graph((1, 4), opset=opset), draw(3)
    a = graph("MatMul", "x", r(4, 5))
    most = float(np.finfo(np.float32).max)
    z = graph("Clip", a, min=-0.5, max=most) if opset < 11 else graph("Clip", a, -0.5, most)
    path = graph.save(tmp_path / "clip.onnx", graph("MatMul", z, abs(r(5, 1))))
    close(FrozenNet.from_onnx(path), path, points(4))


def test_a_maximum_of_affine_pieces_constants_and_a_convex_one(tmp_path: Path) -> None:
    graph = Graph((1, 4))
    z, r = mlp(graph)
    affine = [graph("Gemm", "x", r(4, 5), r(5)) for _ in range(3)]
    out = total(graph, graph("Max", z, *affine, r(5), np.float64(0.3) * np.ones(1)))
    path = graph.save(tmp_path / "max.onnx", out)
    net = FrozenNet.from_onnx(path)
    close(net, path, points(4), 5e-6)
    verify.equivalence(net, points(4)[:, 0], proof=True).raise_if_failed()


def test_a_max_affine_function(tmp_path: Path) -> None:
    """The usual baseline: max_i <a_i, x> + b_i over one axis; k pieces are k - 1 layers of one unit."""
    graph, r = Graph(("batch", 3)), draw(4)
    pieces = graph("Gemm", "x", r(3, 7), r(7))
    path = graph.save(tmp_path / "affine.onnx", graph("ReduceMax", pieces, graph.integers(1), keepdims=0))
    net = FrozenNet.from_onnx(path)
    assert net.hidden_features == (1,) * 6
    close(net, path, points(3))
    verify.equivalence(net, points(3)[:, 0], proof=True).raise_if_failed()


@pytest.mark.parametrize("kind", ["MaxPool", "GlobalMaxPool"])
def test_pooling_after_a_convolution_and_its_relu(kind: str, tmp_path: Path) -> None:
    """Units of the first layer are maxima of two affine pieces each, and so is a window of them."""
    graph, r = Graph((1, 2, 5, 5)), draw(5)
    z = graph("Relu", graph("Conv", "x", r(3, 2, 2, 2), r(3)))
    settings = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]} if kind == "MaxPool" else {}
    pooled = graph(kind, z, **settings)
    path = graph.save(tmp_path / "pool.onnx", total(graph, graph("Mul", pooled, abs(r(3, 1, 1)))))
    close(FrozenNet.from_onnx(path), path, points(50).reshape(8, 1, 2, 5, 5))


def test_absolute_values(tmp_path: Path) -> None:
    """Of what is affine in x; of units that cannot be negative, it changes nothing."""
    graph = Graph((1, 4))
    z, r = mlp(graph)
    a = graph("Gemm", "x", r(4, 3), r(3))
    mixed = graph("Abs", graph("Concat", z, a, axis=1))
    out = graph("Add", graph("ReduceL1", a, keepdims=0), total(graph, mixed))
    path = graph.save(tmp_path / "abs.onnx", out)
    close(FrozenNet.from_onnx(path), path, points(4), 5e-6)


def test_a_fused_activation_of_onnxruntime(tmp_path: Path) -> None:
    """FusedGemm and FusedConv as its optimiser writes them."""
    import onnxruntime

    graph, r = Graph((1, 2, 4, 4)), draw(7)
    z = graph("Relu", graph("Conv", "x", r(3, 2, 2, 2), r(3)))
    z = graph("Reshape", z, graph.integers(1, 27))
    z = graph("LeakyRelu", graph("Gemm", z, abs(r(27, 4)), r(4)), alpha=0.2)
    path = graph.save(tmp_path / "plain.onnx", total(graph, z))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    fused = onnx.load(str(tmp_path / "fused.onnx"))
    assert {"FusedGemm", "FusedConv"} <= {node.op_type for node in fused.graph.node}
    x = points(32).reshape(8, 1, 2, 4, 4)
    net = FrozenNet.from_onnx(tmp_path / "fused.onnx")
    np.testing.assert_allclose(net(x.reshape(8, -1)), values(path, x), rtol=1e-5, atol=1e-5)


def test_too_many_pieces_are_refused(tmp_path: Path) -> None:
    graph = Graph((1, 300))
    path = graph.save(tmp_path / "many.onnx", graph("ReduceMax", "x", keepdims=0, name="peak"))
    with pytest.raises(ModelError, match="ReduceMax 'peak' takes the maximum of 300 entries, more than the 256"):
        FrozenNet.from_onnx(path)


@pytest.mark.parametrize("sharpness", [1.0, 4.0])
def test_softplus_units(sharpness: float, tmp_path: Path) -> None:
    """softplus(s a) / s, as it is written for other sharpnesses; far points overflow in runtimes and are left out."""
    graph, r = Graph(("batch", 4)), draw(8)
    z = graph("Softplus", graph("Mul", graph("Gemm", "x", r(4, 6), r(6)), sharpness))
    z = graph("Gemm", graph("Div", z, sharpness), abs(r(6, 3)), r(3))
    z = graph("Softplus", graph("Add", z, graph("MatMul", "x", r(4, 3))))
    path = graph.save(tmp_path / "softplus.onnx", graph("MatMul", z, abs(r(3, 1))))
    net = FrozenNet.from_onnx(path)
    assert [float(layer.smoothing) for layer in net.layers] == [1.0, 1.0]
    x = points(4)
    np.testing.assert_allclose(net(x[:, 0].astype(np.float32)), values(path, x), rtol=2e-6, atol=2e-6)
    verify.equivalence(net, x[:, 0], proof=True).raise_if_failed()


def test_log_sum_exp_of_affine_pieces(tmp_path: Path) -> None:
    graph, r = Graph(("batch", 3)), draw(9)
    pieces = graph("Gemm", "x", r(3, 5), r(5))
    path = graph.save(tmp_path / "lse.onnx", graph("ReduceLogSumExp", pieces, graph.integers(1), keepdims=0))
    net = FrozenNet.from_onnx(path)
    assert (net.hidden_features, net.logsumexps[0].group) == ((), 5)
    np.testing.assert_allclose(net(points(3)[:, 0]), values(path, points(3)), rtol=2e-6, atol=2e-6)
    verify.equivalence(net, points(3)[:, 0], proof=True).raise_if_failed()
