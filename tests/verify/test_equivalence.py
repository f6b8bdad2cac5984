"""The public verification: what users call, and each way in which it must not be fooled."""

import json
from functools import cache

import numpy as np
import pytest
import torch

import verify
from socicnn._arrays import Array
from socicnn._compile import compile_net
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.nn import SOCICNN
from tests.support.cases import CASES, Case
from tests.support.frozen_nets import NETS, random_net


@cache
def proven(case: Case) -> tuple[verify.Report, Array]:
    """Return the report of a network at six points, and the model's own values."""
    model = case.model()
    x, contexts = case.points(model, 6), case.contexts(model, 6)
    report = verify.equivalence(model, x, contexts, proof=True, max_solver_points=2)
    return report, (model(x) if contexts is None else model(x, contexts)).detach().numpy()


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
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
