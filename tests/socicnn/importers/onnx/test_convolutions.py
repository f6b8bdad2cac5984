"""Graphs of images and sequences: convolutions, transposed ones and pooling."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from socicnn.frozen import FrozenNet
from tests.support.graphs import Graph, close, draw

pytestmark = pytest.mark.extra


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"strides": [2, 1], "pads": [1, 0, 2, 1]},
        {"dilations": [2, 2], "pads": [1, 1, 1, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER"},
        {"auto_pad": "VALID"},
    ],
)
@pytest.mark.parametrize("group", [1, 2])
def test_convolutions(settings: dict[str, Any], group: int, tmp_path: Path) -> None:
    if group == 2 and settings:
        settings = {**settings, "strides": [1, 2]}
    graph = Graph(("batch", 2, 6, 5))
    r = draw(4)
    a = graph("Conv", "x", r(4, 2 // group, 3, 2), r(4), group=group, **settings)
    z = graph("Relu", a)
    z = graph("Relu", graph("Conv", z, abs(r(3, 4, 2, 1)), r(3)))
    pooled = graph("ReduceMean", z, graph.integers(2, 3), keepdims=0)
    flat = graph("Flatten", "x", axis=1)
    out = graph("Add", graph("MatMul", pooled, abs(r(3, 1))), graph("ReduceSumSquare", flat, graph.integers(1)))
    path = graph.save(tmp_path / "conv.onnx", out)
    net = FrozenNet.from_onnx(path)
    assert net.input_shape == (2, 6, 5)
    close(net, path, np.random.default_rng(0).normal(size=(5, 1, 2, 6, 5)), 5e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"strides": [2, 1]},
        {"strides": [2, 2], "pads": [1, 0, 0, 1], "output_padding": [1, 0]},
        {"dilations": [2, 1]},
    ],
)
@pytest.mark.parametrize("group", [1, 2])
def test_transposed_convolutions(settings: dict[str, Any], group: int, tmp_path: Path) -> None:
    graph = Graph((1, 2, 4, 3))
    r = draw(4)
    z = graph("Relu", graph("ConvTranspose", "x", r(2, 4 // group, 3, 2), r(4), group=group, **settings))
    out = graph("ReduceMean", z, keepdims=0)
    path = graph.save(tmp_path / "transposed.onnx", out)
    close(FrozenNet.from_onnx(path), path, np.random.default_rng(0).normal(size=(5, 1, 2, 4, 3)))


@pytest.mark.parametrize("settings", [{"strides": [2, 2]}, {"pads": [1, 1, 0, 1]}, {"auto_pad": "SAME_UPPER"}])
@pytest.mark.parametrize("counted", [0, 1])
def test_average_pooling(settings: dict[str, Any], counted: int, tmp_path: Path) -> None:
    graph = Graph((1, 2, 6, 5))
    pooled = graph("AveragePool", "x", kernel_shape=[3, 2], count_include_pad=counted, **settings)
    whole = graph("GlobalAveragePool", graph("Relu", pooled))
    out = graph("ReduceSum", graph("Add", whole, graph("GlobalAveragePool", pooled)), keepdims=0)
    path = graph.save(tmp_path / "pool.onnx", out)
    close(FrozenNet.from_onnx(path), path, np.random.default_rng(0).normal(size=(5, 1, 2, 6, 5)))


def test_convolution_over_time(tmp_path: Path) -> None:
    graph = Graph((1, 3, 9))
    r = draw(4)
    z = graph("Relu", graph("Conv", "x", r(2, 3, 3), r(2), strides=[2], pads=[1, 1]))
    norm = graph("ReduceL2", "x", graph.integers(1), keepdims=0)  # one norm a step
    out = graph("Add", graph("ReduceSum", z, keepdims=0), graph("ReduceSum", norm, keepdims=0))
    path = graph.save(tmp_path / "conv1.onnx", out)
    net = FrozenNet.from_onnx(path)
    assert net.norms[0].group == 3
    assert net.norms[0].C.shape == (27, 27)
    close(net, path, np.random.default_rng(0).normal(size=(5, 1, 3, 9)), 5e-6)
