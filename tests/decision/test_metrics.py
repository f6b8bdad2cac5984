from types import SimpleNamespace

import pytest
import torch

from decision import metrics
from decision.tasks import Task, make
from socicnn.errors import ModelError


def test_errors_against_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    f, y = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64)
    above = sum((f[i, j] - y[i, j]) ** 2 for i in range(4) for j in range(6))
    below = sum(y[i, j] ** 2 for i in range(4) for j in range(6))
    assert metrics.relative_error(f, y) == pytest.approx(float(above / below) ** 0.5, rel=1e-14)
    above = below = 0.0
    for i in range(4):
        mean_f, mean_y = sum(f[i]) / 6, sum(y[i]) / 6
        above += float(sum((f[i, j] - mean_f - y[i, j] + mean_y) ** 2 for j in range(6)))
        below += float(sum((y[i, j] - mean_y) ** 2 for j in range(6)))
    assert metrics.within_context_error(f, y) == pytest.approx((above / below) ** 0.5, rel=1e-13)


def test_within_context_error_ignores_a_shift_of_each_context() -> None:
    y = torch.randn(5, 7, dtype=torch.float64)
    f = y + torch.randn(5, 1, dtype=torch.float64)
    assert metrics.within_context_error(f, y) < 1e-15
    assert metrics.relative_error(f, y) > 0.1
    with pytest.raises(ValueError, match="shape"):
        metrics.within_context_error(f[0], y[0])


def test_regrets() -> None:
    F_hat, F_star = torch.tensor([1.5, -1.0, 0.25]), torch.tensor([1.0, -2.0, 0.0])
    assert metrics.regret(F_hat, F_star).tolist() == [0.5, 1.0, 0.25]
    assert metrics.relative_regret(F_hat, F_star).tolist() == pytest.approx([0.5, 0.5, 0.25e8])
    assert metrics.relative_gap(torch.tensor([1.0, 0.0]), torch.tensor([4.0, 0.0])).tolist() == [0.25, 0.0]
    assert metrics.decision_error(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)).item() == 5.0
    with pytest.raises(ValueError, match="one shape"):
        metrics.regret(F_hat, F_star[:1])  # would broadcast


@pytest.fixture(scope="module")
def task() -> Task:
    return make("simplex_logistic", seed=0)


def answer_at(x: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(x=x, value=torch.zeros(len(x)), gap=torch.arange(float(len(x))))


def test_evaluate_judges_by_the_true_cost(task: Task) -> None:
    theta = task.sample_contexts(4, seed=1)
    x_star, F_star = task.optimum(theta)
    centre = task.feasible_set.centre().expand(4, -1)
    found = metrics.evaluate(task, answer_at(centre), theta)
    assert torch.allclose(found.regret, task.cost(centre, theta) - F_star, atol=1e-12)
    assert (found.regret > 1e-3).all()
    assert torch.allclose(found.decision_error, (centre - x_star).norm(dim=1))
    row = found.row()
    assert row["regret_max"] == found.regret.max()
    assert row["regret_median"] == pytest.approx(float(found.regret.sort().values[1:3].mean()))
    assert row["gap_max"] == 3.0
    assert row["infeasibility"] < 1e-12
    assert "regret_optimiser" not in row
    assert "regret mean" in str(found)


def test_the_split_of_the_regret_adds_up(task: Task) -> None:
    theta = task.sample_contexts(3, seed=1)
    x_hat, x_f = task.feasible_set.sample(6, torch.Generator().manual_seed(0)).split(3)
    row = metrics.evaluate(task, answer_at(x_hat), theta, exact=x_f).row()
    assert row["regret_optimiser"] + row["regret_surrogate"] == pytest.approx(row["regret_mean"])
    assert row["regret_optimiser"] != 0


def test_given_optima_are_used_and_contexts_may_come_with_the_answer(task: Task) -> None:
    theta = task.sample_contexts(2, seed=1)
    x = task.feasible_set.centre().expand(2, -1)
    answer = SimpleNamespace(context=theta, **vars(answer_at(x)))
    found = metrics.evaluate(task, answer, optimum=(x, task.cost(x, theta) - 1.0))
    assert torch.allclose(found.regret, torch.ones(2, dtype=torch.float64))
    with pytest.raises(ValueError, match="pass `context`"):
        metrics.evaluate(task, answer_at(x))
    with pytest.raises(ValueError, match="one per context"):
        metrics.evaluate(task, answer_at(x), theta[:1])


def test_a_gap_that_is_not_known_is_no_gap_of_zero() -> None:
    gap, scale = torch.tensor([torch.nan, 0.0, 1.0, torch.inf]), torch.tensor([2.0, 0.0, 2.0, 2.0])
    assert metrics.relative_gap(gap, scale).isnan().tolist() == [True, False, False, False]
    assert metrics.relative_gap(gap, scale)[1:].tolist() == [0.0, 0.5, torch.inf]


def test_what_is_wrong_shows(task: Task) -> None:
    theta = task.sample_contexts(3, seed=1)
    x = task.feasible_set.centre().expand(3, -1).clone()
    x[0, 0] += 0.5
    assert metrics.evaluate(task, answer_at(x), theta).row()["infeasibility"] == pytest.approx(0.5)
    x[1, 0] = torch.nan
    row = metrics.evaluate(task, answer_at(x), theta).row()
    assert all(row[key] != row[key] for key in ("regret_mean", "regret_median", "regret_max", "infeasibility"))


def test_points_without_a_decision_are_refused() -> None:
    task = make("box_socp", seed=0)
    x = torch.zeros(2, task.in_features, dtype=torch.float64)
    with pytest.raises(ModelError, match=r"received Tensor: of points of your own, task\.cost\(x, context\)"):
        metrics.evaluate(task, x, task.sample_contexts(2, seed=1))


@pytest.mark.parametrize("what", ["exact", "gap"])
def test_one_row_does_not_count_for_every_context(task: Task, what: str) -> None:
    theta = task.sample_contexts(3, seed=1)
    x = task.feasible_set.sample(3, torch.Generator().manual_seed(0))
    answer, exact = answer_at(x), x
    if what == "exact":
        exact = x[:1]
    else:
        answer.gap = answer.gap[:1]
    with pytest.raises(ModelError, match=f"{what} must have shape .*, one per context"):
        metrics.evaluate(task, answer, theta, optimum=(x, task.cost(x, theta)), exact=exact)


def test_an_optimum_of_other_contexts_is_refused() -> None:
    task = make("box_socp", features=3, seed=0)
    theta = task.sample_contexts(4, seed=1)
    x = task.feasible_set.sample(4, torch.Generator().manual_seed(0))
    answer, cost = answer_at(x), task.cost(x, theta)
    plain = metrics.evaluate(task, answer, theta, optimum=(x.numpy(), cost.numpy()))
    assert plain.regret.tolist() == [0.0] * 4
    others: list[object] = [(x[:1], cost), (x, cost[:1]), (x, cost[:, None]), (cost, x), (x,), x, 0.5]
    for optimum in others:
        with pytest.raises(ModelError, match=r"optimum must be .* of shapes .4, 3. and .4,., one per context, as task"):
            metrics.evaluate(task, answer, theta, optimum=optimum)
