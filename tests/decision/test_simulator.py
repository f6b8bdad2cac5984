"""A cost of one's own as a task: a newsvendor, a shortest path, a plant with gradients, a load that moves."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import decision
from decision import Affine, Box, Polytope, Simplex, surrogates
from decision.learning import FocusedOptions, fit_active, fit_focused
from socicnn.errors import ModelError, ProgramError

Array = NDArray[np.float64]


def newsvendor(x: Array, theta: Array) -> Array:
    """Return the mean cost of stocks x of three goods: demand is 50 scenarios around theta, short costs four times."""
    noise = np.random.default_rng(0).gamma(2.0, 0.1, size=(50, 1, 3))
    demand = theta + noise
    return (np.maximum(x - demand, 0) + 4 * np.maximum(demand - x, 0)).sum(axis=-1).mean(axis=0)


def best_stock(theta: Array) -> Array:
    """Return the 4/5 quantile of the scenarios: the newsvendor's formula."""
    noise = np.random.default_rng(0).gamma(2.0, 0.1, size=(50, 3))
    return theta + np.sort(noise, axis=0)[39]


def goods(**options: Any) -> decision.Simulator:
    return decision.problem(
        newsvendor,
        Box(3, 0.0, 2.0),
        sample_contexts=lambda count, rng: rng.uniform(0.2, 1.2, size=(count, 3)),
        **options,
    )


def test_a_newsvendor_from_samples_to_regret() -> None:
    task = goods(optimum=best_stock)
    data = task.sample(contexts=150, candidates=16, seed=0)
    np.testing.assert_allclose(data.y[3, 5], newsvendor(data.x[3, 5:6].numpy(), data.context[3:4].numpy())[0])
    model = surrogates.make(task, generator=torch.Generator().manual_seed(0))
    active = fit_active(model, task, data, rounds=1, near=3, epochs=120, progress=False)
    assert active.data.labels == 150 * (16 + 4)
    theta = task.sample_contexts(20, seed=1)
    answer = decision.decide(model, task.feasible_set, theta)
    assert answer.certified.all()
    judged = decision.evaluate(task, answer)
    assert judged.against == "the optimum"
    assert judged.regret.min() >= -1e-12
    centre = newsvendor(np.ones((20, 3)), theta.numpy()) - newsvendor(best_stock(theta.numpy()), theta.numpy())
    assert judged.regret.mean() < 0.3 * centre.mean()


def test_without_an_optimum_regret_is_against_the_best_known() -> None:
    task, known = goods(), goods(optimum=best_stock)
    theta = task.sample_contexts(6, seed=1)
    x = torch.full((6, 3), 1.0, dtype=torch.float64)
    answer = decision.decide(surrogates.make("soc-partial", 3, 3), task.feasible_set, theta)
    judged = decision.evaluate(task, answer)
    assert judged.against == "the best decision known"
    assert "against the best decision known" in judged.summary()
    assert judged.regret.min() >= 0.0
    least = known.optimum(theta)[1]
    first = task.best_known(theta)[1]
    assert (first >= least - 1e-12).all()
    assert (first - least).mean() < 0.1 * (task.cost(x, theta) - least).mean()
    optimum = known.optimum(theta)[0]
    better = task.best_known(theta, optimum)[1]
    torch.testing.assert_close(better, torch.minimum(first, least))
    torch.testing.assert_close(task.best_known(theta)[1], better)  # it is remembered


def test_focused_training_by_differences_and_by_given_gradients() -> None:
    def smooth(x: Array, theta: Array) -> Array:
        return ((x - 0.5 * theta) ** 2).sum(axis=1) + np.log1p(np.exp(x @ np.ones(3) - 1))

    def with_gradients(x: Array, theta: Array) -> tuple[Array, Array]:
        share = 1 / (1 + np.exp(1 - x.sum(axis=1, keepdims=True)))
        return smooth(x, theta), 2 * (x - 0.5 * theta) + share

    draw = lambda count, rng: rng.uniform(size=(count, 3))  # noqa: E731
    plain = decision.problem(smooth, Simplex(3), sample_contexts=draw)
    given = decision.problem(with_gradients, Simplex(3), sample_contexts=draw)
    x = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    theta = plain.sample_contexts(4, seed=0)
    slopes = [torch.autograd.grad(task.cost(x, theta).sum(), x)[0] for task in (plain, given)]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-6, atol=1e-7)
    data = given.sample(contexts=40, candidates=8, seed=1)
    assert data.gradient is not None
    assert plain.sample(contexts=2, candidates=2, seed=1).gradient is None
    torch.testing.assert_close(
        data[:2].gradient,
        torch.tensor(with_gradients(data.x[:2].reshape(-1, 3).numpy(), theta_of(data))[1]).reshape(2, 8, 3),
    )
    model = surrogates.make("soc-partial", 3, 3, generator=torch.Generator().manual_seed(0))
    decision.fit(model, data, epochs=3, progress=False)  # on values and gradients
    more = fit_active(model, given, data, rounds=1, near=1, epochs=4, first=False, progress=False).data
    assert more.gradient is not None
    assert more.gradient.shape == more.x.shape
    often = FocusedOptions(every=2)
    focused = fit_focused(model, given, data, steps=4, contexts=16, progress=False, options=often)
    assert focused.costs[focused.best] <= focused.costs[0]


def theta_of(data: Any) -> Array:
    return np.repeat(data.context[:2].numpy(), 8, axis=0)


def test_linear_costs_are_recognised_and_branches_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A shortest path over a grid of 3 x 3 nodes: edge costs from features, decisions at vertices."""
    arcs = [(i, j) for i in range(9) for j in range(9) if j - i == 3 or (j - i == 1 and j % 3)]
    E = np.zeros((9, len(arcs)))
    for k, (i, j) in enumerate(arcs):
        E[i, k], E[j, k] = 1.0, -1.0
    f = np.zeros(9)
    f[0], f[8] = 1.0, -1.0
    weight = np.random.default_rng(0).normal(size=(len(arcs), 4))
    paths = Polytope(E=E, f=f, lower=0.0, upper=1.0)

    def length(x: Array, theta: Array) -> Array:
        return (x * (3 + (theta @ weight.T) ** 2)).sum(axis=1)

    def shortest(theta: Array) -> Array:
        import cvxpy as cp

        best = []
        for row in theta:
            x = cp.Variable(len(arcs))
            cp.Problem(cp.Minimize((3 + (weight @ row) ** 2) @ x), paths.constraints(x)).solve(solver="CLARABEL")
            best.append(x.value.round())
        return np.array(best)

    task = decision.problem(
        length, paths, sample_contexts=lambda count, rng: rng.normal(size=(count, 4)), optimum=shortest
    )
    assert task.is_linear()
    assert not goods().is_linear()
    with caplog.at_level("INFO", logger="socicnn"):
        model = surrogates.make(task, generator=torch.Generator().manual_seed(0))
    assert model.hidden_features == ()
    assert "is linear in x: the surrogate is linear, too" in caplog.text
    named = surrogates.make("soc-partial", task)
    assert (named.in_features, named.context_features, named.hidden_features) == (len(arcs), 4, (8,))
    assert surrogates.make(goods()).hidden_features == (8,)
    assert decision.fit(model, task.sample(contexts=150, candidates=24, seed=0), epochs=60, progress=False).epochs == 60
    theta = task.sample_contexts(12, seed=1)
    answer = decision.decide(model, paths, theta)
    assert answer.certified.all(), answer.status
    np.testing.assert_allclose(answer.x, answer.x.round(), atol=1e-5)  # paths, not mixtures
    assert decision.evaluate(task, answer).relative_regret.mean() < 0.1


def test_a_set_that_moves_with_the_context_is_sampled_trained_on_and_judged() -> None:
    """Two plants share a load theta; the set is the line x_1 + x_2 = theta."""
    task = decision.problem(
        lambda x, theta: x[:, 0] ** 2 + 2 * x[:, 1] ** 2,
        Polytope(E=[[1.0, 1.0]], f=Affine([0.0], [[1.0]]), lower=0.0),
        sample_contexts=lambda count, rng: rng.uniform(1.0, 2.0, size=(count, 1)),
        optimum=lambda theta: theta * np.array([[2 / 3, 1 / 3]]),
    )
    data = task.sample(contexts=60, candidates=8, seed=0)
    torch.testing.assert_close(data.x.sum(dim=2), data.context.expand(-1, 8))
    assert data.x.min() >= -1e-9
    model = surrogates.make(task, generator=torch.Generator().manual_seed(0))
    fit_active(model, task, data, rounds=1, near=2, epochs=30, progress=False)
    fit_focused(model, task, data, steps=2, contexts=8, progress=False)
    theta = task.sample_contexts(5, seed=1)
    answer = decision.decide(model, task.feasible_set, theta)
    torch.testing.assert_close(answer.x.sum(dim=1), theta[:, 0])
    judged = decision.evaluate(task, answer)
    assert judged.infeasibility.max() <= 1e-9
    assert -1e-9 <= judged.regret.min() <= judged.regret.max() < 0.3


def test_decisions_outside_the_set_are_no_best_known() -> None:
    for region in (Box(2), Polytope(A=[[1.0, 1.0]], b=Affine([1.0], [[0.0]]), lower=0.0)):
        task = decision.problem(
            lambda x, theta: x.sum(axis=1), region, sample_contexts=lambda count, rng: rng.uniform(size=(count, 1))
        )
        theta = task.sample_contexts(2, seed=0)
        below = SimpleNamespace(x=torch.full((2, 2), -5.0), value=torch.zeros(2), gap=torch.zeros(2))
        assert decision.evaluate(task, below, theta).regret.max() <= -10.0 + 1e-9
        best = SimpleNamespace(x=torch.zeros(2, 2), value=torch.zeros(2), gap=torch.zeros(2))
        assert decision.evaluate(task, best, theta).regret.abs().max() <= 1e-9  # it was 10: -5 was remembered
        assert task.best_known(theta, best.x)[1].abs().max() <= 1e-9


@pytest.mark.parametrize(
    "region",
    [Box(3, 0.0, [1.0, 1.0, 1e8]), Polytope(A=[[1.0, 1.0, 0.0]], b=[1.9], lower=0.0, upper=[1.0, 1.0, 1e8])],
    ids=["box", "polytope"],
)
def test_large_entries_of_x_excuse_no_other(region: Box | Polytope) -> None:
    """x_2 = 1.05 <= 1 is violated by 5e-10 of 1e8."""
    task = decision.problem(
        lambda x, theta: -x[:, :2].sum(axis=1), region, sample_contexts=lambda count, rng: rng.uniform(size=(count, 1))
    )
    outside = torch.tensor([[1.0, 1.05, 5e7]], dtype=torch.float64)
    assert task.best_known(task.sample_contexts(1, seed=0), outside)[1] >= -2.0


@pytest.mark.parametrize("constant", [0.0, 1e7])
def test_a_constant_hides_no_curvature(constant: float) -> None:
    def cost(curvature: float) -> decision.Simulator:
        return decision.problem(
            lambda x, theta: constant + (x * theta).sum(axis=1) + curvature * (x**2).sum(axis=1),
            Box(2),
            sample_contexts=lambda count, rng: rng.uniform(size=(count, 2)),
        )

    assert cost(0.0).is_linear()
    assert not cost(1e-3).is_linear()


def test_costs_take_arrays_and_refuse_second_derivatives() -> None:
    task = decision.problem(
        lambda x, theta: ((x**3).sum(axis=1), 3 * x**2),
        Box(2),
        sample_contexts=lambda count, rng: rng.uniform(size=(count, 1)),
    )
    theta = task.sample_contexts(3, seed=0)
    assert task.cost(np.full((3, 2), 0.5), theta.numpy()).tolist() == [0.25] * 3
    x = torch.full((3, 2), 0.5, requires_grad=True)
    (slope,) = torch.autograd.grad(task.cost(x, theta).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_contexts_may_be_a_table() -> None:
    table = np.arange(12.0).reshape(6, 2)
    task = decision.problem(lambda x, theta: x[:, 0], Box(1), sample_contexts=table)
    table *= 9.0  # the caller's buffer, filled again
    drawn = task.sample_contexts(6, seed=0)
    assert sorted(drawn[:, 0].tolist()) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert torch.equal(drawn, task.sample_contexts(6, seed=0))
    with pytest.raises(ModelError, match="the table has 6 contexts; 7 were asked for"):
        task.sample_contexts(7, seed=0)


def test_points_are_drawn_uniformly_from_sets_of_rows() -> None:
    """A triangle cut off a square by a moving plane: means by hand."""
    from decision._drawing import drawn

    triangle = Polytope(A=[[1.0, 1.0]], b=Affine([0.0], [[1.0]]), lower=0.0)
    x = drawn(triangle, torch.tensor([[1.0], [3.0]], dtype=torch.float64), 3000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(x.mean(dim=1), torch.tensor([[1 / 3] * 2, [1.0] * 2]).double(), rtol=0.05, atol=0)
    torch.testing.assert_close(x.var(dim=1), torch.tensor([[1 / 18] * 2, [0.5] * 2]).double(), rtol=0.1, atol=0)
    with pytest.raises(ProgramError, match="bounded"):
        drawn(Polytope(lower=0.0, n=2), torch.zeros(1, 1).double(), 3, torch.Generator().manual_seed(0))
    with pytest.raises(ModelError, match="'uniform' and 'boundary'"):
        drawn(triangle, torch.ones(1, 1).double(), 3, torch.Generator(), "vertices")


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (lambda x, theta: x, "one finite number per point"),
        (lambda x, theta: x[:, 0] * np.nan, "5 entries that are not finite"),
        (lambda x, theta: (x[:, 0], x[:, :1]), "gradients must be finite, of shape"),
        (lambda x, theta: ["a"] * len(x), "must hold real numbers"),
    ],
)
def test_a_cost_that_is_invalid_is_named(cost: Any, message: str) -> None:
    task = decision.problem(cost, Box(2), sample_contexts=np.zeros((3, 1)))
    with pytest.raises(ModelError, match=message):
        task.sample(contexts=1, candidates=5, seed=0)


def test_wrong_contexts_and_optima_are_named() -> None:
    with pytest.raises(ModelError, match="must return finite contexts of shape"):
        decision.problem(newsvendor, Box(3), sample_contexts=lambda count, rng: np.zeros(3))
    task = goods(optimum=lambda theta: theta[:, :2])
    with pytest.raises(ModelError, match="optimum must return decisions of shape"):
        task.optimum(task.sample_contexts(2, seed=0))
