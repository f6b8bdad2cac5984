"""A network that is another function than its file is refused, whatever made it so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from socicnn.importers.onnx import _nodes as nodes
from socicnn.importers.onnx import _runtimes as runtimes
from tests.support.graphs import Graph, close, draw, mlp, onnx

pytestmark = pytest.mark.extra


def total(graph: Graph, tensor: str) -> str:
    return graph("ReduceSum", tensor, keepdims=0)


def points(n: int) -> Any:
    return 2 * np.random.default_rng(5).normal(size=(6, 1, n))


@pytest.mark.parametrize("opset", [7, 10])
def test_padding_by_an_attribute(opset: int, tmp_path: Path) -> None:
    graph = Graph(("N", 3), opset=opset)
    padded = graph("Pad", graph("Relu", "x"), pads=[0, 0, 0, 1], value=1.0)
    path = graph.save(tmp_path / "pad.onnx", graph("MatMul", padded, np.ones((4, 1))))
    net = FrozenNet.from_onnx(path)
    assert net(np.zeros(3))[0] == 1.0
    close(net, path, points(3))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_modes_of_padding(mode: str, tmp_path: Path) -> None:
    graph = Graph(("N", 4), opset=19)
    filling = [graph.weight(2.5)] if mode == "constant" else []
    padded = graph("Pad", "x", graph.integers(0, 2, 0, 3 if mode != "reflect" else 2), *filling, mode=mode)
    width = 9 if mode != "reflect" else 8
    weighted = graph("MatMul", graph("Relu", padded), abs(draw(3)(width, 1)))
    path = graph.save(tmp_path / "pad.onnx", weighted)
    close(FrozenNet.from_onnx(path), path, points(4))


def test_negative_pads_cut_off(tmp_path: Path) -> None:
    """onnx's reference evaluator raises for them, so that the file is evaluated by onnxruntime."""
    graph = Graph(("N", 4))
    padded = graph("Pad", graph("Relu", "x"), graph.integers(0, -1, 0, -2))
    path = graph.save(tmp_path / "pad.onnx", graph("MatMul", padded, np.full((1, 1), 2.0)))
    net = FrozenNet.from_onnx(path)
    assert net([[1.0, 2.0, 3.0, 4.0], [5.0, -6.0, 7.0, 8.0]]).tolist() == [4.0, 0.0]
    close(net, path, points(4))


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_the_shape_of_an_exponent_counts(exponent: float, tmp_path: Path) -> None:
    graph = Graph((1, 1))
    path = graph.save(tmp_path / "pow.onnx", total(graph, graph("Pow", "x", np.full(4, exponent))))
    net = FrozenNet.from_onnx(path)
    assert net([3.0])[0] == pytest.approx(4 * 3.0**exponent)
    close(net, path, points(1))


@pytest.mark.parametrize(
    ("kind", "settings", "like"),
    [
        ("RandomNormal", {"shape": [1, 3]}, False),
        ("RandomNormal", {"shape": [1, 3], "seed": 1.0}, False),
        ("RandomNormalLike", {}, True),
        ("RandomUniform", {"shape": [1, 3]}, False),
        ("RandomUniformLike", {}, True),
        ("Bernoulli", {}, True),
    ],
)
def test_random_nodes_are_no_function_of_x(kind: str, settings: dict[str, Any], like: bool) -> None:
    graph = Graph(("N", 3))
    noise = graph(kind, *(["x"] if like else []), name="noise", **settings)
    with pytest.raises(
        ModelError, match=f"{kind} 'noise' draws random numbers, so that the graph is not a function of x"
    ):
        FrozenNet.from_onnx(model(graph, total(graph, graph("Add", "x", noise))))


def model(graph: Graph, *outputs: str) -> Any:
    results = [onnx.helper.make_tensor_value_info(name, graph.element, None) for name in outputs]
    made = onnx.helper.make_graph(graph.nodes, "graph", graph.inputs, results, graph.weights)
    return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", graph.opset)], ir_version=8)


def test_random_numbers_under_another_name_are_seen_by_the_second_run(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, graph = np.random.default_rng(0), Graph(("N", 3))
    out = total(graph, "x")
    monkeypatch.setattr(
        "socicnn.importers.onnx._comparison.reference",
        lambda onnx, model: lambda feed: [np.float32(feed["x"].sum() + rng.normal())],
    )
    with pytest.raises(ModelError, match=r"has two values at one x, .* it draws random numbers"):
        FrozenNet.from_onnx(model(graph, out))


@pytest.mark.parametrize("wrong", ["shifted", "scaled", "slightly", "far out"])
def test_a_node_that_is_read_wrong_is_seen(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a handler does: the values decide."""

    def handler(node: Any) -> list[Any]:
        value = node.first()
        if wrong == "shifted":
            return [value.plus(np.array(0.1))]
        if wrong == "far out":  # another function only where |a| is large
            return [value.plus(value.plus(np.array(-100.0)).made("relu", node.words))]
        return [value.times(np.array(2.0 if wrong == "scaled" else 1.001))]

    monkeypatch.setitem(nodes.HANDLERS, "Identity", handler)
    graph = Graph(("N", 4))
    z, r = mlp(graph)
    out = graph("MatMul", graph("Identity", z), abs(r(5, 1)))
    with pytest.raises(ModelError, match=r"is another function than the file's: .* where the file has"):
        FrozenNet.from_onnx(model(graph, out))


def test_float64_files_are_compared_to_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nodes.HANDLERS, "Identity", lambda node: [node.first().times(np.array(1 + 1e-9))])
    for kind, refused in ((np.float64, True), (np.float32, False)):
        graph = Graph(("N", 4), kind=kind)
        z, r = mlp(graph)
        made = model(graph, graph("MatMul", graph("Identity", z), abs(r(5, 1))))
        if refused:
            with pytest.raises(ModelError, match="is another function than the file's"):
                FrozenNet.from_onnx(made)
        else:
            FrozenNet.from_onnx(made)


@pytest.mark.parametrize("constant", [2e3, 1e5])
def test_float16_files_of_large_values_are_compared_too(constant: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """All points of the comparison were left out, and whatever was read was accepted."""
    graph = Graph(("N", 4), kind=np.float16)
    r = draw(4)
    z = graph("Relu", graph("Gemm", "x", 0.1 * r(4, 3), r(3)))
    with np.errstate(over="ignore"):
        shift = graph.weight(np.full((1, 1), constant).astype(np.float16))
    made = model(graph, graph("Add", graph("MatMul", graph("Identity", z), abs(r(3, 1))), shift))
    if constant > 65504:
        with pytest.raises(ModelError):
            FrozenNet.from_onnx(made)
        return
    assert FrozenNet.from_onnx(made)(np.zeros(4))[0] == pytest.approx(constant, rel=1e-2)
    monkeypatch.setitem(nodes.HANDLERS, "Identity", lambda node: [node.first().plus(np.array(-constant))])
    with pytest.raises(ModelError, match="is another function than the file's"):
        FrozenNet.from_onnx(made)


@pytest.mark.parametrize("mean", [1e2, 1e5])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_inputs_far_from_zero_and_in_any_unit_are_read(mean: float, scale: float) -> None:
    graph = Graph(("N", 4))
    r = draw(4)
    units = graph("Div", graph("Sub", "x", mean * (1 + r(4) ** 2)), scale * (1 + r(4) ** 2))
    z = graph("Relu", graph("Gemm", units, r(4, 6), r(6)))
    z = graph("Relu", graph("Gemm", z, abs(r(6, 5)), r(5)))
    FrozenNet.from_onnx(model(graph, graph("MatMul", z, abs(r(5, 1)))))


def test_mixed_types_are_refused() -> None:
    graph = Graph(("N", 4))
    out = graph("MatMul", "x", graph.weight(np.ones((4, 1)), np.float64))
    with pytest.raises(ModelError, match=r"MatMul .* mixes float32 and float64, which ONNX does not let meet"):
        FrozenNet.from_onnx(model(graph, out))
    whole = Graph(("N", 4), kind=np.int64)
    with pytest.raises(ModelError, match="input 'x' holds int64; x must be of a floating type"):
        FrozenNet.from_onnx(model(whole, total(whole, "x")))


def test_what_nothing_can_evaluate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph(("N", 4))
    made = model(graph, total(graph, "x"))

    def broken(onnx: Any, model: Any) -> Any:
        raise RuntimeError("no implementation")

    monkeypatch.setattr("socicnn.importers.onnx._comparison.reference", broken)
    FrozenNet.from_onnx(made)  # onnxruntime runs it
    monkeypatch.setattr("socicnn.importers.onnx._comparison.runtime", lambda model: None)
    with pytest.raises(
        ModelError, match="not compared with its file is refused: no implementation; install onnxruntime"
    ):
        FrozenNet.from_onnx(made)


def test_a_runtime_that_is_not_installed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    assert runtimes.runtime(onnx.ModelProto()) is None
