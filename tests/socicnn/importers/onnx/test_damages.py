"""Damaged files: one sentence each, soon, and nothing allocated that the file cannot fill."""

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest

from socicnn.errors import ModelError, SocicnnError
from socicnn.frozen import FrozenNet
from tests.support.graphs import Graph, draw, mlp, onnx
from tests.support.growing_graphs import content
from tests.support.random_graphs import draw_graph

pytestmark = pytest.mark.extra


def whole_files() -> list[bytes]:
    graph = Graph(("N", 4))
    z, r = mlp(graph)
    found = [content(graph, graph("MatMul", z, abs(r(5, 1))))]
    drawn = (draw_graph(seed) for seed in range(40))
    return found + [entry[1] for entry in drawn if entry is not None]


def damaged(file: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with a few bytes changed or missing, or its end cut off."""
    data = bytearray(file)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(data)))
        kind = int(rng.integers(4))
        if kind == 0:
            data[place] = int(rng.integers(256))
        elif kind == 1:
            del data[place : place + int(rng.integers(1, 20))]
        elif kind == 2:
            data[place] ^= 1 << int(rng.integers(8))
        else:
            del data[max(place, 1) :]
        data = data or bytearray(b"x")
    return bytes(data)


def test_damages_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    files, rng = whole_files(), np.random.default_rng(0)
    slowest, refused = 0.0, 0
    for _ in range(1000):
        file = damaged(files[int(rng.integers(len(files)))], rng)
        start = time.process_time()
        try:
            FrozenNet.from_onnx(file)
        except SocicnnError as error:
            refused += 1
            if "\n" in str(error):
                pytest.fail(f"more than a line: {error}")
        slowest = max(slowest, time.process_time() - start)
    assert refused > 800
    assert slowest < 0.5  # seconds of CPU time
    assert capsys.readouterr().out == ""


def image(graph: Graph, size: int = 4) -> str:
    """Return x as an image of one channel along one axis, repeated to this size."""
    z = graph("Unsqueeze", "x", graph.integers(0))
    return z if size == 4 else graph("Tile", z, graph.integers(1, 1, size // 4))


@pytest.mark.parametrize(
    "make",
    [
        lambda g: g("Expand", "x", g.integers(2**40, 1)),
        lambda g: g("Tile", "x", g.integers(1, 2**40)),
        lambda g: g("Pad", "x", g.integers(0, 0, 0, 2**40)),
        lambda g: g("Mul", "x", g("ConstantOfShape", g.integers(2**40, 4))),
        lambda g: g("Mul", "x", g("Range", 0.0, 1e12, 1.0)),
        lambda g: g("Conv", g("Unsqueeze", "x", g.integers(0)), draw(0)(1, 1, 2), pads=[2**40, 0]),
        lambda g: g("ConvTranspose", g("Unsqueeze", "x", g.integers(0)), draw(0)(1, 1, 2), strides=[2**40]),
        lambda g: g("Add", g("Reshape", "x", g.integers(4, 1)), np.zeros((1, 2**22))),
        lambda g: g("Expand", "x", g.integers(2**17, 4)),
        lambda g: g("MatMul", g("Reshape", "x", g.integers(4, 1)), np.zeros((1, 2**17))),
        lambda g: g("Gemm", g("Reshape", "x", g.integers(4, 1)), np.zeros((2**17, 1)), transB=1),
        lambda g: g("Add", "x", g("MatMul", np.zeros((2**11, 1)), np.zeros((1, 2**11)))),
        lambda g: g("Tile", "x", g.integers(0, 2**40)),
        lambda g: g("Mul", "x", g("Tile", np.ones((1, 1)), g.integers(2**40, 0))),
        lambda g: g("Mul", "x", g("ReduceSum", np.zeros((0, 2**40)), g.integers(0))),
        lambda g: g("Mul", "x", g("OneHot", g.integers(1), g.integers(2**40), np.zeros(2))),
        lambda g: g("Mul", "x", g("Resize", np.ones((1, 4)), "", "", g.integers(2**20, 2**20))),
        lambda g: g("Mul", "x", g("Resize", np.ones((1, 4)), "", np.array([1.0, 2.0**40]))),
        lambda g: g("Mul", "x", g("Gather", np.ones((1, 2**11)), g.weight(np.zeros(2**11), np.int64))),
        lambda g: g("Gather", g("Gemm", "x", np.ones((2**9, 4)), transB=1), g.weight(np.zeros(2**10), np.int64)),
        lambda g: g("Einsum", "x", np.ones(2**11), np.ones(2**11), equation="ij,k,l->ik"),
        lambda g: g("Expand", g("MatMul", "x", np.ones((4, 2**10))), g.integers(2**9, 2**10)),
        lambda g: g("Conv", image(g), draw(0)(1, 1, 2), dilations=[2**40], auto_pad="SAME_UPPER"),
        lambda g: g("Conv", image(g, 2**16), draw(0)(8, 1, 9), auto_pad="SAME_LOWER"),
        lambda g: g("AveragePool", image(g), kernel_shape=[2**40], pads=[2**40, 0]),
        lambda g: g("AveragePool", image(g), kernel_shape=[2**40], auto_pad="SAME_UPPER"),
        lambda g: g("ConvTranspose", image(g), draw(0)(1, 1, 2), dilations=[2**40]),
    ],
)
def test_sizes_beyond_the_file_are_refused_before_they_are_made(make: Any) -> None:
    graph = Graph((1, 4))
    large = make(graph)
    tracemalloc.start()
    with pytest.raises(ModelError, match=r"makes \d+ (entries|coefficients), more than the \d+ that are read"):
        FrozenNet.from_onnx(content(graph, graph("ReduceSum", large, keepdims=0)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26


@pytest.mark.parametrize("kind", ["AveragePool", "ConvTranspose"])
def test_a_large_image_is_compared_soon(kind: str) -> None:
    """The reference evaluator needs seconds for as many entries, and each point is evaluated twice."""
    graph = Graph((1, 4))
    wide = graph("Pad", image(graph), graph.integers(0, 0, 0, 0, 0, 50_000))
    out = graph(kind, wide, kernel_shape=[2]) if kind == "AveragePool" else graph(kind, wide, draw(0)(1, 1, 2))
    start = time.process_time()
    net = FrozenNet.from_onnx(content(graph, graph("ReduceSum", out, keepdims=0)))
    assert time.process_time() - start < 2.0
    assert net.in_features == 4


def test_many_channels_are_pooled_soon() -> None:
    graph = Graph((1, 4))
    out = graph("AveragePool", graph("Expand", image(graph), graph.integers(1, 20_000, 4)), kernel_shape=[4])
    out = graph("ReduceSum", graph("Reshape", out, graph.integers(100, 200)), graph.integers(1), keepdims=0)
    file = content(graph, graph("ReduceSum", out, keepdims=0))
    FrozenNet.from_onnx(file)  # imports
    start = time.process_time()
    net = FrozenNet.from_onnx(file)
    assert time.process_time() - start < 0.8
    np.testing.assert_allclose(net(np.eye(4)), 5_000.0)


def test_constants_whose_size_is_not_known_are_refused() -> None:
    """A loop may double its constant in each step."""
    graph = Graph((1, 4))
    inner = Graph((1,))
    kept = inner("Identity", "going")
    names = [("going", 9, []), ("step", 7, []), ("c", graph.element, [None])]
    inputs = [onnx.helper.make_tensor_value_info(*entry) for entry in (names[1], names[0], names[2])]
    double = inner("Concat", "c", "c", axis=0)
    outputs = [onnx.helper.make_tensor_value_info(*entry) for entry in ((kept, 9, []), (double, graph.element, [None]))]
    body = onnx.helper.make_graph(inner.nodes, "body", inputs, outputs)
    large = graph("Loop", graph.integers(40), graph.weight(True, np.bool_), graph.weight(np.ones(1)), body=body)
    with pytest.raises(ModelError, match=r"Loop 't0_0' cannot be computed from its constant inputs: this kind"):
        FrozenNet.from_onnx(content(graph, graph("ReduceSum", graph("Mul", "x", large), keepdims=0)))


def test_an_input_of_any_size_is_refused_before_it_is_made() -> None:
    graph = Graph((1, 2**40))
    with pytest.raises(ModelError, match=r"input 'x' has 1099511627776 entries, more than the 262144 that are read"):
        FrozenNet.from_onnx(content(graph, graph("ReduceSum", "x", keepdims=0)))


def test_messages_are_one_line_whatever_a_file_calls_its_nodes() -> None:
    graph = Graph((1, 4))
    bad = graph("Sin", "x", name="a\nb" * 10_000)
    with pytest.raises(ModelError) as caught:
        FrozenNet.from_onnx(content(graph, graph("ReduceSum", bad, keepdims=0)))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500
