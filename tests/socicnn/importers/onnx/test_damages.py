"""Damaged files: one sentence each, soon, and nothing allocated that the file cannot fill."""

import time
from typing import Any

import numpy as np
import pytest

from socicnn.errors import ModelError, SocicnnError
from socicnn.frozen import FrozenNet
from tests.support.graphs import Graph, draw, mlp
from tests.support.random_graphs import content, draw_graph

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
    ],
)
def test_sizes_beyond_the_file_are_refused_before_they_are_made(make: Any) -> None:
    graph = Graph((1, 4))
    large = make(graph)
    with pytest.raises(ModelError, match=r"makes \d+ entries, more than the (2097152|262144) that are read"):
        FrozenNet.from_onnx(content(graph, graph("ReduceSum", large, keepdims=0)))


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
