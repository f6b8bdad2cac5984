"""Quadratics inside layers: forward, program, witness, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from socicnn._compile import compile_net, value_program
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Output, Squares
from tests.contracts.frozen import FrozenContract
from tests.support.cases import witness_errors
from tests.support.squares import CASES, N, net


def test_forward_is_the_formula_written_out() -> None:
    model, x = net(), np.array([0.3, -0.2, 1.1, 0.4])
    z = np.zeros(0)
    for layer in model.layers:
        inside = layer.squares
        a = layer.U @ x + layer.b[0] + layer.W @ z
        k = inside.rows
        for i in range(len(a)):
            p = inside.F[i * k : (i + 1) * k] @ x + inside.g[0, i * k : (i + 1) * k]
            a[i] += inside.rho[i] * (p @ p)
        z = np.maximum(a, 0)
    quad, norm = model.quadratics[0], model.norms[0]
    u = norm.C @ x + norm.d[0]
    expected = model.output.w @ z + model.output.v @ x + 0.5 + 0.7 * ((quad.A @ x + quad.e[0]) ** 2).sum()
    expected += 0.3 * (np.hypot(u[0], u[1]) + np.hypot(u[2], u[3]))
    assert model(x)[0] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("name", [name for name in CASES if name != "stacked contexts"])
class TestSquares(FrozenContract):
    @pytest.fixture(autouse=True)
    def _net(self, name: str) -> None:
        self.net = net(11, **CASES[name])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
def test_the_witness_proves_the_forward_value(name: str, scale: float) -> None:
    model = net(2, **CASES[name])
    x = scale * np.random.default_rng(6).normal(size=(12, N))
    compiled = compile_net(model)
    assert len(compiled.program.lifts) == 1 + sum(k.width for k in model.layers if k.inner)
    errors = witness_errors(compiled, x, model(x))
    assert max(errors.values()) <= 1e-12, errors


@pytest.mark.parametrize("name", CASES)
def test_solvers_agree_with_the_forward_value(name: str) -> None:
    model = net(3, **CASES[name])
    model = model if model.contexts is None else model[4]
    x = np.random.default_rng(7).normal(size=N)
    for solver in ("clarabel", "ecos"):
        solution = value_program(model).at(x).solve(solver)
        assert solution.ok
        assert solution.value == pytest.approx(model(x)[0], abs=1e-6, rel=1e-6)


def test_stacked_contexts_select_to_single_networks() -> None:
    model, x = net(4, contexts=5), np.random.default_rng(8).normal(size=(5, N))
    np.testing.assert_allclose(model(x), [model[i](x[i])[0] for i in range(5)], rtol=1e-13)
    part = compile_net(model).part(slice(1, 3))
    errors = witness_errors(part, x[1:3], model(x)[1:3])
    assert max(errors.values()) <= 1e-12


def test_quadratics_without_weight_are_left_out() -> None:
    model = net(5)
    inside = replace(model.layers[0].squares, rho=np.zeros(5))
    layers = [replace(model.layers[0], squares=inside), model.layers[1]]
    bare = FrozenNet(layers, model.output, model.quadratics, model.norms)
    assert bare.layers[0].inner == ()
    assert bare.layers[0].squares.F.shape == (0, N)


def test_a_wrong_weight_in_the_program_is_seen_by_the_witness_check() -> None:
    model, x = net(6), np.random.default_rng(9).normal(size=(6, N))
    compiled = compile_net(model)
    bad = FrozenNet(
        [replace(k, squares=replace(k.squares, rho=1.1 * k.squares.rho)) for k in model.layers],
        model.output,
        model.quadratics,
        model.norms,
    )
    errors = witness_errors(compile_net(bad), x, model(x))
    assert max(errors.values()) > 1e-6
    mixed = witness_errors(replace(compiled, program=compile_net(bad).program), x, model(x))
    assert max(mixed.values()) > 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rho": [1.0, -0.5, 1.0]},
            r"weight rho of the quadratics in layer 1 has 1 negative entries \(least -5.0e-01\)",
        ),
        ({"rho": [1.0, 1.0]}, "weight rho of the quadratics in layer 1 must have length 3"),
        ({"rho": np.ones((2, 3))}, "the same in every context"),
        ({"F": np.ones((5, N))}, "equally many rows of F for each of 3 units; .*F of 5 rows"),
        ({"F": np.ones((6, 3))}, r"matrix F of the quadratics in layer 1 must have shape \(rows, 4\)"),
        ({"F": np.full((6, N), np.nan)}, "matrix F of the quadratics in layer 1 has 24 non-finite"),
        ({"g": np.ones(3)}, "offset g of the quadratics in layer 1 must have length 6"),
    ],
)
def test_refusals_name_the_array(changes, message) -> None:
    parts = {"rho": [1.0, 0.0, 1.0], "F": np.ones((6, N)), "g": None}
    with pytest.raises(ModelError, match=message):
        FrozenNet([Layer(None, None, [0.0] * 3, Squares(**(parts | changes)))], Output([1.0] * 3, [0.0] * N))
