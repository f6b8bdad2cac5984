import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from decision import decide, tasks
from decision.baselines import StructuredPCF, cvxpylayer
from decision.baselines.cvxpylayer import EndToEnd, SolverLayer, fit_end_to_end
from decision.sets import Box, Budget, FeasibleSet, Simplex
from socicnn.errors import MissingExtra, ModelError, SolverError
from tests.contracts.networks import units
from tests.support.cases import generator

N, P = 4, 3


def model_of(seed: int = 1) -> StructuredPCF:
    model = StructuredPCF(N, P, rows=3, generator=generator(seed), dtype=torch.float64)
    units(model)
    return model


def contexts(count: int) -> Tensor:
    return torch.randn(count, P, generator=generator(2), dtype=torch.float64)


@pytest.mark.parametrize("package", ["cvxpylayers.torch", "diffcp"])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    if package == "diffcp":
        monkeypatch.setitem(sys.modules, "cvxpylayers.torch", SimpleNamespace())
    name = package.partition(".")[0]
    with pytest.raises(MissingExtra, match=rf'need {name}; run: pip install "socicnn\[dcp\]"'):
        SolverLayer(model_of(), Simplex(N))


# cvxpylayers 1.2 hands NumPy tensors in a way that NumPy 2 calls deprecated
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.extra
class TestLayer:
    @pytest.fixture(autouse=True)
    def _packages(self) -> None:
        pytest.importorskip("cvxpylayers")
        pytest.importorskip("diffcp")

    @pytest.mark.parametrize("feasible_set", [Simplex(N), Box(N, -1.0, 2.0), Budget(N, 1.5)], ids=lambda X: X.name)
    def test_decision_is_the_models_minimiser(self, feasible_set: FeasibleSet) -> None:
        model, theta = model_of(), contexts(6)
        with torch.no_grad():
            x = SolverLayer(model, feasible_set)(theta)
        assert feasible_set.violation(x).max() <= 1e-6
        answer = decide(model, feasible_set, theta)
        value = model(feasible_set.project(x), theta).detach()
        assert (value - (answer.value - answer.gap) <= 1e-5 * (1 + value.abs())).all()

    def test_gradient_is_the_difference_quotient(self) -> None:
        model, theta = model_of(), contexts(1)
        layer = SolverLayer(model, Box(N), {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12})
        direction = torch.randn(N, generator=generator(4), dtype=torch.float64)
        (layer(theta)[0] @ direction).backward()
        weight = model.vectors.skip.weight
        step = torch.randn(weight.shape, generator=generator(5), dtype=torch.float64)
        expected, size, start, ends = float((weight.grad * step).sum()), 1e-4, weight.detach().clone(), []
        for sign in (1, -1):
            with torch.no_grad():
                weight.copy_(start + sign * size * step)
                ends.append(float(layer(theta)[0] @ direction))
        assert (ends[0] - ends[1]) / (2 * size) == pytest.approx(expected, rel=1e-2, abs=1e-4)

    def test_training_lowers_the_true_cost_and_counts_its_labels(self) -> None:
        task = tasks.make("box_socp", features=N, seed=0)
        theta, test = task.sample_contexts(30, seed=1), task.sample_contexts(30, seed=3)
        model = StructuredPCF(N, task.context_features, rows=3, generator=generator(0), dtype=torch.float64)
        layer = SolverLayer(model, task.feasible_set)

        def cost() -> float:
            with torch.no_grad():
                return float(task.cost(task.feasible_set.project(layer(test)), test).mean())

        before = cost()
        history = fit_end_to_end(layer, task.cost, theta, EndToEnd(epochs=4, batch_size=10, learning_rate=2e-2))
        optimum = float(task.optimum(test)[1].mean())
        assert cost() - optimum < 0.5 * (before - optimum)
        assert (history.labels, history.failed, len(history.cost)) == (120, 0, 4)
        assert history.cost[-1] < history.cost[0]
        assert history.seconds > 0

    def test_a_lost_constraint_is_caught(self, monkeypatch: pytest.MonkeyPatch) -> None:
        layer = SolverLayer(model_of(), Simplex(N))
        outside = torch.tensor([[1.1, -0.1, 0.0, 0.0]], dtype=torch.float64)
        monkeypatch.setattr(layer.layer, "forward", lambda *given, **named: (outside,))
        with pytest.raises(SolverError, match=r"violates Simplex\(n=4\) by 1\.0e-01: a constraint was lost"):
            layer(contexts(1))

    def test_a_solver_that_fails_is_said_and_its_step_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        task = tasks.make("box_socp", features=N, seed=0)
        model = StructuredPCF(N, task.context_features, rows=3, generator=generator(0), dtype=torch.float64)
        layer, theta = SolverLayer(model, task.feasible_set), task.sample_contexts(6, seed=1)
        solve, calls = layer.layer.forward, []

        def failing_once(*given: Tensor, **named: object) -> object:
            calls.append(len(given[0]))
            if len(calls) == 1:
                raise ArithmeticError("no\n progress")
            return solve(*given, **named)

        monkeypatch.setattr(layer.layer, "forward", failing_once)
        history = fit_end_to_end(layer, task.cost, theta, EndToEnd(epochs=1, batch_size=2))
        assert (calls, history.failed, history.labels) == ([2, 2, 2], 1, 4)
        calls.clear()
        with pytest.raises(SolverError, match="the layer's solver failed: no progress"):
            layer(theta)

    def test_where_every_step_fails_the_reason_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        task = tasks.make("box_socp", features=N, seed=0)
        layer = SolverLayer(StructuredPCF(N, task.context_features, rows=3), task.feasible_set)

        def failing(*given: Tensor, **named: object) -> object:
            raise ArithmeticError("no progress")

        monkeypatch.setattr(layer.layer, "forward", failing)
        with pytest.raises(SolverError, match=r"every step of an epoch failed, the last one because: .*no progress"):
            fit_end_to_end(layer, task.cost, task.sample_contexts(6, seed=1), EndToEnd(epochs=1, batch_size=2))

    def test_mistakes_in_the_cost_are_the_callers(self) -> None:
        task = tasks.make("box_socp", features=N, seed=0)
        layer = SolverLayer(StructuredPCF(N, task.context_features, rows=3), task.feasible_set)
        with pytest.raises(RuntimeError, match="mat"):
            fit_end_to_end(layer, lambda x, theta: x @ theta, task.sample_contexts(6, seed=1), EndToEnd(epochs=1))

    def test_a_set_of_another_size_is_refused(self) -> None:
        with pytest.raises(ModelError, match="5 coordinates, the model 4"):
            SolverLayer(model_of(), Simplex(5))


def test_the_old_name_of_the_layer_warns() -> None:
    with pytest.warns(DeprecationWarning, match="DecisionLayer is now .*SolverLayer"):
        assert cvxpylayer.DecisionLayer is SolverLayer
