"""What an equivalence report must not be fooled by: wrong programs, wrong compilers, wrong freezes."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import verify
from socicnn._arrays import Array
from socicnn._compile import compile_net, value_program
from socicnn.frozen import FrozenNet, Output
from socicnn.nn import ICNN
from tests.support.frozen_nets import random_net
from tests.support.mutants import block, with_entry


@pytest.mark.parametrize("kind", ["negated_weight", "dropped_bias", "beta_sign", "swapped_x", "nan"])
def test_a_wrong_program_fails(kind: str) -> None:
    net = random_net(2)
    program = value_program(net)
    weight = np.flatnonzero(program.A.data > 0)[0]
    mutant = {
        "negated_weight": lambda: with_entry(program, "A", weight, -program.A.data[weight]),
        "dropped_bias": lambda: with_entry(program, "b", block(program, "relu1"), 0.0),
        "beta_sign": lambda: with_entry(program, "q", block(program, "t_quadratic1"), -1.0),
        "swapped_x": lambda: replace(program, B=type(program.B)(program.B.toarray()[:, [1, 0, 2, 3]])),
        "nan": lambda: with_entry(program, "b", 3, np.nan),
    }[kind]()
    x = np.random.default_rng(0).normal(size=(20, 4))
    report = verify.equivalence(net, x, program=mutant)
    assert not report.ok
    assert not report.passed.all()
    with pytest.raises(verify.VerificationError, match="check of"):
        report.raise_if_failed()
    assert "FAILED" in str(report)
    json.loads(report.to_json())


def transposed(matrix: Array) -> Array:
    return np.ascontiguousarray(matrix.T)


COMPILER_MUTANTS = {
    "dropped_bias": lambda net: replace(net, layers=[replace(layer, b=0 * layer.b) for layer in net.layers]),
    "negated_input_weight": lambda net: replace(net, layers=[replace(layer, U=-layer.U) for layer in net.layers]),
    "transposed_hidden_weight": lambda net: replace(
        net, layers=[net.layers[0], *(replace(layer, W=transposed(layer.W)) for layer in net.layers[1:])]
    ),
    "transposed_branch": lambda net: replace(net, norms=[replace(norm, C=transposed(norm.C)) for norm in net.norms]),
    "dropped_branch": lambda net: replace(net, quadratics=[]),
    "half_the_quadratic_weight": lambda net: replace(
        net, quadratics=[replace(quad, beta=quad.beta / 2) for quad in net.quadratics]
    ),
    "dropped_offset": lambda net: replace(net, quadratics=[replace(quad, e=None) for quad in net.quadratics]),
    "swapped_inputs": lambda net: replace(net, output=replace(net.output, v=net.output.v[:, ::-1])),
}


@pytest.mark.parametrize("kind", COMPILER_MUTANTS)
def test_a_wrong_compiler_fails(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It builds a consistent program and a consistent witness, of another network."""
    net = random_net(4, n=4, hidden=(4, 4), quadratic=(3,), norm=(4,))
    x = np.random.default_rng(0).normal(size=(20, 4))

    wrong = compile_net(COMPILER_MUTANTS[kind](net))
    monkeypatch.setattr(sys.modules["verify._equivalence"], "compile_net", lambda _: wrong)
    report = verify.equivalence(net, x, solvers=())
    assert report.residuals["gap"] < 1e-12 * (1 + np.abs(report.forward).max()) * 10
    assert report.residuals["stationarity"] < 1e-12
    failed = {check.name for check in report.checks if check.ok is False}
    assert failed == {"arrays", "forward", "program_value"}


def test_a_wrong_freeze_fails() -> None:
    class Wrong(ICNN):
        def freeze(self, context=None):
            net = super().freeze(context)
            return replace(net, layers=[replace(layer, b=layer.b + 1e-3) for layer in net.layers])

    right = ICNN(3, (6, 6))
    wrong = Wrong(3, (6, 6))
    wrong.load_state_dict(right.state_dict())
    x = torch.randn(10, 3)
    assert verify.equivalence(right, x).ok
    report = verify.equivalence(wrong, x)
    assert [check.name for check in report.checks if check.ok is False] == ["model_forward"]
    with pytest.raises(verify.VerificationError, match="model_forward at point"):
        report.raise_if_failed()


def test_cones_are_still_there_when_x_is_a_number() -> None:
    """A verifier that lets a modelling tool fold ||C x + d|| away checks nothing."""
    program = value_program(random_net(1))
    assert program.at(np.ones(4)).cones == program.cones
    assert len(program.cones.second_order) == 3
    assert verify.equivalence(random_net(1), np.ones(4)).sizes["cones"] == 3


def test_a_program_of_another_shape_fails() -> None:
    report = verify.equivalence(random_net(1), np.ones((2, 4)), program=value_program(random_net(1, hidden=(6, 4))))
    assert not report.ok
    with pytest.raises(verify.VerificationError, match="5 entries"):
        report.raise_if_failed()
    assert "FAILED" in str(report)
    assert report.forward == pytest.approx(random_net(1)(np.ones((2, 4))))


def test_brackets_tell_apart_what_the_tolerance_cannot() -> None:
    """A cost that is off by less than the tolerance: only the proof sees it."""
    net = FrozenNet([], Output([], [1.0, 2.0], 3.0))
    program = value_program(net)
    mutant = with_entry(program, "r", (), 3.0 + 1e-13)
    x = np.ones((3, 2))
    plain = verify.equivalence(net, x, program=mutant, solvers=())
    assert plain.passed.all()
    report = verify.equivalence(net, x, program=mutant, solvers=(), proof=True)
    failed = {check.name for check in report.checks if check.ok is False}
    assert failed == {"arrays", "program_bracket"}
