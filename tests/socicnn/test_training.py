"""Training: it learns, repeats, resumes bit for bit, and says what is wrong."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from socicnn import SOCICNN
from socicnn.errors import ModelError
from socicnn.files import FileError
from socicnn.positivity import RECIPES, recipe
from socicnn.training import LOSSES, MSE, History, Samples, SmoothL1, WithinContext, fit
from tests.support.cases import generator

QUIET = {"progress": False}


def network(seed: int = 0, **settings) -> SOCICNN:
    settings = {"context_features": 2, "generator": generator(seed), **settings}
    return SOCICNN(3, (6,), (3,), (2,), **settings)


def contexts(count: int = 48, candidates: int = 8, seed: int = 0) -> Samples:
    """A quadratic whose centre, and whose level above all, move with the context."""
    draw = generator(seed)
    theta = torch.randn(count, 2, generator=draw)
    x = torch.rand(count, candidates, 3, generator=draw)
    centre = 0.3 * theta @ torch.ones(2, 3) + 0.2
    return Samples(x, (x - centre[:, None]).square().sum(dim=2) + 5 * theta[:, :1], theta)


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(two), strict=True))


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
    data = Samples(100 + 10 * data.x, 1e4 * data.y, torch.stack([data.context[:, 0], torch.full((48,), 7.0)], dim=1))
    model = network()
    fit(model, data, epochs=1, validation=0, **QUIET)
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
    moved = Samples(data.x.double() * 1e3 - 5, data.y.double() * 1e-6 + 3, data.context.double() * 50)
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


class Killed(BaseException):
    pass


@pytest.mark.parametrize("when", ["mid-epoch", "after an epoch", "twice"])
@pytest.mark.parametrize("settings", [{}, {"optimiser": "sgd", "schedule": "constant", "loss": "within_context"}])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path, when: str, settings: dict) -> None:
    path = tmp_path / "run.pt"
    keywords = {"epochs": 8, "batch_size": 10, "checkpoint_seconds": 0.0, **settings, **QUIET}
    whole = network()
    expected = fit(whole, contexts(), **keywords)

    def kill_at(last: int):
        def stop(step: int, model: nn.Module) -> None:
            if step == last:
                raise Killed

        return stop

    for last in {"mid-epoch": (13,), "after an epoch": (15,), "twice": (7, 22)}[when]:
        with pytest.raises(Killed):
            fit(network(), contexts(), checkpoint=path, on_step=kill_at(last), **keywords)
    resumed = network()
    history = fit(resumed, contexts(), checkpoint=path, **keywords)
    assert same(resumed, whole)
    assert history.resumed >= 1
    assert (history.train, history.validation) == (expected.train, expected.validation)
    assert history.best_epoch == expected.best_epoch


def test_a_finished_run_is_read_back_without_training(tmp_path: Path) -> None:
    keywords = {"epochs": 4, "checkpoint": tmp_path / "run.pt", **QUIET}
    first, second = network(), network()
    fit(first, contexts(), **keywords)
    steps = []
    history = fit(second, contexts(), on_step=lambda step, model: steps.append(step), **keywords)
    assert not steps
    assert history.resumed == 4
    assert same(first, second)


def test_checkpoints_of_other_runs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    fit(network(), contexts(), epochs=2, checkpoint=path, **QUIET)
    others = [
        (network(1), contexts(), {}),
        (network(), contexts(seed=3), {}),
        (network(), contexts(), {"learning_rate": 0.1}),
        (network(), contexts(), {"seed": 5}),
        (network(), contexts(), {"loss": WithinContext(0.5)}),
    ]
    for model, data, settings in others:
        with pytest.raises(ModelError, match="belongs to a run with other data, settings or initial weights; delete"):
            fit(model, data, checkpoint=path, **{"epochs": 2, **QUIET, **settings})


@pytest.mark.parametrize("content", [b"", b"noise" * 100, None])
def test_broken_checkpoints_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run.pt"
    fit(network(), contexts(), epochs=2, checkpoint=path, **QUIET)
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(FileError, match=r"run.pt is no whole checkpoint of socicnn; delete it to start anew"):
        fit(network(), contexts(), epochs=2, checkpoint=path, **QUIET)
    with pytest.raises(FileError, match="does not exist"):
        fit(network(), contexts(), epochs=2, checkpoint=tmp_path / "no" / "run.pt", **QUIET)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("held", [0, 0.25])
def test_polish_goes_on_to_the_last_digit(dtype: torch.dtype, held: float) -> None:
    """A SOC-ICNN without hidden layer holds the target exactly; Adam stops short of it."""
    x = torch.randn(200, 3, generator=generator(0), dtype=torch.float64)
    y = x.square().sum(dim=1) + x[:, 0]
    models = [SOCICNN(3, (), (3,), (), generator=generator(1), dtype=dtype) for _ in range(2)]
    keywords = {"epochs": 20, "validation": held, **QUIET}
    plain, polished = (fit(m, (x, y), polish=p, **keywords) for m, p in zip(models, (0, 150), strict=True))
    assert plain.train == polished.train
    errors = [((m(x.to(dtype)) - y) / y.std()).detach().square().mean().item() for m in models]
    assert errors[1] < (1e-10 if dtype == torch.float32 else 1e-16) < 1e-3 < errors[0]
    assert "after polishing" in str(polished)
    models[1].finalise().freeze()


def test_polish_keeps_projected_weights_non_negative_and_never_harms() -> None:
    model, data, held = network(), contexts(), contexts(seed=1)
    history = fit(model, data, loss="within_context", epochs=10, polish=40, validation=held, **QUIET)
    assert min(history.polish) < min(history.validation)
    model.freeze(torch.zeros(2))
    bound = [weight() for _, weight in model.constrained()]
    assert all((weight >= 0).all() for weight in bound)


@pytest.mark.parametrize("held", [0, 0.25])
def test_a_lift_is_polished_as_it_ends(held: float) -> None:
    """Its weights depend on the data: in the finish on all of them, as `finalise` emits them."""
    draw = generator(0)
    x, theta = (torch.randn(120, size, generator=draw, dtype=torch.float64) for size in (3, 2))
    y = torch.relu(x[:, 0] - theta[:, 0]) + x.square().sum(dim=1)
    options: dict[str, Any] = {"context_features": 2, "context": "joint", "positivity": "lift"}
    models = [SOCICNN(3, (8,), (3,), (2,), generator=generator(1), **options) for _ in range(2)]
    keywords = {"epochs": 10, "validation": held, **QUIET}
    plain, polished = (fit(m, (x, theta, y), polish=p, **keywords) for m, p in zip(models, (0, 60), strict=True))
    assert plain.train == polished.train
    ends = [m.finalise((x.float(), theta.float())) for m in models]
    errors = [(m(x.float(), theta.float()) - y).detach().square().mean().item() for m in ends]
    assert errors[1] < 0.5 * errors[0]
    assert len(polished.polish) > 0
    ends[1].freeze(torch.zeros(2))


def test_a_polished_run_resumes_and_is_read_back(tmp_path: Path) -> None:
    keywords = {"epochs": 4, "polish": 12, "checkpoint_seconds": 0.0, **QUIET}
    whole, resumed, again = network(), network(), network()
    fit(whole, contexts(), **keywords)

    def stop(step: int, model: nn.Module) -> None:
        if step == 7:
            raise Killed

    path = tmp_path / "run.pt"
    with pytest.raises(Killed):
        fit(network(), contexts(), checkpoint=path, on_step=stop, **keywords)
    fit(resumed, contexts(), checkpoint=path, **keywords)
    assert same(whole, resumed)
    history = fit(again, contexts(), checkpoint=path, **keywords)
    assert same(whole, again)
    assert history.resumed == 4


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
        ((X, THETA, Y[:5]), {}, "need equally many rows, at least one; received {'x': 10, 'y': 5, 'context': 10}"),
        ((X[:0], THETA[:0], Y[:0]), {}, "at least one"),
        ((X, THETA, Y[:, :2]), {}, "y must have the leading shape of x"),
        ((X * torch.nan, THETA, Y), {}, "x of the data has 120 non-finite entries; remove or replace"),
        ((X, THETA, torch.full_like(Y, torch.inf)), {}, "y of the data has 40 non-finite"),
        ((X, THETA, Y, Y), {}, "received a tuple of 4"),
        (X, {}, "data must have x and y"),
        ((X, Y), {}, "context is missing"),
        ((X[..., :2], THETA, Y), {}, "x must have shape"),
        ((X, THETA, Y), {"loss": "hinge"}, "unknown loss 'hinge'; there are: mse, smooth_l1, within_context"),
        ((X, THETA, Y), {"loss": 3}, "loss must be a name, a Loss or a function"),
        ((X[:, 0], THETA, Y[:, 0]), {"loss": "within_context"}, "needs several candidates a context"),
        ((X, THETA, Y), {"optimiser": "magic"}, "unknown optimiser 'magic'; there are: adam, adamw, sgd"),
        ((X, THETA, Y), {"schedule": "step"}, "unknown schedule 'step'"),
        ((X, THETA, Y), {"epochs": 0}, "epochs must be an integer >= 1"),
        ((X, THETA, Y), {"batch_size": 2.5}, "batch_size must be an integer"),
        ((X, THETA, Y), {"validation": 1.0}, r"validation must be a share in \[0, 1\) or data"),
        ((X, THETA, Y), {"learning_rate": -1.0}, "learning_rate must be a finite number > 0; received -1.0"),
        ((X, THETA, Y), {"weight_decay": -1e-6}, "weight_decay must be a finite number >= 0; received -1e-06"),
        ((X, THETA, Y), {"polish": -1}, "polish must be a finite number >= 0; received -1"),
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
