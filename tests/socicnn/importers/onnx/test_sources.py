"""What a graph may come as: paths, bytes, models, float16, branches, dequantised weights, several outputs, no batch."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from socicnn._files import FileError
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from tests.support.graphs import Graph, close, draw, mlp, onnx, onnxruntime, values

pytestmark = pytest.mark.extra


def icnn(tmp_path: Path) -> Path:
    graph = Graph(("N", 4))
    z, r = mlp(graph)
    return graph.save(tmp_path / "icnn.onnx", graph("MatMul", z, abs(r(5, 1))))


def points(n: int) -> Any:
    return 2 * np.random.default_rng(5).normal(size=(6, 1, n))


def test_a_path_bytes_a_file_or_a_model(tmp_path: Path) -> None:
    path = icnn(tmp_path)
    net = FrozenNet.from_onnx(path)
    content = path.read_bytes()
    before = onnx.load(str(path))
    program = type("Program", (), {"model_proto": before})()  # what torch.onnx.export returns
    for source in (str(path), content, bytearray(content), memoryview(content), io.BytesIO(content), before, program):
        found = FrozenNet.from_onnx(source)
        np.testing.assert_array_equal(found.layers[1].W, net.layers[1].W)
    with path.open("rb") as stream:
        assert FrozenNet.from_onnx(stream).hidden_features == net.hidden_features
    assert before.SerializeToString() == content, "the model given was changed"
    for wrong in (3, ["a"], io.StringIO("text")):
        with pytest.raises(ModelError, match=r"path, bytes, an open binary file or an onnx.ModelProto; received"):
            FrozenNet.from_onnx(wrong)
    with pytest.raises(FileError, match="the model is not a valid ONNX file"):
        FrozenNet.from_onnx(content[:60])


def test_weights_in_another_file_need_its_path(tmp_path: Path) -> None:
    model = onnx.load(str(icnn(tmp_path)))
    path = tmp_path / "outside.onnx"
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    close(FrozenNet.from_onnx(path), tmp_path / "icnn.onnx", points(4))
    with pytest.raises(FileError, match="has weights in another file, which bytes cannot name"):
        FrozenNet.from_onnx(path.read_bytes())
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(FileError, match=r"outside.onnx is not a valid ONNX file: .*weights.bin"):
        FrozenNet.from_onnx(path)


def test_one_of_several_outputs(tmp_path: Path) -> None:
    graph = Graph(("N", 4))
    z, r = mlp(graph)
    first, second = graph("MatMul", z, abs(r(5, 1))), graph("ReduceSum", graph("Tanh", "x"), keepdims=0)
    path = graph.save(tmp_path / "two.onnx", first, second)
    close(FrozenNet.from_onnx(path, output=first), path, points(4))
    with pytest.raises(ModelError, match=f"has 2: {first}, {second}; name one, e.g. output='{first}'"):
        FrozenNet.from_onnx(path)
    with pytest.raises(ModelError, match=f"no output 'y'; its outputs are {first}, {second}"):
        FrozenNet.from_onnx(path, output="y")
    with pytest.raises(ModelError, match="Tanh"):
        FrozenNet.from_onnx(path, output=second)


def test_a_column_without_a_batch(tmp_path: Path) -> None:
    graph = Graph((3, 1))
    r = draw(2)
    z = graph("Relu", graph("Add", graph("MatMul", r(5, 3), "x"), r(5, 1)))
    path = graph.save(tmp_path / "column.onnx", graph("MatMul", abs(r(1, 5)), z))
    with pytest.raises(ModelError, match=r"fixed batch of 3; .* batch=None if its first axis belongs to x"):
        FrozenNet.from_onnx(path)
    net = FrozenNet.from_onnx(path, batch=None)
    assert net.input_shape == (3, 1)
    close(net, path, np.random.default_rng(0).normal(size=(5, 3, 1)))
    with pytest.raises(ModelError, match=r"batch must be 0, .* or None for none; received 1"):
        FrozenNet.from_onnx(path, batch=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("whole", [True, False])
def test_float16(whole: bool, tmp_path: Path) -> None:
    """All of it in float16, or inside alone, between casts, as converters write it for float32 inputs."""
    graph = Graph(("N", 4), kind=np.float16 if whole else np.float32)
    r = draw(6)
    w = [graph.weight(a, np.float16) for a in (r(4, 6), r(6), abs(r(6, 5)), abs(r(5, 1)))]
    x = "x" if whole else graph("Cast", "x", to=10)
    z = graph("Relu", graph("Gemm", x, w[0], w[1]))
    out = graph("MatMul", graph("Relu", graph("MatMul", z, w[2])), w[3])
    path = graph.save(tmp_path / "half.onnx", out if whole else graph("Cast", out, to=1))
    net = FrozenNet.from_onnx(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = points(4).astype(np.float16)
    found = [session.run(None, {"x": p.astype(graph.kind)})[0].reshape(()) for p in x]
    np.testing.assert_allclose(net(x.astype(float)), np.array(found, float), rtol=5e-3, atol=2e-2)
    np.testing.assert_array_equal(net.layers[0].b[0], onnx.numpy_helper.to_array(graph.weights[1]).astype(float))


@pytest.mark.parametrize("condition", [True, False])
def test_a_constant_condition_takes_its_branch(condition: bool, tmp_path: Path) -> None:
    graph = Graph(("N", 4))
    r = draw(7)
    z = graph("Relu", graph("MatMul", "x", r(4, 5)))
    branches = {}
    for name, factor in (("then", 2.0), ("else", 3.0)):
        weight = onnx.numpy_helper.from_array(np.float32(factor), f"{name}_factor")
        node = onnx.helper.make_node("Mul", [z, f"{name}_factor"], [f"{name}_out"])
        info = onnx.helper.make_tensor_value_info(f"{name}_out", 1, None)
        branches[f"{name}_branch"] = onnx.helper.make_graph([node], name, [], [info], [weight])
    chosen = graph("If", graph.weight(condition, np.bool_), name="choice", **branches)
    path = graph.save(tmp_path / "if.onnx", graph("ReduceSum", chosen, keepdims=0))
    net = FrozenNet.from_onnx(path)
    assert net.output.w.max() == (2.0 if condition else 3.0)
    close(net, path, points(4))


def test_a_condition_on_x_and_inner_graphs_that_read_x_are_refused(tmp_path: Path) -> None:
    graph = Graph((1, 4))
    positive = graph("Greater", graph("ReduceSum", "x", keepdims=0), 0.0, name="sign")
    with pytest.raises(ModelError, match=r"output '.*' is a condition on x, not a number"):
        FrozenNet.from_onnx(graph.save(tmp_path / "greater.onnx", positive))
    for tail in ("x", graph("Neg", "x")):  # not what softplus of x is far out, or no softplus at all
        chosen = graph(
            "Where", graph("Greater", "x", 20.0), tail, graph("Softplus", graph("Mul", "x", 2.0)), name="pick"
        )
        path = graph.save(tmp_path / "where.onnx", graph("ReduceSum", chosen, keepdims=0))
        with pytest.raises(ModelError, match="Where 'pick' has a condition on x, which is not convex in general"):
            FrozenNet.from_onnx(path)
    info = onnx.helper.make_tensor_value_info
    graph = Graph((1, 4))
    positive = graph("Greater", graph("ReduceSum", "x", keepdims=0), 0.0)
    branch = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["n"])], "b", [], [info("n", 1, None)])
    chosen = graph("If", positive, name="choice", then_branch=branch, else_branch=branch)
    with pytest.raises(ModelError, match="If 'choice' has a condition that depends on x"):
        FrozenNet.from_onnx(graph.save(tmp_path / "if_x.onnx", graph("ReduceSum", chosen, keepdims=0)))
    graph = Graph((1, 4))
    info = onnx.helper.make_tensor_value_info
    body = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Add", ["state", "x"], ["next"]),
            onnx.helper.make_node("Identity", ["go"], ["still"]),
        ],
        "body",
        [info("step", 7, []), info("go", 9, []), info("state", 1, None)],
        [info("still", 9, []), info("next", 1, None)],
    )
    start = graph.weight(np.zeros((1, 4)))
    out = graph("Loop", graph.weight(3, np.int64), graph.weight(True, np.bool_), start, body=body, name="loop")
    with pytest.raises(ModelError, match="Loop 'loop' has an inner graph that reads x, which is not read; unroll it"):
        FrozenNet.from_onnx(graph.save(tmp_path / "loop.onnx", graph("ReduceSum", out, keepdims=0)))


@pytest.mark.parametrize("opset", [10, 13, 17, 19, 21, 23])
@pytest.mark.parametrize("per_axis", [True, False])
def test_dequantised_weights(opset: int, per_axis: bool, tmp_path: Path) -> None:
    if opset == 10 and per_axis:
        return  # one scale for each tensor only
    graph = Graph((1, 4), opset=opset)
    rng = np.random.default_rng(8)
    q = graph.weight(rng.integers(-128, 128, size=(4, 5)), np.int8)
    scale = graph.weight(0.01 * (1 + rng.random(5 if per_axis else ())))
    zero = graph.weight(rng.integers(-5, 5, size=5 if per_axis else ()), np.int8)
    weight = graph("DequantizeLinear", q, scale, zero, **({"axis": 1} if per_axis else {}))
    u = graph.weight(rng.integers(0, 256, size=(5, 1)), np.uint8)
    read_out = graph("DequantizeLinear", u, graph.weight(0.02))
    out = graph("MatMul", graph("Relu", graph("MatMul", "x", weight)), read_out)
    path = graph.save(tmp_path / "quantised.onnx", out)
    # as written, because onnxruntime's fusions quantise x too, which moves values by 1e-3
    close(FrozenNet.from_onnx(path), path, points(4), as_written=True)


def test_the_mask_of_dropout(tmp_path: Path) -> None:
    graph = Graph((1, 4))
    z, mask = graph("Dropout", "x", outputs=2, name="drop")
    kept = graph("Mul", z, graph("Cast", mask, to=1))
    path = graph.save(tmp_path / "mask.onnx", graph("ReduceSum", graph("Relu", kept), keepdims=0))
    close(FrozenNet.from_onnx(path), path, points(4))
    graph = Graph((1, 4))
    training = graph.weight(True, np.bool_)
    z = graph("Dropout", "x", graph.weight(0.5), training, name="drop")
    with pytest.raises(ModelError, match="Dropout 'drop' is in training mode and drops entries at random"):
        FrozenNet.from_onnx(graph.save(tmp_path / "training.onnx", graph("ReduceSum", z, keepdims=0)))


KINDS = {
    "Min": (lambda g: g("Min", "x", 0.0, name="n"), r"Min 'n' \(layer 1\) is not read; min\(a, b\) is not convex"),
    "ReduceMin": (lambda g: g("ReduceMin", "x", name="n"), r"ReduceMin 'n' \(layer 1\) is not read; a minimum is not"),
    "later": (lambda g: g("Elu", g("Relu", "x"), name="n"), r"Elu 'n' \(layer 2\) is of a kind that has no progr"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_that_are_not_read_say_what_to_write(kind: str, tmp_path: Path) -> None:
    make, said = KINDS[kind]
    graph = Graph((1, 4))
    with pytest.raises(ModelError, match=said):
        FrozenNet.from_onnx(graph.save(tmp_path / "kind.onnx", graph("ReduceSum", make(graph), keepdims=0)))


def test_nodes_out_of_order_and_missing_ones(tmp_path: Path) -> None:
    graph = Graph((1, 4))
    z = graph("Relu", "x", name="act")
    out = graph("ReduceSum", z, keepdims=0, name="sum")
    graph.nodes.reverse()
    said = r"order.onnx is not a valid ONNX file: ReduceSum 'sum' reads 't0_0', which no node before it makes"
    with pytest.raises(FileError, match=said):
        FrozenNet.from_onnx(graph.save(tmp_path / "order.onnx", out))
    with pytest.raises(FileError, match=r"nothing.onnx is not a valid ONNX file: no node makes its output 'nothing'"):
        FrozenNet.from_onnx(graph.save(tmp_path / "nothing.onnx", "nothing"))


def test_constants_that_cannot_be_computed_are_named(tmp_path: Path) -> None:
    graph = Graph((1, 4))
    graph.nodes.append(onnx.helper.make_node("Fancy", [graph.weight(np.ones(4))], ["c"], name="own", domain="my.own"))
    path = graph.save(tmp_path / "own.onnx", graph("ReduceSum", graph("Mul", "x", "c"), keepdims=0))
    with pytest.raises(ModelError, match="Fancy 'own' cannot be computed from its constant inputs"):
        FrozenNet.from_onnx(path)
    graph = Graph((1, 4))
    graph.nodes.append(
        onnx.helper.make_node(
            "FusedMatMul", ["x", graph.weight(np.ones((4, 1)))], ["c"], name="f", domain="com.microsoft"
        )
    )
    with pytest.raises(
        ModelError, match=r"FusedMatMul 'f' \(layer 1\) is not read; save the graph without the fusions"
    ):
        FrozenNet.from_onnx(graph.save(tmp_path / "fused.onnx", "c"))


def test_old_opsets_are_refused(tmp_path: Path) -> None:
    graph = Graph((1, 4), opset=6)
    with pytest.raises(ModelError, match=r"has opset 6, which is not read .*convert_version"):
        FrozenNet.from_onnx(graph.save(tmp_path / "old.onnx", graph("ReduceSum", "x", keepdims=0)))


def test_sparse_weights_are_refused(tmp_path: Path) -> None:
    model = onnx.load(str(icnn(tmp_path)))
    dense = onnx.helper.make_tensor("w0", 1, [1], [1.0])
    model.graph.sparse_initializer.append(
        onnx.helper.make_sparse_tensor(dense, onnx.helper.make_tensor("i", 7, [1], [0]), [4])
    )
    with pytest.raises(ModelError, match="stores sparse weights, which are not read; store them dense"):
        FrozenNet.from_onnx(model)


def test_values_of_bfloat16_weights(tmp_path: Path) -> None:
    """A graph whose weights are stored in bfloat16 and lifted to float32."""
    graph = Graph((1, 4))
    r = draw(9)
    name = graph.weight(r(4, 5))
    kept = onnx.numpy_helper.to_array(graph.weights.pop())
    raw = (kept.view(np.uint32) >> 16).astype(np.uint16)
    graph.weights.append(onnx.helper.make_tensor(name, onnx.TensorProto.BFLOAT16, (4, 5), raw.tobytes(), raw=True))
    u = graph("Relu", graph("MatMul", "x", graph("Cast", name, to=1)))
    path = graph.save(tmp_path / "bfloat.onnx", graph("ReduceSum", u, keepdims=0))
    net = FrozenNet.from_onnx(path)
    rounded = (raw.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(np.asarray(net.layers[0].U), rounded.T.astype(float))
    x = points(4)
    np.testing.assert_allclose(net(x[:, 0]), values(path, x), rtol=1e-5, atol=1e-5)
