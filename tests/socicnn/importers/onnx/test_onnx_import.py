"""Graphs that others wrote: read exactly where they are convex."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import verify
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from tests.support.graphs import Graph, close, draw, mlp, values

pytestmark = pytest.mark.extra


def points(n: int, count: int = 8, batch: bool = True) -> Any:
    x = 2 * np.random.default_rng(5).normal(size=(count, n))
    return x[:, None, :] if batch else x


@pytest.mark.parametrize("passthrough", [True, False])
@pytest.mark.parametrize("opset_gemm", [True, False])
def test_icnn(passthrough: bool, opset_gemm: bool, tmp_path: Path) -> None:
    graph = Graph(("batch", 4))
    z, r = mlp(graph, passthrough, opset_gemm)
    out = graph("Add", graph("MatMul", z, abs(r(5, 1))), graph("Gemm", "x", r(4, 1), r(1)))
    path = graph.save(tmp_path / "icnn.onnx", out)
    net = FrozenNet.from_onnx(path)
    assert net.hidden_features == (6, 5)
    close(net, path, points(4))


def test_weights_are_exact(tmp_path: Path) -> None:
    """float64 graph: the arrays come through bit for bit."""
    r = draw()
    U, b, W, w, v = r(3, 2), r(3), abs(r(2, 3)), abs(r(2)), r(2)
    graph = Graph(("batch", 2), kind=np.float64)
    z = graph("Relu", graph("Gemm", "x", U, b, transB=1))
    z = graph("Relu", graph("MatMul", z, W.T))
    out = graph("Add", graph("MatMul", z, w), graph("MatMul", "x", v))
    net = FrozenNet.from_onnx(graph.save(tmp_path / "f64.onnx", out))
    np.testing.assert_array_equal(net.layers[0].U, U)
    np.testing.assert_array_equal(net.layers[0].b[0], b)
    np.testing.assert_array_equal(net.layers[1].W, W)
    np.testing.assert_array_equal(net.output.w[0], w)
    np.testing.assert_array_equal(net.output.v[0], v)
    assert net.output.c == 0


@pytest.mark.parametrize("opset", [11, 13, 18, 20])
@pytest.mark.parametrize("form", ["pow", "mul", "square_sum"])
def test_branches(opset: int, form: str, tmp_path: Path) -> None:
    """beta ||A x + e||^2 + gamma ||C x + d|| + weights on single squares, in old and new opsets."""
    graph = Graph((1, 4), opset=opset)
    r = draw(1)

    def reduce(op: str, tensor: str, keep: int = 1) -> str:
        as_input = opset >= 18 or (op == "ReduceSum" and opset >= 13)
        if as_input:
            return graph(op, tensor, graph.integers(-1), keepdims=keep)
        return graph(op, tensor, axes=[1], keepdims=keep)

    p = graph("Gemm", "x", r(4, 3), r(3), name="p")
    if form == "square_sum":
        q = reduce("ReduceSumSquare", p)
    else:
        q = reduce("ReduceSum", graph("Pow", p, 2.0) if form == "pow" else graph("Mul", p, p))
    u = graph("Add", graph("MatMul", "x", r(4, 5)), r(5))
    weighted = graph("MatMul", graph("Mul", u, u), abs(r(5, 1)))
    s = reduce("ReduceL2", graph("Sub", graph("MatMul", "x", r(4, 2)), r(2)))
    out = graph("Add", graph("Add", graph("Mul", q, 0.7), graph("Div", s, 2.0)), weighted)
    path = graph.save(tmp_path / "branches.onnx", out)
    net = FrozenNet.from_onnx(path)
    assert net.hidden_features == ()
    assert sorted(float(q.beta[0]) for q in net.quadratics)[3] == pytest.approx(0.7)
    assert [float(s.gamma[0]) for s in net.norms] == [0.5]
    close(net, path, points(4))


def test_root_of_a_sum_of_squares_is_a_norm(tmp_path: Path) -> None:
    graph = Graph((1, 4))
    r = draw(2)
    u = graph("MatMul", "x", r(4, 3))
    sums = graph("Add", graph("ReduceSum", graph("Mul", u, u), graph.integers(1)), 0.25)
    out = graph("Add", graph("Sqrt", sums), graph("Pow", graph("ReduceSumSquare", "x", graph.integers(1)), 0.5))
    path = graph.save(tmp_path / "sqrt.onnx", out)
    net = FrozenNet.from_onnx(path)
    assert sorted(norm.C.shape[0] for norm in net.norms) == [4, 4]
    close(net, path, points(4))


def test_read_out_of_every_layer_and_skips_between_layers(tmp_path: Path) -> None:
    """Residual connections: units needed higher up are carried there."""
    graph = Graph((1, 4))
    r = draw(3)
    z1 = graph("Relu", graph("Gemm", "x", r(4, 6), r(6)))
    z2 = graph("Relu", graph("Gemm", z1, abs(r(6, 6)), r(6)))
    z3 = graph("Relu", graph("Add", graph("MatMul", z2, abs(r(6, 6))), z1))
    z4 = graph("Relu", graph("Add", graph("Gemm", z3, abs(r(6, 3)), r(3)), graph("MatMul", "x", r(4, 3))))
    parts = [graph("MatMul", z, abs(r(size, 1))) for z, size in ((z1, 6), (z2, 6), (z4, 3))]
    path = graph.save(tmp_path / "skips.onnx", graph("Sum", *parts))
    net = FrozenNet.from_onnx(path)
    assert net.hidden_features == (6, 12, 18, 15)
    close(net, path, points(4), 5e-6)


def test_quadratics_inside_units(tmp_path: Path) -> None:
    """Low rank plus diagonal in every unit, as ott-jax has it; other units have none, or weights of their own."""
    graph = Graph((1, 4))
    r = draw(11)
    h = 3
    low = graph("Reshape", graph("Gemm", "x", r(4, h * 2), r(h * 2)), graph.integers(1, h, 2))
    low = graph("ReduceSumSquare", low, graph.integers(2), keepdims=0)
    first = graph("Relu", graph("Add", graph("Gemm", "x", r(4, h), r(h)), graph("Mul", low, 0.5)))
    plain = graph("Relu", graph("Gemm", "x", r(4, 2), r(2)))
    inside = graph("Add", low, graph("MatMul", graph("Pow", "x", 2.0), abs(r(4, h))))
    second = graph("Relu", graph("Sum", graph("MatMul", first, abs(r(h, h))), inside, graph("MatMul", "x", r(4, h))))
    out = graph("Sum", *(graph("MatMul", z, abs(r(size, 1))) for z, size in ((first, h), (plain, 2), (second, h))))
    path = graph.save(tmp_path / "inside.onnx", out)
    net = FrozenNet.from_onnx(path)
    assert net.hidden_features == (h, h + h + 2)  # plain ones stand as late as their reader allows
    one, two = (layer.squares for layer in net.layers)
    assert one.rho.tolist() == [0.5, 0.5, 0.5]
    assert sorted(two.rho.tolist())[: 2 + h] == [0.0] * (2 + h)
    assert (one.rows, two.rows) == (2, 2 + 4)
    assert np.count_nonzero(two.rho) == h
    close(net, path, points(4), 5e-6)
    verify.equivalence(net, points(4)[:, 0], proof=True).raise_if_failed()


EINSUMS = {
    "bti,tji->btj": ((1, 3, 4), (3, 2, 4)),
    "...ti,tji->...tj": ((1, 3, 4), (3, 2, 4)),
    "...ij,kj->i...k": ((1, 3, 4), (2, 4)),
    "bti,ti": ((1, 3, 4), (3, 4)),
    "bti,b->it": ((1, 3, 4), (1,)),
    "bii,ij->bij": ((1, 3, 3), (3, 2)),
    "b t i -> b i": ((1, 3, 4), None),
}


@pytest.mark.parametrize("equation", EINSUMS)
def test_einsum(equation: str, tmp_path: Path) -> None:
    shape, other = EINSUMS[equation]
    graph = Graph(shape)
    r = draw(12)
    product = graph("Einsum", "x", *([] if other is None else [r(*other)]), equation=equation)
    out = graph("ReduceSum", graph("Relu", graph("Add", product, 0.25)), keepdims=0)
    path = graph.save(tmp_path / "einsum.onnx", out)
    close(FrozenNet.from_onnx(path), path, np.random.default_rng(0).normal(size=(5, *shape)))


@pytest.mark.parametrize("weight", [(3, 4, 2), (1, 4, 2), (2, 1, 4, 2)])
@pytest.mark.parametrize("first", [True, False])
def test_products_of_stacks_of_matrices(weight: tuple[int, ...], first: bool, tmp_path: Path) -> None:
    graph = Graph((1, 3, 2, 4) if first else (1, 3, 2, 5))
    W = draw(13)(*weight)
    product = graph("MatMul", "x", W) if first else graph("MatMul", W, "x")
    path = graph.save(tmp_path / "stack.onnx", graph("ReduceSum", graph("Relu", product), keepdims=0))
    net = FrozenNet.from_onnx(path)
    close(net, path, np.random.default_rng(0).normal(size=(5, 1, *net.input_shape)))


def test_a_vector_times_a_stack_of_matrices(tmp_path: Path) -> None:
    graph = Graph((1, 3, 2, 5))
    product = graph("MatMul", draw(14)(2), "x")
    path = graph.save(tmp_path / "vector.onnx", graph("ReduceSum", graph("Relu", product), keepdims=0))
    close(FrozenNet.from_onnx(path), path, np.random.default_rng(0).normal(size=(5, 1, 3, 2, 5)))


def test_unread_units_are_left_out(tmp_path: Path) -> None:
    graph = Graph((1, 4))
    _, r = mlp(graph)
    out = graph("MatMul", graph("Relu", graph("MatMul", "x", r(4, 2))), abs(r(2, 1)))
    assert FrozenNet.from_onnx(graph.save(tmp_path / "unread.onnx", out)).hidden_features == (2,)


def test_many_different_weights_become_one_branch(tmp_path: Path) -> None:
    graph = Graph((1, 100))
    r = draw(10)
    squares = graph("MatMul", graph("Mul", "x", "x"), abs(r(100, 1)))
    pairs = graph("Reshape", graph("Add", "x", r(100)), graph.integers(1, 50, 2))
    lengths = graph("MatMul", graph("ReduceL2", pairs, graph.integers(2), keepdims=0), abs(r(50, 1)))
    triples = graph("Reshape", graph("Pad", "x", graph.integers(0, 0, 0, 110)), graph.integers(1, 70, 3))
    many = graph("MatMul", graph("ReduceL2", triples, graph.integers(2), keepdims=0), abs(r(70, 1)))
    path = graph.save(tmp_path / "many.onnx", graph("Sum", squares, lengths, many))
    net = FrozenNet.from_onnx(path)
    assert len(net.quadratics) == 1
    assert [len(net.norms), net.norms[-1].group] == [51, 3]
    close(net, path, points(100), 5e-6)


def test_what_moves_entries_about(tmp_path: Path) -> None:
    graph = Graph((1, 2, 3, 4))
    r = draw(6)
    t = graph("Transpose", "x", perm=[0, 3, 1, 2])  # 1 4 2 3
    t = graph("Reshape", t, graph.integers(0, 2, -1))  # 1 2 12
    first, second = graph("Split", t, graph.integers(5, 7), axis=2, outputs=2)
    padded = graph("Pad", first, graph.integers(0, 0, 1, 0, 0, 1))  # 1 2 7
    both = graph("Concat", padded, second, graph("Identity", graph.weight(r(1, 1, 7))), axis=1)  # 1 5 7
    cut = graph("Slice", both, graph.integers(1), graph.integers(6), graph.integers(2), graph.integers(2))  # 1 5 3
    one = graph("Gather", cut, graph.weight(3, np.int64), axis=1)  # 1 3
    wide = graph("Unsqueeze", graph("Squeeze", one, graph.integers(0)), graph.integers(0))
    spread = graph("Expand", graph("Neg", wide), graph.integers(3, 3))
    shape = graph("Shape", spread)
    spread = graph("Reshape", graph("Add", spread, graph("Gather", cut, graph.weight(0, np.int64), axis=1)), shape)
    z = graph("Relu", graph("MatMul", spread, r(3, 2)))
    z = graph("Cast", graph("Dropout", graph("Tile", z, graph.integers(1, 2))), to=1)
    out = graph("ReduceSum", graph("Relu", graph("Concat", graph("MatMul", abs(r(2, 3)), z), z, axis=0)), keepdims=0)
    path = graph.save(tmp_path / "moves.onnx", out)
    close(FrozenNet.from_onnx(path), path, np.random.default_rng(0).normal(size=(5, 1, 2, 3, 4)), 5e-6)


def test_a_constant_mask_chooses(tmp_path: Path) -> None:
    graph = Graph(("n", 4))
    mask = graph.weight([True, False, True, False], np.bool_)
    z = graph("Relu", graph("Where", mask, "x", graph("Neg", "x")))
    out = graph("ReduceSum", graph("Where", mask, z, graph.weight([-np.inf, 1, np.inf, 2])), keepdims=0)
    path = graph.save(tmp_path / "where.onnx", out)
    close(FrozenNet.from_onnx(path), path, points(4))


def test_constants_are_computed_in_their_own_type(tmp_path: Path) -> None:
    """Weights behind a softplus: the network really uses the float32 result."""
    graph = Graph(("n", 4))
    r = draw(7)
    theta = r(4, 3)
    weight = graph("Transpose", graph("Softplus", graph.weight(theta.T)), perm=[1, 0])
    z = graph("Relu", graph("MatMul", "x", r(4, 4)))
    path = graph.save(tmp_path / "soft.onnx", graph("ReduceSum", graph("Relu", graph("MatMul", z, weight)), keepdims=0))
    net = FrozenNet.from_onnx(path)
    W = net.layers[1].W
    np.testing.assert_array_equal(W, np.asarray(W, dtype=np.float32))
    np.testing.assert_allclose(W, np.log1p(np.exp(theta.T)), rtol=1e-6)
    close(net, path, points(4))


def test_input_without_a_batch(tmp_path: Path) -> None:
    graph = Graph((4,))
    r = draw(8)
    z = graph("Relu", graph("Add", graph("MatMul", r(6, 4), "x"), r(6)))
    out = graph("Sub", graph("MatMul", abs(r(6)), z), graph("MatMul", "x", r(4)))
    path = graph.save(tmp_path / "vector.onnx", out)
    close(FrozenNet.from_onnx(path), path, points(4, batch=False))


def test_a_fixed_whole_number_is_not_rounded(tmp_path: Path) -> None:
    """2.7 chose the row of 2."""
    from tests.support.graphs import onnx

    graph = Graph((1, 4))
    graph.inputs.append(onnx.helper.make_tensor_value_info("kind", onnx.TensorProto.INT64, [1]))
    chosen = graph("Gather", draw(9)(3, 4), "kind")
    path = graph.save(tmp_path / "kind.onnx", graph("ReduceSum", graph("Mul", "x", chosen), keepdims=0))
    assert FrozenNet.from_onnx(path, fixed={"kind": [2.0]})(np.ones(4))[0] == pytest.approx(draw(9)(3, 4)[2].sum())
    with pytest.raises(ModelError, match=r"input 'kind' must be finite and one that int64 holds; received \[2.7\]"):
        FrozenNet.from_onnx(path, fixed={"kind": [2.7]})


def test_a_fixed_second_input(tmp_path: Path) -> None:
    from tests.support.graphs import onnx

    graph = Graph(("n", 4))
    graph.inputs.append(onnx.helper.make_tensor_value_info("context", 1, ["n", 3]))
    r = draw(9)
    shift = graph("Tanh", graph("MatMul", "context", r(3, 6)))
    z = graph("Relu", graph("Add", graph("MatMul", "x", r(4, 6)), shift))
    w = graph("Exp", graph("MatMul", "context", r(3, 6)))
    out = graph("ReduceSum", graph("Mul", z, w), graph.integers(1), keepdims=0)
    path = graph.save(tmp_path / "context.onnx", out)
    for theta in (np.zeros(3), r(3)):
        net = FrozenNet.from_onnx(path, fixed={"context": theta})
        found = values(path, points(4), context=theta[None])
        np.testing.assert_allclose(net(points(4)[:, 0]), found, rtol=2e-5, atol=1e-5)
    with pytest.raises(ModelError, match="inputs left are x, context: give the others a number"):
        FrozenNet.from_onnx(path)
    with pytest.raises(ModelError, match="no input 'theta' to fix; its inputs are x, context"):
        FrozenNet.from_onnx(path, fixed={"theta": r(3)})
    with pytest.raises(ModelError, match=r"the number for input 'context' must have shape \(1, 3\)"):
        FrozenNet.from_onnx(path, fixed={"context": r(2)})
    with pytest.raises(ModelError, match="number for input 'context' must be finite and one that float32 holds"):
        FrozenNet.from_onnx(path, fixed={"context": [0.0, 1e300, 0.0]})
    with pytest.raises(ModelError, match="inputs left are none"):
        FrozenNet.from_onnx(path, fixed={"context": r(3), "x": r(4)})
    with pytest.raises(ModelError, match="Tanh"):
        FrozenNet.from_onnx(path, fixed={"x": r(4)})
