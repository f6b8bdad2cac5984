"""Quadratic forms x'Qx in the ways that people write them, with onnxruntime's values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import verify
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from tests.support.graphs import Graph, close, draw

pytestmark = pytest.mark.extra

FORMS = ("mul", "mul_reversed", "matmul", "einsum", "einsum_twice", "gemm", "shifted", "centred")


def form(graph: Graph, Q: Any, how: str) -> str:
    """x'Qx + 3, some with a shift of one factor or both."""
    sum_ = lambda tensor: graph("ReduceSum", tensor, keepdims=0)  # noqa: E731 (shorthand)
    column = lambda: graph("Transpose", "x", perm=[1, 0])  # noqa: E731 (shorthand)
    away = graph("Sub", "x", np.arange(1.0, 1 + len(Q)))
    made = {
        "mul": lambda: sum_(graph("Mul", "x", graph("MatMul", "x", Q))),
        "mul_reversed": lambda: sum_(graph("Mul", graph("MatMul", "x", Q), "x")),
        "matmul": lambda: graph("MatMul", "x", graph("MatMul", Q, column())),
        "einsum": lambda: graph("Einsum", "x", Q, "x", equation="bi,ij,bj->b"),
        "einsum_twice": lambda: graph("Einsum", graph("MatMul", "x", Q), "x", equation="bi,bi->b"),
        "gemm": lambda: graph("Gemm", graph("MatMul", "x", Q), "x", transB=1, alpha=0.5),
        "shifted": lambda: sum_(graph("Mul", away, graph("MatMul", "x", Q))),
        "centred": lambda: sum_(graph("Mul", away, graph("MatMul", away, Q))),
    }
    return str(graph("Add", made[how](), 3.0))


@pytest.mark.parametrize("how", FORMS)
@pytest.mark.parametrize("rank", [2, 4])
def test_forms(how: str, rank: int, tmp_path: Path) -> None:
    graph, r = Graph((1, 4), kind=np.float64), draw(1)
    A, skew = r(rank, 4), r(4, 4)
    Q = A.T @ A + skew - skew.T  # what is skew adds nothing to x'Qx
    path = graph.save(tmp_path / "form.onnx", form(graph, Q if how != "shifted" else A.T @ A, how))
    net = FrozenNet.from_onnx(path)
    (quadratic,) = net.quadratics
    assert quadratic.A.shape == (rank, 4)
    x = 3 * np.random.default_rng(2).normal(size=(6, 1, 4))
    close(net, path, x.astype(np.float32), 1e-12)
    verify.equivalence(net, x[:, 0], proof=True).raise_if_failed()


def test_a_form_inside_a_unit_and_a_mahalanobis_distance(tmp_path: Path) -> None:
    graph, r = Graph((1, 4)), draw(3)
    A = r(4, 4)
    inside = graph("Sub", form(graph, A.T @ A, "centred"), graph("MatMul", "x", r(4, 1)))
    away = graph("Sub", "x", r(4))
    length = graph("Sqrt", graph("Einsum", away, A.T @ A, away, equation="bi,ij,bj->b"))
    path = graph.save(tmp_path / "inside.onnx", graph("Add", graph("Relu", inside), graph("Mul", length, 0.5)))
    net = FrozenNet.from_onnx(path)
    assert len(net.norms) == 1
    close(net, path, 2 * np.random.default_rng(4).normal(size=(6, 1, 4)), 1e-5)


def test_the_root_of_a_form_that_is_not_a_square_is_refused(tmp_path: Path) -> None:
    """sqrt(x'x + 2 x_1 + 1/2) has a negative form in (x, 1); with 1 in place of 1/2 it is a norm."""
    for constant, fits in ((0.5, False), (1.0, True)):
        graph = Graph((1, 3), kind=np.float64)
        square = graph("Einsum", "x", np.eye(3), "x", equation="bi,ij,bj->b")
        inside = graph("Add", graph("Add", square, graph("MatMul", "x", np.array([2.0, 0, 0]))), constant)
        path = graph.save(tmp_path / "root.onnx", graph("Sqrt", inside, name="root"))
        if fits:
            close(FrozenNet.from_onnx(path), path, np.random.default_rng(5).normal(size=(5, 1, 3)).astype(np.float32))
        else:
            with pytest.raises(ModelError, match=r"Sqrt 'root' takes, from Einsum.* not positive semidefinite"):
                FrozenNet.from_onnx(path)


@pytest.mark.parametrize("least", [-1e-3, -1e-9])
def test_an_indefinite_form_is_refused_whatever_hides_it(least: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    V = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    Q = V @ np.diag([least, 1, 2, 3, 4]) @ V.T
    graph = Graph((1, 5), kind=np.float64)
    path = graph.save(tmp_path / "indefinite.onnx", form(graph, Q, "mul"))
    with pytest.raises(ModelError, match=r"not positive semidefinite \(eigenvalues from -"):
        FrozenNet.from_onnx(path)
