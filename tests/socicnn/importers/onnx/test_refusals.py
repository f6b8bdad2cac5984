"""Graphs that are refused: by the name of the node, and by what is wrong with the file."""

from pathlib import Path

import numpy as np
import pytest

from socicnn._files import FileError
from socicnn.errors import MissingExtra, ModelError
from socicnn.frozen import FrozenNet
from tests.support.graphs import Graph, mlp

pytestmark = pytest.mark.extra


def read(graph: Graph, tmp_path: Path, *outputs: str) -> FrozenNet:
    return FrozenNet.from_onnx(graph.save(tmp_path / "g.onnx", *outputs))


def test_a_negative_hidden_weight_is_named(tmp_path: Path) -> None:
    graph = Graph(("batch", 4))
    z, r = mlp(graph)
    W = abs(r(5, 3))
    W[2, 1], W[0, 0] = -0.5, -0.25
    a = graph("MatMul", z, W, name="fc3")
    out = graph("ReduceSum", graph("Relu", a, name="act3"), keepdims=0)
    with pytest.raises(
        ModelError, match=r"Relu 'act3' \(layer 3\) takes MatMul 'fc3' with 2 negative .* \(least -5.0e-01\)"
    ):
        read(graph, tmp_path, out)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("read_out", r"output '.*' reads Relu 'relu2' with 5 negative hidden weights"),
        ("square", r"output '.*' reads Mul 'sq' with 4 negative quadratic weights \(least -1.0e\+00\)"),
        ("norm", r"output '.*' reads ReduceL2 'len' with 1 negative norm weights"),
        ("subtracted", r"reads Relu 'relu2' with 5 negative"),
        ("tanh", r"Tanh 'squash' \(layer 3\) is of a kind that has no program here"),
        ("elu", r"Elu 'bent' \(layer 1\) is of a kind that has no program here"),
        ("log_sum_exp", r"ReduceLogSumExp 'lse' takes the logarithm of a sum of exponentials of Relu 'relu2'"),
        ("product", r"Mul 'times' makes a quadratic form that is not positive semidefinite \(eigenvalues from -1"),
        ("product_inside", r"Relu 'outer' takes, from Mul 'times', a quadratic form that is not positive semidef"),
        (
            "product_of_units",
            r"Mul 'times' multiplies something that is not affine in x \(it depends on Relu 'relu2'\)",
        ),
        ("matrix_product", r"MatMul 'quad' makes a quadratic form that is not positive semidefinite"),
        ("leaky_above", r"LeakyRelu 'leak' \(layer 1\) has slope 1.5, above 1: its graph bends down at 0"),
        ("leaky_below", r"LeakyRelu 'leak' \(layer 3\) has slope -0.25, below 0, and takes Relu 'relu2'"),
        ("p_relu", r"PRelu 'leak' \(layer 3\) has slope 2, above 1"),
        ("slope_of_x", r"PRelu 'leak' has slopes that depends on x"),
        ("clip", r"Clip 'six' clips from above, at 6: min\(a, 6\) bends down"),
        ("abs", r"Abs 'size' \(layer 3\) takes the absolute value of Relu 'relu2'"),
        ("l1", r"ReduceL1 'size' \(layer 3\) takes the absolute value of Relu 'relu2'"),
        ("max", r"Max 'most' \(layer 3\) takes the maximum of Relu 'relu2' and Mul 'sq'; at most one of"),
        ("min", r"Min 'least' \(layer 3\) is not read; min\(a, b\) is not convex"),
        ("batch", r"Relu 'outer' \(layer 3\) takes BatchNormalization 'bn' with 2 negative hidden weights"),
        (
            "batch_out",
            r"output '.*' reads Relu 'relu2' with 2 negative hidden weights \(least .*, after Batch.* 'bn'",
        ),
        ("training", r"BatchNormalization 'bn' is in training mode"),
        ("cube", r"Pow 'cube' has exponent \[3.*\]"),
        ("power", r"Pow 'power' has an exponent that depends on x"),
        ("quotient", r"Div 'ratio' has a divisor that depends on x"),
        ("square_of_relu", r"Mul 'sq' squares something that is not affine in x \(it depends on Relu 'relu2'\)"),
        ("norm_of_relu", r"ReduceL2 'len' takes the norm of something that is not affine in x"),
        ("root", r"Sqrt 'root' takes the root of something that is not a sum of squares"),
        ("root_of_negative", r"Sqrt 'root' takes the root of something that is not a sum of squares"),
        ("inside", r"Relu 'outer' \(layer 1\) takes .* with 1 negative norm weights"),
        ("negative_inside", r"Relu 'outer' \(layer 1\) takes MatMul 'fc' with 3 negative quadratic weights"),
        ("einsum", r"Einsum 'outer' makes a quadratic form that is not positive semidefinite"),
        ("three", r"Einsum 'outer' multiplies more than two expressions of x"),
        ("many", r"output '.*' has shape \(1, 5\); a convex function has one value per point"),
        ("integers", r"Cast 'cast' turns a function of x into something else than floats"),
        ("shapes", r"MatMul 'wrong' does not fit its inputs"),
        ("number", r"output '.*' does not depend on x"),
    ],
)
def test_what_is_not_convex_is_refused_by_name(kind: str, said: str, tmp_path: Path) -> None:
    graph = Graph(("batch", 4))
    z, r = mlp(graph)
    total = lambda t: graph("ReduceSum", t, keepdims=0)  # noqa: E731 (shorthand)
    scale = np.array([1.0, -1, 1, -1, 1])
    normalised = lambda: graph("BatchNormalization", z, scale, r(5), r(5), abs(r(5)), name="bn")  # noqa: E731 (shorthand)
    cases = {
        "read_out": lambda: graph("MatMul", z, -abs(r(5, 1))),
        "square": lambda: graph("Neg", total(graph("Mul", "x", "x", name="sq"))),
        "norm": lambda: graph("Mul", graph("ReduceL2", "x", keepdims=0, name="len"), -2.0),
        "subtracted": lambda: graph("Sub", total("x"), total(z)),
        "tanh": lambda: total(graph("Tanh", z, name="squash")),
        "elu": lambda: total(graph("Elu", "x", name="bent")),
        "log_sum_exp": lambda: graph("ReduceLogSumExp", z, keepdims=0, name="lse"),
        "product": lambda: total(graph("Mul", "x", graph("Sub", 1.0, "x"), name="times")),
        "product_inside": lambda: total(
            graph("Relu", total(graph("Mul", "x", graph("Sub", 1.0, "x"), name="times")), name="outer")
        ),
        "product_of_units": lambda: total(graph("Mul", z, graph("MatMul", "x", r(4, 5)), name="times")),
        "leaky_above": lambda: total(graph("LeakyRelu", "x", alpha=1.5, name="leak")),
        "leaky_below": lambda: total(graph("LeakyRelu", z, alpha=-0.25, name="leak")),
        "p_relu": lambda: total(graph("PRelu", z, np.array([0.5, 2.0, 0, 0, 0]), name="leak")),
        "slope_of_x": lambda: total(graph("PRelu", "x", "x", name="leak")),
        "clip": lambda: total(graph("Clip", z, 0.0, 6.0, name="six")),
        "abs": lambda: total(graph("Abs", graph("Sub", z, 1.0), name="size")),
        "l1": lambda: graph("ReduceL1", graph("Sub", z, 1.0), keepdims=0, name="size"),
        "max": lambda: graph("Max", total(z), total(graph("Mul", "x", "x", name="sq")), name="most"),
        "min": lambda: total(graph("Min", z, 1.0, name="least")),
        "batch": lambda: total(graph("Relu", normalised(), name="outer")),
        "batch_out": lambda: total(normalised()),
        "training": lambda: total(
            graph("BatchNormalization", z, *(np.ones(5) for _ in range(4)), training_mode=1, name="bn")
        ),
        "matrix_product": lambda: graph("MatMul", "x", graph("Transpose", graph("Neg", "x"), perm=[1, 0]), name="quad"),
        "cube": lambda: total(graph("Pow", "x", 3.0, name="cube")),
        "power": lambda: total(graph("Pow", 2.0, "x", name="power")),
        "quotient": lambda: total(graph("Div", 1.0, "x", name="ratio")),
        "square_of_relu": lambda: total(graph("Mul", z, z, name="sq")),
        "norm_of_relu": lambda: graph("ReduceL2", z, keepdims=0, name="len"),
        "root": lambda: total(graph("Sqrt", graph("Relu", "x"), name="root")),
        "root_of_negative": lambda: graph("Sqrt", graph("Sub", total(graph("Mul", "x", "x")), 1.0), name="root"),
        "inside": lambda: total(
            graph("Relu", graph("Neg", graph("ReduceL2", "x", keepdims=0, name="len")), name="outer")
        ),
        "negative_inside": lambda: total(
            graph(
                "Relu",
                graph("MatMul", graph("Mul", "x", "x"), np.array([[-1.0, 1], [0, 1], [-2, 1], [1, -1]]), name="fc"),
                name="outer",
            )
        ),
        "einsum": lambda: graph("Einsum", "x", -np.eye(4), "x", equation="bi,ij,bj->", name="outer"),
        "three": lambda: graph("Einsum", "x", "x", "x", equation="bi,bi,bi->", name="outer"),
        "many": lambda: z,
        "integers": lambda: graph("Cast", graph("Cast", total(z), to=7, name="cast"), to=1),
        "shapes": lambda: total(graph("MatMul", z, r(4, 2), name="wrong")),
        "number": lambda: graph("ReduceSum", graph.weight(r(3)), keepdims=0),
    }
    with pytest.raises(ModelError, match=said):
        read(graph, tmp_path, cases[kind]())


def test_inputs_and_outputs_that_cannot_be(tmp_path: Path) -> None:
    graph = Graph((8, 4))
    with pytest.raises(ModelError, match="input 'x' has a fixed batch of 8"):
        read(graph, tmp_path, graph("ReduceSum", "x", keepdims=0))
    graph = Graph(("batch", "features"))
    with pytest.raises(ModelError, match="all its sizes but the batch must be fixed"):
        read(graph, tmp_path, graph("ReduceSum", "x", keepdims=0))
    graph = Graph((1, 4))
    with pytest.raises(ModelError, match="one output; it has 2"):
        read(graph, tmp_path, graph("ReduceSum", "x", keepdims=0), graph("Relu", "x"))


def test_broken_and_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileError, match="does not exist"):
        FrozenNet.from_onnx(tmp_path / "nowhere.onnx")
    for name, content in {"text": b"hello world", "bytes": bytes(range(256)), "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match="is not a valid ONNX file"):
            FrozenNet.from_onnx(tmp_path / name)
    graph = Graph((1, 4))
    path = graph.save(tmp_path / "whole.onnx", graph("ReduceSum", graph("Relu", "x"), keepdims=0))
    half = tmp_path / "half.onnx"
    half.write_bytes(path.read_bytes()[:60])
    with pytest.raises(FileError, match="is not a valid ONNX file"):
        FrozenNet.from_onnx(half)
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r'pip install "socicnn\[onnx\]"'):
        FrozenNet.from_onnx(path)
