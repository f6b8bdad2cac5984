"""Training: it learns, repeats, and says what is wrong."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from socicnn.errors import ModelError
from socicnn.positivity import RECIPES, HyperNetwork, recipe
from socicnn.training import MSE, Data, History, SmoothL1, WithinContext
from socicnn.training._losses import LOSSES, Loss
from tests.support.cases import generator
from tests.support.modules import Around
from tests.support.runs import QUIET, contexts, fit, fit_stacked, network, same, weights


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_learns_and_keeps_the_best_weights(loss: str) -> None:
    model, data, held = network(), contexts(), contexts(seed=1)
    history = fit(model, data, loss=loss, epochs=40, validation=held, **QUIET)
    assert len(history.train) == len(history.validation) == history.epochs == 40
    assert min(history.validation) < 0.3 * history.validation[0]
    assert history.best_epoch == 1 + int(np.argmin(history.validation))
    scale = LOSSES[loss]().scale(data.y)
    with torch.no_grad():
        error = LOSSES[loss]()(
            (model(held.x, held.aligned()) - data.y.mean()) / scale, (held.y - data.y.mean()) / scale
        )
    assert error.item() == pytest.approx(min(history.validation), rel=1e-4)
    assert not model.training


def test_within_context_loss_cares_for_differences_not_levels() -> None:
    data = contexts()
    errors = {}
    for loss in ("mse", "within_context"):
        model = network()
        fit(model, data, loss=loss, epochs=40, **QUIET)
        with torch.no_grad():
            residual = model(data.x, data.aligned()) - data.y
        errors[loss] = (residual - residual.mean(dim=1, keepdim=True)).square().mean().item()
    assert errors["within_context"] < 0.5 * errors["mse"]


def test_losses_by_their_formulas() -> None:
    y = torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    f = torch.tensor([[1.0, 1.0], [4.0, 2.0]])
    assert MSE()(f, y) == torch.tensor((1 + 1 + 9 + 1) / 4)
    assert SmoothL1()(f, y) == torch.tensor((0.5 + 0.5 + 2.5 + 0.5) / 4)
    # residuals 1, -1 | 3, 1: within 1, 1 | 1, 1; means 0 | 2
    assert WithinContext(level=0.25)(f, y) == torch.tensor(1.0 + 0.25 * (0 + 4) / 2)
    for loss in (MSE(), WithinContext()):
        scale = loss.scale(y)
        assert loss((y.mean() / scale).expand_as(y), y / scale).item() == pytest.approx(1)


def test_single_points_without_context() -> None:
    x = torch.rand(200, 3, generator=generator(0))
    model = network(context_features=0)
    history = fit(model, (x, x.square().sum(dim=1)), epochs=30, batch_size=32, **QUIET)
    assert history.validation[-1] < 0.1 * history.validation[0]


def test_units_come_from_the_training_data() -> None:
    data = contexts()
    data = Data(100 + 10 * data.x, torch.stack([data.context[:, 0], torch.full((48,), 7.0)], dim=1), 1e4 * data.y)
    model = network()
    fit(model, data, loss="mse", epochs=1, validation=0, **QUIET)
    units = model.standardisation
    torch.testing.assert_close(units.x_mean, data.x.mean(dim=(0, 1)))
    torch.testing.assert_close(units.x_scale, data.x.std(dim=(0, 1), unbiased=False))
    torch.testing.assert_close(units.context_scale[1], torch.tensor(1.0))  # constant
    torch.testing.assert_close(units.context_mean[1], torch.tensor(7.0))
    torch.testing.assert_close(units.y_scale, data.y.std(unbiased=False))
    untouched = network()
    fit(untouched, contexts(), epochs=1, standardise=False, **QUIET)
    assert untouched.standardisation.y_scale == 1


def test_the_scale_of_the_data_does_not_matter() -> None:
    data = contexts()
    one, two = network(dtype=torch.float64), network(dtype=torch.float64)
    first = fit(one, data, epochs=5, **QUIET)
    moved = Data(data.x.double() * 1e3 - 5, data.context.double() * 50, data.y.double() * 1e-6 + 3)
    second = fit(two, moved, epochs=5, **QUIET)
    np.testing.assert_allclose(first.validation, second.validation, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_same_seed_gives_the_same_result(dtype: torch.dtype) -> None:
    state = torch.get_rng_state()
    models = [network(dtype=dtype) for _ in range(3)]
    histories = [fit(m, contexts(), epochs=4, seed=s, **QUIET) for m, s in zip(models, (7, 7, 8), strict=True)]
    assert same(models[0], models[1])
    assert histories[0].validation == histories[1].validation
    assert not same(models[0], models[2])
    assert torch.equal(torch.get_rng_state(), state)  # nothing global is drawn from or seeded


def test_patience_ends_the_run_and_the_best_weights_stay() -> None:
    model = network()
    history = fit(model, contexts(16), epochs=400, learning_rate=0.3, schedule="constant", patience=3, **QUIET)
    assert history.stopped_early
    assert history.epochs == history.best_epoch + 3 < 400


def test_without_validation_the_last_weights_are_kept() -> None:
    seen = []
    model = network()
    history = fit(model, contexts(), epochs=3, validation=0, on_step=lambda s, m: seen.append(weights(m)), **QUIET)
    assert history.validation == []
    assert history.best_epoch == 3
    assert all(torch.equal(a, b) for a, b in zip(weights(model), seen[-1], strict=True))


def test_hooks_of_any_module_are_used() -> None:
    class Custom(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slope = nn.Parameter(torch.ones(3))
            self.calls = []

        def forward(self, x, context):
            return x @ self.slope + context.sum(dim=-1)

        def condition(self, x, context):
            self.calls.append(("condition", tuple(x.shape), tuple(context.shape)))

        def penalty(self):
            self.calls.append("penalty")
            return self.slope.square().sum()

        def after_step(self):
            self.calls.append("after_step")

    model = Custom()
    fit(model, contexts(20), epochs=1, batch_size=20, validation=0, **QUIET)
    assert model.calls == [("condition", (20, 8, 3), (20, 1, 2)), "penalty", "after_step"]


@pytest.mark.parametrize("positivity", ["projected", "admm"])
def test_recipes_act_in_a_module_around_a_network(positivity: str) -> None:
    """Else weights that stand for a convex function turn negative in silence."""
    x = 1 + 2 * torch.rand(200, 3, generator=generator(0), dtype=torch.float64)
    data = (x, -(x - 2).square().sum(dim=1))  # concave, so that every weight wants to be negative
    inner, own = (network(context_features=0, positivity=positivity, dtype=torch.float64) for _ in range(2))
    settings = {"epochs": 3, "learning_rate": 0.05, "validation": 0, "standardise": False, **QUIET}
    fit(Around(inner), data, **settings)
    fit(own, ((x - 1) / 2, data[1]), **settings)
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(weights(inner), weights(own), strict=True))
    if positivity == "projected":
        assert min(float(weight().detach().min()) for _, weight in inner.constrained()) == 0
    plain = nn.Linear(3, 1)
    fit(nn.Sequential(plain, nn.Flatten(0)), (torch.rand(9, 3), torch.rand(9)), epochs=1, **QUIET)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_that_needs_no_data_stays_non_negative(name: str) -> None:
    if recipe(name).needs_data:
        return
    model = network(positivity=name)
    fit(model, contexts(), epochs=3, learning_rate=0.1, **QUIET)
    net = model.finalise().freeze(torch.zeros(2))
    assert (net.output.w >= 0).all()


def test_data_of_many_kinds_is_the_same_data() -> None:
    data = contexts()
    arrays = SimpleNamespace(x=data.x.numpy(), y=data.y.numpy(), context=data.context.numpy())
    models = [network() for _ in range(3)]
    for model, given in zip(models, (data, arrays, (data.x, data.context, data.y)), strict=True):
        fit(model, given, epochs=2, **QUIET)
    assert same(models[0], models[1])
    assert same(models[0], models[2])


X, Y, THETA = torch.rand(10, 4, 3), torch.rand(10, 4), torch.rand(10, 2)


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ((X, THETA, Y[:5]), {}, "need equally many rows, at least one; received {'x': 10, 'context': 10, 'y': 5}"),
        ((X[:0], THETA[:0], Y[:0]), {}, "at least one"),
        ((X, THETA, Y[:, :2]), {}, "y must have the leading shape of x"),
        ((X * torch.nan, THETA, Y), {}, "x of the data has 120 non-finite entries; remove or replace"),
        ((X, THETA, torch.full_like(Y, torch.inf)), {}, "y of the data has 40 non-finite"),
        ((X, THETA, Y, Y), {}, "received a tuple of 4"),
        (X, {}, "data must have x and y"),
        ((X, Y), {}, "context is missing"),
        ((X[..., :2], THETA, Y), {}, "x must have shape"),
        (
            (X, THETA, Y),
            {"loss": "hinge"},
            "unknown loss 'hinge'; there are: huber, mse, quantile, smooth_l1, within_context",
        ),
        ((X, THETA, Y), {"loss": 3}, "loss must be a name, a Loss or a function"),
        ((X[:, 0], THETA, Y[:, 0]), {"loss": "within_context"}, "two or more; no context repeats: use loss=.mse."),
        ((X, THETA, Y), {"optimiser": "magic"}, "unknown optimiser 'magic'; there are: adam, adamw, sgd"),
        ((X, THETA, Y), {"schedule": "step"}, "unknown schedule 'step'"),
        ((X, THETA, Y), {"epochs": 0}, "epochs must be an integer >= 1"),
        ((X, THETA, Y), {"batch_size": 2.5}, "batch_size must be an integer"),
        ((X, THETA, Y), {"validation": 1.0}, r"validation must be a share in \[0, 1\) or data"),
        ((X, THETA, Y), {"learning_rate": -1.0}, "learning_rate must be a finite number > 0; received -1.0"),
        ((X, THETA, Y), {"weight_decay": -1e-6}, "weight_decay must be a finite number >= 0; received -1e-06"),
        ((X, THETA, Y), {"polish": -1}, "polish must be an integer >= 0; received -1"),
        ((X, THETA, Y), {"patience": 0}, "patience must be an integer >= 1"),
    ],
)
def test_what_cannot_be_used_is_named(data, settings, message) -> None:
    with pytest.raises(ModelError, match=message):
        fit(network(), data, **{"epochs": 1, **QUIET, **settings})


def test_a_loss_that_explodes_is_named_and_the_best_weights_come_back() -> None:
    model = network()
    kept = []

    def spoil(step: int, given: nn.Module) -> None:
        if step == 3:
            with torch.no_grad():
                next(given.parameters()).fill_(torch.nan)

    with pytest.raises(ModelError, match=r"no longer finite in epoch 2; lower learning_rate \(now 0.01\)"):
        fit(
            model,
            contexts(),
            epochs=9,
            batch_size=24,
            on_step=spoil,
            on_epoch=lambda history: kept.append(weights(model)),
            **QUIET,
        )
    assert len(kept) == 1
    assert all(torch.equal(a, b) for a, b in zip(weights(model), kept[0], strict=True))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for name, stream, progress in (
        ("asked", Terminal(), True),
        ("not asked", Terminal(), False),
        ("to a file", io.StringIO(), True),
    ):
        monkeypatch.setattr("sys.stderr", stream)
        fit(network(), contexts(), epochs=2, polish=1, progress=progress, description="surrogate")
        shown[name] = stream.getvalue()
    assert "surrogate: 100%" in shown["asked"]
    assert "validation" in shown["asked"]
    assert "surrogate, polish" in shown["asked"]
    assert shown["not asked"] == shown["to a file"] == ""


def test_history_speaks_in_a_sentence() -> None:
    history = History([3.0, 2.0], [2.5, 4.0], best_epoch=1, seconds=1.25)
    assert str(history) == "2 epochs in 1.2 s, weights of epoch 1 kept, validation loss 2.5"
    assert str(History()) == "0 epochs in 0.0 s, weights of epoch 0 kept"


class Each(Loss):
    name = "each"

    def __call__(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (prediction - target).square()


@pytest.mark.parametrize("way", [fit, lambda model, data, **settings: fit_stacked([model], data, **settings)])
@pytest.mark.parametrize("settings", [{"validation": 0}, {"polish": 2}])
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda f, y: (f - y).square(), r"<lambda> must return a tensor of one number.*received shape \(20, 8\)"),
        (Each(), r"the loss each must return a tensor of one number, such as a .mean\(\); received shape \(20, 8\)"),
        (lambda f, y: 1.0, "one number.*received float"),
    ],
)
def test_a_loss_of_ones_own_returns_one_number(loss, message: str, settings: dict, way) -> None:
    with pytest.raises(ModelError, match=message):
        way(network(), contexts(), loss=loss, epochs=1, batch_size=20, **settings, **QUIET)


class Tagged(nn.Module):
    """A module of somebody's own with one weight that must stay non-negative, and a context."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.other, self.out = nn.Linear(3, 4), nn.Linear(2, 4), nn.Linear(4, 1)
        self.out.weight._pos_required = True

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.own(x) + self.other(context)))[..., 0]


def test_a_lifted_module_with_contexts_is_validated_by_its_points() -> None:
    for data in (contexts(40), Data(contexts(40).x[:, 0], contexts(40).context, contexts(40).y[:, 0])):
        lifted = HyperNetwork(3, [8], Tagged(), generator=generator(0))
        history = fit(lifted, data, epochs=2, **QUIET)
        assert len(history.validation) == 2
        assert bool((lifted.finalise(data.x).out.weight >= 0).all())


def test_tags_that_nothing_keeps_are_refused() -> None:
    with pytest.raises(ModelError, match=r"out.weight of Tagged is tagged `_pos_required`, and nothing keeps it"):
        fit(Tagged(), contexts(), epochs=1, **QUIET)
    model = Tagged()
    model.after_step = lambda: model.out.weight.data.clamp_(min=0)
    fit(model, contexts(), epochs=1, **QUIET)
    assert bool((model.out.weight >= 0).all())
