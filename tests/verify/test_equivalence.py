"""The public verification: what users call, and each way in which it must not be fooled."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import verify
from socicnn._arrays import Array
from socicnn._compile import compile_net, value_program
from socicnn.conic.solvers import Clarabel
from socicnn.conic.solvers._base import Answer, Engine
from socicnn.errors import MissingExtra, ModelError, SolverError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.nn import ICNN, SOCICNN
from tests.support.cases import CASES, Case
from tests.support.frozen_nets import NETS, random_net
from tests.support.mutants import block, with_entry


@cache
def proven(case: Case) -> tuple[verify.Report, Array]:
    """Return the report of a network at six points, and the model's own values."""
    model = case.model()
    x, contexts = case.points(model, 6), case.contexts(model, 6)
    report = verify.equivalence(model, x, contexts, proof=True, max_solver_points=2)
    return report, (model(x) if contexts is None else model(x, contexts)).detach().numpy()


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.exports], ids=lambda case: case.name)
class TestEveryNetwork:
    """Of each architecture: the proof, the values and the solver of one report."""

    @pytest.fixture(autouse=True)
    def _report(self, case: Case) -> None:
        self.report, self.values = proven(case)

    def test_it_is_proven(self, case: Case) -> None:
        assert self.report.ok, str(self.report)

    def test_the_forward_value_is_the_models(self, case: Case) -> None:
        assert np.allclose(self.report.forward, self.values)

    def test_the_bracket_holds_the_forward_value(self, case: Case) -> None:
        assert (self.report.lo <= self.report.forward).all()
        assert (self.report.forward <= self.report.hi).all()

    def test_the_solver_agrees(self, case: Case) -> None:
        clarabel = self.report.solvers["clarabel"]
        assert clarabel.solved.all()
        assert clarabel.error < 1e-6 * (1 + np.abs(self.report.forward).max())


@pytest.mark.parametrize("case", [case for case in CASES.values() if not case.exports], ids=lambda case: case.name)
def test_networks_without_a_program_are_refused(case: Case) -> None:
    model = case.model()
    with pytest.raises(ModelError, match="softplus"):
        verify.equivalence(model, case.points(model, 2), case.contexts(model, 2))


@pytest.mark.parametrize("name", NETS)
def test_frozen_networks_are_verified(name: str) -> None:
    net = random_net(5, **NETS[name])
    report = verify.equivalence(net, np.zeros(net.in_features))
    assert report.ok, str(report)
    assert report.forward.shape == (1,)
    report.raise_if_failed()


def test_autocast_is_named_where_it_moves_the_values() -> None:
    model = SOCICNN(3, (8, 8), (3,), (2,), generator=torch.Generator().manual_seed(0))
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        report = verify.equivalence(model, x, solvers=())
    assert not report.ok
    assert "model_forward: autocast is on: the model computes in bfloat16; verify outside of" in str(report)
    assert verify.equivalence(model, x, solvers=()).ok


@pytest.fixture(scope="module")
def full() -> verify.Report:
    """Return a report on three points, with a proof and three solvers."""
    return verify.equivalence(random_net(1), np.ones((3, 4)), solvers=("clarabel", "ecos", "scs"), proof=True)


def test_the_report_holds_every_metric(full: verify.Report) -> None:
    assert set(full.residuals) >= {
        *("relu_primal", "relu_dual_box", "relu_complementarity"),
        *("quadratic_epigraph", "quadratic_slack", "norm_epigraph", "norm_slack"),
        *("norm_dual_ball", "norm_dual_alignment", "stationarity", "gap", "forward"),
    }
    assert full.max_gap == full.residuals["gap"]
    assert set(full.sizes) == {"variables", "rows", "cones", "nonzeros"}
    assert set(full.times) == {"forward", "certificate", "solver"}


def test_the_report_holds_what_each_solver_returned(full: verify.Report) -> None:
    ecos = full.solvers["ecos"]
    assert ecos.value.shape == ecos.errors.shape == ecos.seconds.shape == (3,)
    assert ecos.residuals["norm_epigraph"] < 1e-6


@pytest.mark.parametrize("word", ["PASSED", "relu_complementarity", "clarabel", "proven", "point"])
def test_the_printed_report_names(full: verify.Report, word: str) -> None:
    assert word in str(full)


def test_the_report_goes_out_as_json(full: verify.Report) -> None:
    document = json.loads(full.to_json())
    assert document["ok"] is True
    assert document["forward"] == full.forward.tolist()
    assert document["solvers"]["scs"]["solved"] == [True] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_points_of_any_kind(dtype: torch.dtype) -> None:
    model = SOCICNN(3, (8, 8)).to(dtype)
    x = torch.randn(2, 5, 3).to(dtype)
    kinds = (x, x.float().numpy(), x.double(), x.reshape(-1, 3).tolist())
    reports = [verify.equivalence(model, points) for points in kinds]
    for report in reports:
        assert report.ok, str(report)
        assert np.array_equal(report.forward, reports[0].forward)
    assert verify.equivalence(model, x[0, 0]).forward.shape == (1,)


def test_float32_points_and_weights_are_lifted_exactly() -> None:
    model = SOCICNN(3, (8, 8))
    x = torch.randn(4, 3)
    report = verify.equivalence(model, x)
    assert np.allclose(report.forward, model.double()(x.double()).detach(), rtol=1e-13)
    assert 0 < report.residuals["model_forward"] < 1e-4


def test_contexts_one_or_one_a_point() -> None:
    model = SOCICNN(3, (6,), (2,), (2,), context_features=2, dtype=torch.float64)
    x, theta = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    every = verify.equivalence(model, x, theta)
    assert every.ok, str(every)
    first = verify.equivalence(model, x, theta[0])
    assert first.ok
    assert first.forward[0] == pytest.approx(every.forward[0], rel=1e-14)
    assert verify.equivalence(model, x, theta[:1]).forward == pytest.approx(first.forward, rel=1e-14)
    assert verify.equivalence(model, x[0], theta).forward[0] == pytest.approx(every.forward[0], rel=1e-14)
    candidates = verify.equivalence(model, x.expand(4, 5, 3).transpose(0, 1), theta[:, None])
    assert candidates.ok
    assert candidates.forward.shape == (20,)
    assert verify.equivalence(model.freeze(theta), x).forward == pytest.approx(every.forward, rel=1e-14)
    with pytest.raises(ModelError, match="give one context, or one per point"):
        verify.equivalence(model, x, theta[:3])


def test_images_keep_their_shape() -> None:
    rng = np.random.default_rng(0)
    net = FrozenNet(
        [Layer(None, rng.normal(size=(5, 12)), rng.normal(size=5))],
        Output(np.ones(5), rng.normal(size=12)),
        norms=[Norm(0.3, rng.normal(size=(6, 12)), None, group=2)],
        input_shape=(1, 3, 4),
    )
    x = rng.normal(size=(2, 1, 3, 4))
    assert verify.equivalence(net, x).ok
    assert np.array_equal(verify.equivalence(net, x.reshape(2, 12)).forward, verify.equivalence(net, x).forward)
    assert verify.equivalence(net, x[0]).ok


@pytest.mark.parametrize("x", [np.zeros((2, 3)), np.zeros((0, 4)), np.full(4, np.nan), np.zeros(5)])
def test_points_that_do_not_fit_are_refused(x: Array) -> None:
    with pytest.raises(ModelError):
        verify.equivalence(random_net(1), x)


# the ways to be fooled


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
    "swapped_inputs": lambda net: replace(net, output=replace(net.output, v=net.output.v[::-1])),
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


def test_a_solver_that_fails_is_not_a_difference() -> None:
    report = verify.equivalence(random_net(1), np.ones(4), solvers=(Clarabel(max_iter=1),))
    assert report.ok
    solver = report.solvers["clarabel"]
    assert not solver.solved.any()
    assert "solver failed at 1" in solver.status
    assert "solved 0 of 1" in str(report)
    assert np.isnan(solver.error)
    json.loads(report.to_json())


def test_a_solver_that_disagrees_is_told_beside_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    from socicnn.conic.solvers._base import Prepared

    honest = Prepared.solve
    monkeypatch.setattr(Prepared, "solve", lambda *a: replace(honest(*a), value=honest(*a).value + 1e-3))
    report = verify.equivalence(random_net(1), np.ones(4), proof=True)
    assert report.ok
    assert report.passed.all()
    assert not report.agreed
    report.raise_if_failed()
    with pytest.raises(verify.VerificationError, match=r"Clarabel is 1\.0e-03 off the proven value at point 0"):
        report.raise_if_failed(solvers=True)
    assert "PASSED" in str(report)
    assert "clarabel, not part of the proof: solved 1 of 1 points; Clarabel is 1.0e-03 off the proven value" in str(
        report
    )
    assert json.loads(report.to_json())["agreed"] is False


def _lying(answer: Callable[[Any], Answer]) -> Clarabel:
    """Return an adapter whose package answers whatever `answer` makes of the program."""

    class Lie(Engine):
        def __init__(self, program: Any) -> None:
            self.program = program

        def run(self, b: Array, c: Array) -> Answer:
            return answer(self.program)

    class Liar(Clarabel):
        name, label = "liar", "Liar"

        def engine(self, program: Any) -> Engine:
            return Lie(program)

    return Liar()


def _optimal(v: Any, y: Any) -> Answer:
    return Answer("optimal", "solved it", v, y, 0.0)


LIES = {
    "wrong optimum": (lambda p: _optimal(np.full(p.A.shape[1], 5.0), np.ones(p.A.shape[0])), "almost solved"),
    "nan": (lambda p: _optimal(np.full(p.A.shape[1], np.nan), np.ones(p.A.shape[0])), "primal point is not finite"),
    "no point": (lambda p: _optimal(None, None), "returned no primal point"),
    "no dual point": (lambda p: _optimal(np.zeros(p.A.shape[1]), None), "returned no dual point"),
    "infeasible": (lambda p: Answer("infeasible", "found nothing", None, None, 0.0), "Liar found nothing"),
    "unbounded": (lambda p: Answer("unbounded", "found no end", None, None, 0.0), "Liar found no end"),
    "raises": (lambda p: 1 / 0, "the adapter of Liar raised ZeroDivisionError: division by zero"),
    "wrong length": (lambda p: _optimal(np.zeros(1), np.zeros(1)), r"its primal point has shape \(1,\)"),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_adapter_that_lies_or_breaks_is_one_sentence_and_no_failed_proof(lie: str) -> None:
    answer, sentence = LIES[lie]
    report = verify.equivalence(random_net(1), np.ones((2, 4)), solvers=(_lying(answer), "clarabel"), proof=True)
    assert report.ok
    assert not report.agreed
    report.raise_if_failed()
    solver = report.solvers["liar"]
    assert not solver.solved.any()
    assert re.search(rf"solved 0 of 2 points; solver failed at 2: .*{sentence}", solver.status)
    assert "\n" not in solver.status
    assert report.solvers["clarabel"].ok
    assert "PASSED" in str(report)
    json.loads(report.to_json())


def test_an_adapter_that_cannot_be_set_up_is_one_sentence() -> None:
    class Broken(Clarabel):
        def engine(self, program: Any) -> Engine:
            raise RuntimeError("no licence\nfound")

    report = verify.equivalence(random_net(1), np.ones((3, 4)), solvers=Broken())
    assert report.ok
    assert report.solvers["clarabel"].status == (
        "solved 0 of 3 points; solver failed at 3: the adapter of Clarabel raised RuntimeError: no licence found"
    )


def test_solvers_that_agree_are_told_too() -> None:
    report = verify.equivalence(random_net(1), np.ones((2, 4)))
    assert report.agreed
    assert "Clarabel is at most" in report.solvers["clarabel"].status
    report.raise_if_failed(solvers=True)


def test_unknown_and_unfit_solvers_are_refused() -> None:
    with pytest.raises(SolverError, match="unknown solver 'simplex'"):
        verify.equivalence(random_net(1), np.ones(4), solvers=("simplex",))
    with pytest.raises((SolverError, MissingExtra)):
        verify.equivalence(random_net(1), np.ones(4), solvers=("highs",))
    assert verify.equivalence(random_net(1, **NETS["relu"]), np.ones(4), solvers=("highs",)).ok


def test_solvers_see_a_sample_spread_over_the_batch() -> None:
    x = np.random.default_rng(0).normal(size=(301, 4))
    report = verify.equivalence(random_net(1), x, max_solver_points=4)
    assert report.solvers["clarabel"].points.tolist() == [0, 100, 200, 300]
    assert len(report.forward) == 301
    assert (
        verify.equivalence(random_net(1), x[:2], max_solver_points=0).solvers["clarabel"].status
        == "solved 0 of 0 points"
    )


def test_an_honest_gap_may_be_negative() -> None:
    x = np.random.default_rng(0).normal(size=(400, 4))
    report = verify.equivalence(random_net(1), x, solvers=())
    assert report.ok
    assert (report.gap < 0).any()
    assert (report.gap > 0).any()


def test_a_given_witness_is_checked() -> None:
    net = random_net(1)
    compiled = compile_net(net)
    x = np.random.default_rng(0).normal(size=(5, 4))
    witness = compiled.witness(x)
    assert verify.equivalence(net, x, witness=witness, solvers=()).ok
    witness.y[3, 0] -= 1e-3
    report = verify.equivalence(net, x, witness=witness, solvers=())
    assert report.passed.tolist() == [True, True, True, False, True]
    assert "point 3" in str(report)


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


def test_tolerance_is_the_callers() -> None:
    x = np.random.default_rng(0).normal(size=(50, 4))
    assert not verify.equivalence(random_net(1), x, solvers=(), tolerance=1e-19).ok


def test_a_planted_kink_is_verified() -> None:
    net = FrozenNet(
        [Layer(None, np.eye(3), np.zeros(3))],
        Output(np.ones(3), np.zeros(3)),
        [Quadratic(1.0, np.eye(3))],
        [Norm(2.0, np.eye(3))],
    )
    report = verify.equivalence(net, np.zeros((1, 3)), proof=True)
    assert report.ok, str(report)
    assert report.forward[0] == 0
    assert report.solvers["clarabel"].solved.all()
