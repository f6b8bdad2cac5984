"""Weights, labels of gradients, the quantile loss and the stages of a penalised finish."""

import numpy as np
import pytest
import torch
from torch import nn

from socicnn import SOCICNN
from socicnn.errors import ModelError
from socicnn.training import Data, FitOptions, HuberLoss, Quantile, fit, fit_stacked
from tests.support.cases import generator
from tests.support.runs import weights


def points(count: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of three very different units, values and gradients of a quadratic."""
    size = np.array([1, 0.2, 0.01])
    x = np.random.default_rng(seed).normal(size=(count, 3)) / size
    return x, ((x * size) ** 2).sum(axis=1) + 3 * x[:, 0], 2 * x * size**2 + [3, 0, 0]


def network(seed: int = 0) -> SOCICNN:
    return SOCICNN(3, (4,), generator=generator(seed), dtype=torch.float64)


def test_gradients_teach_what_values_leave_open() -> None:
    x, y, slope = points(15)
    far, truth, _ = points(200, seed=1)
    errors = []
    for labels in (None, slope):
        model = network()
        options = FitOptions(polish=80)
        fit(model, Data(x, None, y, gradient=labels), epochs=5, validation=0, progress=False, options=options)
        with torch.no_grad():
            errors.append(float((model(torch.from_numpy(far)) - torch.from_numpy(truth)).square().mean()))
    assert errors[1] < 1e-3 * truth.var()
    assert errors[1] < 0.1 * errors[0]


def test_the_loss_of_gradients_by_its_formula() -> None:
    x, y, slope = points(40)
    losses = []
    for labels, share in ((None, 1.0), (slope, 1.0), (slope, 3.0)):
        options = FitOptions(gradient_weight=share, schedule="constant")
        run = fit(
            network(),
            Data(x, None, y, gradient=labels),
            epochs=1,
            batch_size=40,
            validation=0,
            progress=False,
            options=options,
        )
        losses.append(run.train[0])
    model = network()
    scale = {"x": x.std(axis=0), "y": y.std()}
    model.standardise(x_mean=x.mean(axis=0), x_scale=scale["x"], y_mean=y.mean(), y_scale=scale["y"])
    at = torch.from_numpy(x).requires_grad_()
    (found,) = torch.autograd.grad(model(at).sum(), at)
    error = (((found.numpy() - slope) * scale["x"] / scale["y"]) ** 2).sum(axis=1).mean()
    assert losses[1] - losses[0] == pytest.approx(error, rel=1e-9)
    assert losses[2] - losses[0] == pytest.approx(3 * error, rel=1e-9)


def test_a_weight_of_two_is_a_row_twice() -> None:
    x, y, _ = points(30)
    counts = np.arange(30) % 3
    weighted, repeated = network(), network()
    given = {"epochs": 3, "batch_size": 100, "validation": 0, "progress": False}
    kept = counts > 0
    fit(weighted, Data(x[kept], None, y[kept], weight=counts[kept].astype(float)), **given)
    fit(repeated, (np.repeat(x, counts, axis=0), np.repeat(y, counts)), **given)
    for ours, theirs in zip(weights(weighted), weights(repeated), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(weighted.standardisation.x_mean, repeated.standardisation.x_mean)
    torch.testing.assert_close(weighted.standardisation.y_scale, repeated.standardisation.y_scale)


def test_the_quantile_loss_is_least_at_the_quantile() -> None:
    y = torch.tensor([0.0, 1, 2, 3, 10], dtype=torch.float64)
    levels = torch.linspace(-1, 11, 1201, dtype=torch.float64)
    for level, quantile in ((0.3, 1.0), (0.5, 2.0), (0.9, 10.0)):
        losses = [float(Quantile(level)(f.expand(5), y)) for f in levels]
        assert float(levels[int(np.argmin(losses))]) == pytest.approx(quantile)
    assert float(HuberLoss(2.0)(torch.tensor([3.0, 1.0]), torch.zeros(2))) == pytest.approx((2 * (3 - 1) + 0.5) / 2)


def test_the_penalty_is_chosen_on_the_validation_data() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 3))
    y = x[:, 0] + rng.normal(0, 1.0, 60)  # mostly noise
    held = rng.normal(size=(500, 3))
    model = SOCICNN(3, (16,), generator=generator(0), dtype=torch.float64)
    options = FitOptions(polish=150, ridge=(0.1, 0.01, 1e-4))
    history = fit(model, (x, y), epochs=1, validation=(held, held[:, 0]), progress=False, options=options)
    with torch.no_grad():
        error = (model(torch.from_numpy(held)) - torch.from_numpy(held[:, 0])).square().mean()
    assert min(history.polish) < 0.7 * history.polish[-1]  # the weakest penalty overfits
    assert float(error) / y.var() == pytest.approx(min(history.polish), rel=1e-9)


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        ({"gradient": np.zeros((30, 2))}, {}, r"gradient of the data must have shape \(30, 3\)"),
        ({"weight": np.zeros(30)}, {}, "not all zero"),
        ({"weight": -np.ones(30)}, {}, "30 below 0"),
        ({"weight": np.ones((30, 1))}, {}, r"weight of the data must have shape \(30,\)"),
        ({"weight": np.ones(30)}, {"loss": lambda f, y: (f - y).abs().mean()}, "takes no weights"),
    ],
)
def test_labels_that_do_not_fit_are_named(labels: dict, settings: dict, message: str) -> None:
    x, y, slope = points(30)
    with pytest.raises(ModelError, match=message):
        fit(network(), Data(x, None, y, **labels), epochs=1, progress=False, **settings)
    with pytest.raises(ModelError, match="no gradients"):
        fit_stacked([network(), network(1)], Data(x, None, y, gradient=slope), epochs=1, progress=False)
    with pytest.raises(ModelError, match=r"network of socicnn\.nn"):
        plain = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)).double()
        fit(plain, Data(x, None, y, gradient=slope), epochs=1, progress=False)
    with pytest.raises(ModelError, match="ridge"):
        FitOptions(ridge=(-1.0,))
    with pytest.raises(ModelError, match="level"):
        Quantile(1.0)
    with pytest.raises(ModelError, match="delta"):
        HuberLoss(0.0)
