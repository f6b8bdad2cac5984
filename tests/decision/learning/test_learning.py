"""Learning for decisions: labels counted, gradients of the decision's cost, averages that are what they say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import decision
import verify
from decision import Box, DecisionLayer, surrogates, tasks
from decision._deciding import decide
from decision.learning import (
    ActiveOptions,
    Ensemble,
    FocusedOptions,
    WeightAverage,
    fit_active,
    fit_focused,
    mean_network,
    with_decisions,
)
from decision.learning._focused import _exact, _perturbed, perturbed
from decision.tasks import Data, Task
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Output, Squares
from socicnn.nn._network import Network
from socicnn.training import FitOptions
from tests.support.cases import generator
from tests.support.differences import central, directions_of

QUIET: dict[str, Any] = {"progress": False}


def setting(name: str = "box_socp", contexts: int = 60) -> tuple[Task, Data]:
    task = tasks.make(name, features=4, seed=0)
    return task, task.sample(contexts, 8, seed=1)


def surrogate(seed: int = 0, **options: Any) -> Network:
    return surrogates.make("soc-partial", 4, generator=generator(seed), context_hidden=8, **options)


def regret(model: Any, task: Task) -> float:
    theta = task.sample_contexts(50, seed=9)
    return float((task.cost(decide(model, task.feasible_set, theta).x, theta) - task.optimum(theta)[1]).mean())


class TestActive:
    def test_a_checkpoint_is_one_file_a_fit(self, tmp_path: Path) -> None:
        task, data = setting(contexts=12)
        options: dict[str, Any] = {"rounds": 2, "near": 1, "epochs": 3, **QUIET}
        options["options"] = ActiveOptions(training=FitOptions(checkpoint=tmp_path / "run.pt"))
        first, again = surrogate(), surrogate()
        costs = [fit_active(model, task, data, **options).costs for model in (first, again)]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["run.pt.0", "run.pt.1", "run.pt.2"]
        assert costs[0] == costs[1]
        assert all(
            torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
        )

    def test_options_were_keywords_before(self) -> None:
        """Those of the active fit, and those of each fit; the results are the same."""
        task, data = setting(contexts=12)
        old, new = surrogate(), surrogate()
        short: dict[str, Any] = {"rounds": 1, "near": 1, "epochs": 4, **QUIET}
        with pytest.warns(DeprecationWarning, match="moved into") as caught:
            fit_active(old, task, data, **short, spread=0.2, patience=3)
        told = " ".join(str(warning.message) for warning in caught)
        assert "options=ActiveOptions(spread=...)" in told
        assert "training=FitOptions(patience=...)" in told
        options = ActiveOptions(spread=0.2, training=FitOptions(patience=3))
        fit_active(new, task, data, **short, options=options)
        assert all(torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))
        with pytest.raises(TypeError, match=r"fit_active\(\) got an unexpected keyword argument 'sprad'"):
            fit_active(new, task, data, **short, sprad=0.2)

    @pytest.mark.parametrize("wrong", [{"spread": 0.0}, {"share": -1.0}])
    def test_options_are_checked(self, wrong: dict[str, float]) -> None:
        with pytest.raises(ModelError, match="must be a finite number > 0"):
            ActiveOptions(**wrong)  # type: ignore[arg-type]  # numbers

    def test_settings_are_looked_at_before_the_first_fit(self) -> None:
        task, data = setting(contexts=12)
        model = surrogate()
        before = [tensor.clone() for tensor in model.state_dict().values()]
        with pytest.raises(ModelError, match="near must be an integer >= 0"):
            fit_active(model, task, data, near=-1, epochs=1, **QUIET)
        assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))

    def test_labels_are_the_true_costs_of_decisions_and_points_near_them(self) -> None:
        task, data = setting()
        model = surrogate()
        decision.fit(model, data, epochs=5, **QUIET)
        more = with_decisions(model, task, data, near=3, spread=0.2, seed=5)
        assert more.labels == data.labels + 4 * len(data)
        assert torch.equal(more.x[:, :8], data.x)
        assert torch.equal(more.y[:, :8], data.y)
        x = decide(model, task.feasible_set, data.context, rtol=1e-4).x
        torch.testing.assert_close(more.x[:, 8], x)
        assert bool(task.feasible_set.contains(more.x).all())
        distance = (more.x[:, 9:] - x[:, None]).norm(dim=-1)
        assert 0 < float(distance.min()) < float(distance.max()) <= 0.2 * task.feasible_set.diameter / 2 + 1e-9
        torch.testing.assert_close(more.y[:, 8:], task.cost(more.x[:, 8:], data.context))

    def test_it_decides_better_and_counts_its_labels(self) -> None:
        task, data = setting()
        model = surrogate()
        decision.fit(model, data, epochs=40, **QUIET)
        before = regret(model, task)
        found = fit_active(model, task, data, rounds=2, near=3, epochs=40, first=False, **QUIET)
        assert found.data.labels == data.labels + 2 * 4 * len(data)
        assert [history.epochs for history in found.histories] == [10, 10]
        assert len(found.costs) == 2
        assert regret(model, task) < before

    def test_the_first_fit_is_that_of_fit(self) -> None:
        task, data = setting()
        one, two = surrogate(), surrogate()
        history = decision.fit(one, data, epochs=4, learning_rate=1e-2, seed=3, **QUIET)
        found = fit_active(two, task, data, rounds=1, near=0, epochs=4, seed=3, **QUIET)
        assert found.histories[0].train == history.train

    def test_refusals(self) -> None:
        task, data = setting()
        with pytest.raises(ModelError, match="rounds must be an integer >= 1"):
            fit_active(surrogate(), task, data, rounds=0)
        with pytest.raises(ModelError, match="near must be an integer >= 0"):
            with_decisions(surrogate(), task, data, near=-1)


class TestFocused:
    @pytest.mark.parametrize("name", ["box_socp", "simplex_logistic", "budget_huber"])
    def test_the_gradient_is_that_of_the_decisions_true_cost(self, name: str) -> None:
        task, data = setting(name)
        model = surrogate(dtype=torch.float64, hidden_features=())
        decision.fit(model, data, epochs=10, **QUIET)
        theta, small = data.context[:20], 1e-3
        x, moved = perturbed(model, task, theta, small, rtol=1e-12)
        values = (model(moved, theta) - model(x, theta)) / small
        parameters = list(model.parameters())
        direction = [torch.randn(p.shape, generator=generator(4), dtype=p.dtype) for p in parameters]
        rows = [torch.autograd.grad(value, parameters, retain_graph=True) for value in values]
        slopes = torch.stack([sum((g * d).sum() for g, d in zip(row, direction, strict=True)) for row in rows])

        def costs(step: float) -> torch.Tensor:
            with torch.no_grad():
                for parameter, d in zip(parameters, direction, strict=True):
                    parameter.add_(step * d)
            found = task.cost(decide(model, task.feasible_set, theta, rtol=1e-12).x, theta)
            with torch.no_grad():
                for parameter, d in zip(parameters, direction, strict=True):
                    parameter.sub_(step * d)
            return found

        h = 1e-4
        expected = (costs(h) - costs(-h)) / (2 * h)
        near = (slopes - expected).abs() <= 0.05 * expected.abs() + 0.002
        assert int(near.sum()) >= 16  # the others change their face within the step
        assert int((expected.abs() > 0.02).sum()) >= 10

    def test_it_decides_better_and_keeps_the_best(self) -> None:
        task, data = setting()
        model = surrogate()
        decision.fit(model, data, epochs=15, **QUIET)
        before = regret(model, task)
        found = fit_focused(
            model, task, data, steps=20, contexts=32, learning_rate=5e-3, options=FocusedOptions(every=4), **QUIET
        )
        assert found.costs[found.best] == min(found.costs) < found.costs[0]
        assert found.labels == 6 * len(data) // 10 + 20 * 32 * (1 + 4)
        assert regret(model, task) < before

    def test_the_exact_gradient_decides_better_too(self) -> None:
        task, data = setting()
        model = surrogate()
        decision.fit(model, data, epochs=15, **QUIET)
        before = regret(model, task)
        options = FocusedOptions(every=4, gradient="exact")
        focused = fit_focused(model, task, data, steps=20, contexts=32, learning_rate=5e-3, options=options, **QUIET)
        assert focused.costs[focused.best] == min(focused.costs) < focused.costs[0]
        assert focused.labels == 6 * len(data) // 10 + 20 * 32 * (1 + 4)
        assert regret(model, task) < before

    def test_the_exact_gradient_has_no_bias(self) -> None:
        task, data = setting("simplex_socp")
        model = surrogate(dtype=torch.float64)
        decision.fit(model, data, epochs=10, **QUIET)
        theta, parameters = data.context[:12], list(model.parameters())
        layer = DecisionLayer(model, task.feasible_set)
        direction = directions_of(parameters)
        cost = lambda: task.cost(layer(theta), theta)  # noqa: E731 (local shorthand)
        differences, finer = (central(cost, parameters, direction, step) for step in (2e-4, 1e-4))
        values, points = _exact(layer, task, theta)
        biased, _ = _perturbed(model, task, data[torch.arange(12)], 0.3)
        smooth = (differences - finer).abs() <= 1e-6 * finer.abs().clamp(min=1e-2)
        assert int(smooth.sum()) >= 6
        slopes = [
            torch.stack(
                [
                    sum((a * b).sum() for a, b in zip(row, direction, strict=True))
                    for row in (
                        torch.autograd.grad(v, parameters, retain_graph=True, materialize_grads=True) for v in each
                    )
                ]
            )
            for each in (values, biased)
        ]
        exact, off = ((slope - finer).abs()[smooth] for slope in slopes)
        assert exact.max() <= 1e-7
        assert off.max() > 1e-3
        assert points.shape == (12, 4)

    def test_refusals(self) -> None:
        task, data = setting()
        with pytest.raises(ModelError, match="unknown gradient 'smooth'"):
            FocusedOptions(gradient="smooth")  # type: ignore[arg-type]
        with pytest.raises(ModelError, match="perturbation must be a finite number > 0"):
            fit_focused(surrogate(), task, data, perturbation=0.0)
        with pytest.raises(ModelError, match="finalise"):
            fit_focused(surrogate(positivity="lift", hidden_features=(5, 5)), task, data)


class TestWeightAverage:
    def test_plain_and_exponential_averages_by_their_formulas(self) -> None:
        _, data = setting()
        seen: list[torch.Tensor] = []
        plain, late, exponential = WeightAverage(), WeightAverage(start=6), WeightAverage(decay=0.6)

        def note(step: int, model: torch.nn.Module) -> None:
            seen.append(torch.nn.utils.parameters_to_vector(model.parameters()).detach().double().clone())
            for one in (plain, late, exponential):
                one(step, model)

        model = surrogate()
        decision.fit(model, data, epochs=3, options=FitOptions(on_step=note), **QUIET)
        expected = seen[0]
        for count, weights in enumerate(seen[1:], start=2):
            share = max(1 / count, 0.4)
            expected = (1 - share) * expected + share * weights
        means = (torch.stack(seen).mean(dim=0), torch.stack(seen[6:]).mean(dim=0), expected)
        for one, mean in zip((plain, late, exponential), means, strict=True):
            one.put(model)
            found = torch.nn.utils.parameters_to_vector(model.parameters()).detach().double()
            torch.testing.assert_close(found, mean, rtol=1e-5, atol=1e-6)

    def test_refusals(self) -> None:
        with pytest.raises(ModelError, match="decay must lie in"):
            WeightAverage(decay=1.0)
        with pytest.raises(ModelError, match="nothing to average"):
            WeightAverage().put(surrogate())


class TestEnsemble:
    @pytest.mark.parametrize("options", [{}, {"hidden_features": (5, 4)}, {"passthrough": False}, {"norm": ()}])
    def test_the_frozen_mean_is_the_mean(self, options: dict[str, Any]) -> None:
        task, data = setting()
        models = [surrogate(seed, dtype=torch.float64, **options) for seed in range(3)]
        for model in models:
            decision.fit(model, data, epochs=2, **QUIET)
        both, theta, x = Ensemble(models), data.context[:7], data.x[:7, 0]
        mean = torch.stack([model(x, theta) for model in models]).mean(dim=0)
        torch.testing.assert_close(both(x, theta), mean)
        np.testing.assert_allclose(both.freeze(theta)(x), mean.detach().numpy(), rtol=1e-10)
        np.testing.assert_allclose(both.freeze(theta[0])(x[:1]), mean[:1].detach().numpy(), rtol=1e-10)
        answer = decide(both, task.feasible_set, theta, rtol=1e-6)
        assert bool(answer.certified.all())
        torch.testing.assert_close(answer.value, both(answer.x, theta).detach(), rtol=1e-9, atol=1e-9)
        exact = decide(both, task.feasible_set, theta, method="exact")
        torch.testing.assert_close(answer.value, exact.value, rtol=1e-5, atol=1e-5)

    def test_contexts_and_none_go_together(self) -> None:
        alone = FrozenNet([Layer(None, [[1.0, 0.0]], [0.5])], Output([1.0], [0.0, 1.0]))
        many = FrozenNet([Layer(None, [[0.0, 1.0]], [[0.0], [1.0]])], Output([2.0], [1.0, 0.0]))
        x = np.array([[0.3, -0.4], [0.1, 0.7]])
        np.testing.assert_allclose(mean_network([alone, many])(x), (alone(x) + many(x)) / 2)

    def test_quadratics_inside_layers_lie_side_by_side(self) -> None:
        rng = np.random.default_rng(0)

        def net(h: int, rows: int, contexts: tuple[int, ...] = ()) -> FrozenNet:
            inside = Squares(
                rng.exponential(size=h), rng.normal(size=(h * rows, 3)), rng.normal(size=(*contexts, h * rows))
            )
            first = Layer(None, rng.normal(size=(h, 3)), rng.normal(size=h), inside if rows else None)
            second = Layer(rng.exponential(size=(2, h)), None, rng.normal(size=2))
            return FrozenNet([first, second], Output(rng.exponential(size=2), rng.normal(size=3), 1.0))

        nets, x = [net(3, 1), net(2, 3, (5,)), net(4, 0)], rng.normal(size=(5, 3))
        together = mean_network(nets)
        np.testing.assert_allclose(together(x), sum(each(x) for each in nets) / 3, rtol=1e-13)
        assert verify.certify(together, x).ok

    def test_refusals(self) -> None:
        flat, deep = FrozenNet([], Output([], [1.0])), FrozenNet([Layer(None, [[1.0]], [0.0])], Output([1.0], [1.0]))
        with pytest.raises(ModelError, match=r"depths \[0, 1\]"):
            mean_network([flat, deep])
        with pytest.raises(ModelError, match="no networks"):
            mean_network([])
        with pytest.raises(ModelError, match="at least one network"):
            Ensemble([])


def test_an_ensemble_over_a_set_of_another_length_is_refused_in_one_sentence() -> None:
    made = [surrogates.make("soc-partial", 3, generator=generator(seed)) for seed in (0, 1)]
    theta = torch.zeros(2, 8)
    for ask in (lambda: decide(Ensemble(made), Box(4), theta), lambda: DecisionLayer(Ensemble(made), Box(4))(theta)):
        with pytest.raises(ModelError, match="the set has 4 coordinates, the network 3 inputs"):
            ask()
