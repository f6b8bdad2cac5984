"""Stacked training: what `fit` does to each model, for every recipe and option; models come and go alone."""

import pickle
from typing import Any

import pytest
import torch
from torch import nn

from socicnn import SOCICNN, ConvSOCICNN, NetOptions
from socicnn.errors import ModelError
from socicnn.positivity import RECIPES, Lift
from socicnn.training import Data, DivergedError, History, WithinContext
from tests.support.cases import generator
from tests.support.modules import Around
from tests.support.runs import fit, fit_stacked

QUIET: dict[str, Any] = {"progress": False, "batch_size": 8, "epochs": 3}


def networks(count: int = 3, **settings: Any) -> list[SOCICNN]:
    settings = {"context_features": 2, "dtype": torch.float64, "norm": (2, 3, 3), **settings}
    return [SOCICNN(3, (6, 5), ("diagonal",), generator=generator(10 + seed), **settings) for seed in range(count)]


def samples(seed: int = 0, count: int = 30) -> Data:
    draw = generator(seed)
    theta = torch.randn(count, 2, generator=draw)
    x = torch.rand(count, 5, 3, generator=draw)
    return Data(x, theta, (x - theta[:, :1, None]).square().sum(dim=2))


def apart(models: list[Any], data: Any, seeds: list[int], **settings: Any) -> list[History]:
    return [fit(model, data, seed=seed, **settings) for model, seed in zip(models, seeds, strict=True)]


def agree(one: nn.Module, two: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.allclose(a.double(), b.double(), rtol=1e-6, atol=1e-9) for a, b in pairs)


def compare(one: list[Any], many: list[Any], data: Any, **settings: Any) -> list[History]:
    """Train both ways, and check that weights and histories agree and that the weights moved."""
    start = [nn.utils.parameters_to_vector(model.parameters()).clone() for model in one]
    seeds = list(range(4, 4 + len(one)))
    settings = {**QUIET, **settings}
    alone = apart(one, data, seeds, **settings)
    together = fit_stacked(many, data, seeds=seeds, **settings)
    for model, stacked, before, a, b in zip(one, many, start, alone, together, strict=True):
        assert agree(model, stacked)
        assert not stacked.training
        assert float((nn.utils.parameters_to_vector(model.parameters()) - before).detach().abs().max()) > 1e-3
        assert a.train == pytest.approx(b.train, rel=1e-6)
        assert a.validation == pytest.approx(b.validation, rel=1e-6)
        assert (a.best_epoch, a.stopped_early) == (b.best_epoch, b.stopped_early)
    return together


@pytest.mark.parametrize("context", ["partial", "joint"])
@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"noisy"}))
def test_every_recipe_is_trained_as_alone(name: str, context: str) -> None:
    settings = {"positivity": name, "context": context}
    compare(networks(**settings), networks(**settings), samples(), loss="within_context", learning_rate=0.02)


def test_noise_is_drawn_for_each_model() -> None:
    start, many = networks(2, positivity="noisy"), networks(2, positivity="noisy")
    many[1].load_state_dict(many[0].state_dict())
    fit_stacked(many, [samples(), samples()], seeds=[0, 0], **QUIET)  # all else is equal
    assert not agree(start[0], many[0])
    assert not agree(many[0], many[1])


@pytest.mark.parametrize(
    "settings",
    [
        {"optimiser": "adam", "weight_decay": 0.1},
        {"optimiser": "adamw", "weight_decay": 0.1, "schedule": "constant"},
        {"optimiser": "sgd", "weight_decay": 0.1, "clip": 0.05},
        {"clip": 1e-3, "validation": 0.0},
        {"loss": WithinContext(level=0.5), "validation": samples(3), "standardise": False},
        {"polish": 3, "loss": "smooth_l1"},
    ],
    ids=["adam", "adamw", "sgd", "clip", "validation", "polish"],
)
def test_every_option_is_that_of_fit(settings: dict[str, Any]) -> None:
    compare(networks(), networks(), samples(), **{"learning_rate": 0.02, **settings})


def test_points_without_context() -> None:
    x = torch.rand(40, 3, generator=generator(0))
    data = (x, x.square().sum(dim=1))
    compare(networks(context_features=0), networks(context_features=0), data, learning_rate=0.02)


def test_modules_of_any_kind() -> None:
    def plain(seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1), nn.Flatten(0)).double()

    x = torch.rand(40, 3, generator=generator(0))
    compare([plain(0), plain(1)], [plain(0), plain(1)], (x, x.square().sum(dim=1)), learning_rate=0.02)


@pytest.mark.parametrize("positivity", ["projected", "admm"])
def test_recipes_act_in_modules_around_networks(positivity: str) -> None:
    x = torch.rand(40, 3, generator=generator(0), dtype=torch.float64)
    one, many = ([Around(net) for net in networks(2, context_features=0, positivity=positivity)] for _ in range(2))
    compare(one, many, (x, -x.square().sum(dim=1)), learning_rate=0.05)
    if positivity == "projected":
        assert min(float(weight().detach().min()) for model in many for _, weight in model.net.constrained()) == 0


def test_parameters_that_are_fixed_stay() -> None:
    one, many = networks(2), networks(2)
    for model in [*one, *many]:
        model.U[0].requires_grad_(False)
    before = many[0].U[0].clone()
    compare(one, many, samples(), learning_rate=0.02)
    assert torch.equal(many[0].U[0], before)


def test_models_that_stop_early_leave_and_the_others_go_on() -> None:
    histories = compare(networks(4), networks(4), samples(), learning_rate=0.2, patience=2, epochs=12)
    lengths = [history.epochs for history in histories]
    assert len(set(lengths)) > 1
    assert all(history.stopped_early for history in histories if history.epochs < 12)


def test_rates_and_data_of_each_models_own() -> None:
    one, many, sets = networks(), networks(), [samples(seed) for seed in range(3)]
    rates, decays = [0.01, 0.02, 0.05], [0.0, 0.1, 0.3]
    settings = {**QUIET, "optimiser": "adamw", "loss": "within_context"}
    for seed, (model, data) in enumerate(zip(one, sets, strict=True)):
        fit(model, data, seed=seed, learning_rate=rates[seed], weight_decay=decays[seed], **settings)
    fit_stacked(many, sets, learning_rate=rates, weight_decay=decays, **settings)
    assert all(agree(a, b) for a, b in zip(one, many, strict=True))


def test_a_finish_of_each_models_own() -> None:
    one, many = networks(), networks()
    for seed, (model, polish) in enumerate(zip(one, (0, 3, 5), strict=True)):
        fit(model, samples(), seed=seed, polish=polish, **QUIET)
    histories = fit_stacked(many, samples(), polish=[0, 3, 5], **QUIET)
    assert all(agree(a, b) for a, b in zip(one, many, strict=True))
    assert [bool(history.polish) for history in histories] == [False, True, True]
    with pytest.raises(ModelError, match="polish must be one number, or one per model; received 2 for 3"):
        fit_stacked(many, samples(), polish=[0, 3], **QUIET)
    with pytest.raises(ModelError, match="polish must be one number for one model; received 2"):
        fit(one[0], samples(), polish=[0, 3], **QUIET)
    with pytest.raises(ModelError, match="polish"):
        fit_stacked(many, samples(), polish=[0, 3, -1], **QUIET)


def test_one_that_goes_astray_leaves_the_others_as_they_are() -> None:
    alone, many = networks(), networks()
    with torch.no_grad():
        many[1].U[0].fill_(torch.nan)
    with pytest.raises(DivergedError, match="model 1: the loss is no longer finite in epoch 1") as raised:
        fit_stacked(many, samples(), **QUIET)
    assert [history.ok for history in raised.value.histories] == [True, False, True]
    assert raised.value.histories[2].epochs > 1
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.histories[0].train) == (str(raised.value), raised.value.histories[0].train)
    apart([alone[0], alone[2]], samples(), [0, 2], **QUIET)
    assert agree(alone[0], many[0])
    assert agree(alone[2], many[2])


def test_it_repeats_and_draws_from_its_seeds_alone() -> None:
    state = torch.get_rng_state()
    runs = [networks(2), networks(2)]
    for models in runs:
        fit_stacked(models, samples(), **QUIET)
    assert all(agree(a, b) for a, b in zip(*runs, strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_what_cannot_be_stacked_is_refused() -> None:
    with pytest.raises(ModelError, match="a model stands in two places"):
        fit_stacked(networks(1) * 2, samples(), **QUIET)
    with pytest.raises(ModelError, match="there are no models"):
        fit_stacked([], samples())
    with pytest.raises(ModelError, match="must share architecture"):
        fit_stacked([*networks(1), *networks(1, norm=(2,))], samples())
    with pytest.raises(ModelError, match="must share architecture"):
        fit_stacked([*networks(1), *networks(1, positivity="softplus")], samples())
    with pytest.raises(ModelError, match="must share architecture"):
        fit_stacked([*networks(1), *networks(1, dtype=torch.float32)], samples())
    frozen = networks(2)
    frozen[1].U[0].requires_grad_(False)
    with pytest.raises(ModelError, match="must share architecture"):
        fit_stacked(frozen, samples())
    mixed = [nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1).double()) for _ in range(2)]
    with pytest.raises(ModelError, match="must be of one type"):
        fit_stacked(mixed, samples())
    with pytest.raises(ModelError, match="3 models need one seed and one data set each; received 1 seeds and 3"):
        fit_stacked(networks(), samples(), seeds=[0])
    with pytest.raises(ModelError, match="received 3 seeds and 2 data sets"):
        fit_stacked(networks(), [samples(), samples()])
    with pytest.raises(ModelError, match="equal shapes"):
        fit_stacked(networks(2), [samples(), samples(count=20)])
    with pytest.raises(ModelError, match="learning_rate must be one number, or one per model; received 2 for 3"):
        fit_stacked(networks(), samples(), learning_rate=[0.1, 0.2])
    with pytest.raises(ModelError, match="learning_rate must be a finite number > 0; received -1"):
        fit_stacked(networks(2), samples(), learning_rate=[0.1, -1])
    with pytest.raises(ModelError, match="cannot be stacked"):
        fit_stacked(networks(2, positivity=Lift(conditioning="independent")), samples(), **QUIET)


@pytest.mark.parametrize("settings", [{}, {"context_channels": 1}, {"options": NetOptions(positivity="lift")}])
def test_images_in_float32_are_trained_as_alone(settings: dict[str, Any]) -> None:
    draw = generator(0)
    x, theta = torch.rand(40, 2, 6, 6, generator=draw), torch.rand(40, 1, 6, 6, generator=draw)
    y = (x - 0.5).square().sum(dim=(1, 2, 3)).double()
    data = Data(x, theta if "context_channels" in settings else None, y)

    def made() -> list[ConvSOCICNN]:
        return [ConvSOCICNN((2, 6, 6), (3, 3), generator=generator(seed), **settings) for seed in range(2)]

    alone, together = made(), made()
    before = apart(alone, data, [0, 1], **QUIET)
    after = fit_stacked(together, data, seeds=[0, 1], **QUIET)
    for one, two, a, b in zip(alone, together, before, after, strict=True):
        assert b.train == pytest.approx(a.train, rel=1e-4)
        for p, q in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
            assert torch.allclose(p, q, rtol=1e-3, atol=1e-4)
