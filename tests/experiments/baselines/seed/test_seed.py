import math

import pytest
import torch

from decision import decide, surrogates, tasks
from decision.sets import Box, Budget, Simplex
from experiments.baselines.seed.steps import seed_steps
from experiments.baselines.seed.training import SEED_START, SeedTraining, XavierSoftplus, fit_as_seed
from socicnn import SOCICNN, load, save
from tests.support.cases import generator


def test_weights_start_at_the_softplus_of_a_xavier_uniform() -> None:
    weight = XavierSoftplus().weight((300, 200), 200, "relu", generator(0))
    raw = torch.log(torch.expm1(weight))
    bound = math.sqrt(6 / 500)
    assert raw.abs().max() <= bound
    assert abs(raw.std().item() / (bound / math.sqrt(3)) - 1) < 0.02
    vector = XavierSoftplus().weight((300,), 300, "relu", generator(0))
    assert torch.log(torch.expm1(vector)).abs().max() <= math.sqrt(6 / 301)


def test_a_network_with_the_authors_start_saves_and_loads(tmp_path) -> None:
    model = SOCICNN(3, (4, 4), context_features=2, context="joint", **SEED_START)
    save(model, tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").config() == model.config()


def test_training_standardises_theta_and_y_alone_and_holds_out_whole_contexts() -> None:
    data = tasks.make("budget_huber", features=4, seed=0).sample(contexts=40, candidates=6, seed=1)
    model = surrogates.make("soc-joint", 4, generator=generator(0), hidden_features=(5, 5), **SEED_START)
    history = fit_as_seed(model, data, settings=SeedTraining(epochs=3), seed=3, progress=False)
    order = torch.randperm(40, generator=generator(3))
    train = data[order[4:]]
    units = model.standardisation
    assert not units.x_mean.any()
    assert (units.x_scale == 1).all()
    torch.testing.assert_close(units.get_buffer("context_mean").double(), train.context.mean(dim=0))
    torch.testing.assert_close(units.y_mean.double(), train.y.mean())
    held = data[order[:4]]
    f = model(held.x.float(), held.context.float().unsqueeze(1))
    loss = torch.nn.functional.smooth_l1_loss(f / units.y_scale, held.y.float() / units.y_scale)
    assert loss.item() == pytest.approx(min(history.validation), rel=1e-5)


class Bowl(torch.nn.Module):
    """f(x, theta) = ||x - theta||^2, whose steps are known by hand."""

    def forward(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        return (x - theta).square().sum(dim=-1)


def test_a_step_moves_each_coordinate_by_the_rate() -> None:
    theta = torch.full((1, 3), 0.9, dtype=torch.float64)
    one = seed_steps(Bowl(), Box(3), theta, steps=1, restarts=1, rate=0.01)
    torch.testing.assert_close(one.x, torch.full((1, 3), 0.51, dtype=torch.float64))  # Adam's first step is its rate
    many = seed_steps(Bowl(), Box(3), theta, steps=100, restarts=1, rate=0.01)
    assert (many.x - theta).abs().max() < 0.05


@pytest.mark.parametrize("feasible_set", [Simplex(4), Box(4), Budget(4, 1.5)], ids=repr)
def test_the_best_value_of_all_starts_is_kept_and_certified(feasible_set) -> None:
    theta = torch.randn(6, 4, dtype=torch.float64, generator=generator(0))
    few = seed_steps(Bowl(), feasible_set, theta, steps=5, restarts=1)
    more = seed_steps(Bowl(), feasible_set, theta, steps=5, restarts=5, seed=1)
    best = (feasible_set.project(theta) - theta).square().sum(dim=-1)
    assert (more.value <= few.value).all()
    assert feasible_set.contains(more.x).all()
    torch.testing.assert_close(more.value, Bowl()(more.x, theta))
    assert (more.value - best <= more.gap + 1e-12).all()
    assert (more.value > best + 1e-4).any()  # so few steps do not arrive: the gap says so


def test_adam_scaling_and_a_sum_do_not_go_together() -> None:
    """Coordinates move alike whatever their gradients, so that more steps end elsewhere than at the minimum."""
    theta = torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64)
    for feasible_set, arrives in ((Box(3), True), (Simplex(3), False)):
        long = seed_steps(Bowl(), feasible_set, theta, steps=600, restarts=1, rate=5e-3)
        best = (feasible_set.project(theta) - theta).square().sum(dim=-1)
        assert bool((long.value - best < 1e-5).all()) == arrives


def test_small_steps_lose_the_decision_that_a_network_would_give() -> None:
    """The best of a first value is the start itself: the start counts, and so does the last iterate."""
    theta = torch.zeros(1, 2, dtype=torch.float64)
    assert seed_steps(Bowl(), Simplex(2), theta, steps=3, restarts=1).x.tolist() == [[0.5, 0.5]]
    last = seed_steps(Bowl(), Box(2), theta, steps=2, restarts=1, rate=0.1)
    assert (last.x < 0.31).all()


@pytest.mark.parametrize("task", ["simplex_socp", "box_logsumexp", "budget_huber"])
@pytest.mark.parametrize("name", ["relu-joint", "quad-joint", "norm-joint", "soc-joint", "relu-partial", "soc-partial"])
def test_our_decisions_are_never_worse_than_the_authors_steps(name: str, task: str) -> None:
    made = tasks.make(task, features=8, seed=0)
    options = {"hidden_features": (40, 40), **SEED_START} if name.endswith("joint") else {}
    model = surrogates.make(name, 8, generator=generator(0), **options)
    theta = made.sample_contexts(30, seed=1)
    ours = decide(model, made.feasible_set, theta)
    theirs = seed_steps(model, made.feasible_set, theta)
    assert ours.certified.all(), ours.status
    assert (ours.value <= theirs.value + 1e-6 * (1 + theirs.value.abs())).all()
    assert (ours.value - ours.gap <= theirs.value).all()
