"""The shapes of x, y and the context say what is a point, and a model gives one value for each: nothing broadcasts."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from socicnn import SOCICNN, ConvSOCICNN
from socicnn.errors import ModelError
from socicnn.training import DivergedError, fit, fit_stacked

DRAW = np.random.default_rng(0)
X, THETA = DRAW.uniform(-2, 2, size=(40, 3)), DRAW.normal(size=(40, 1))
Y, IMAGES = np.square(X).sum(axis=1), DRAW.normal(size=(40, 1, 6, 6))
QUIET: dict[str, Any] = {"epochs": 2, "progress": False}


def line() -> SOCICNN:
    return SOCICNN(1, (4,))


def space() -> SOCICNN:
    return SOCICNN(3, (4,))


def moved() -> SOCICNN:
    return SOCICNN(3, (4,), context_features=1)


def images() -> ConvSOCICNN:
    return ConvSOCICNN((1, 6, 6), (2,))


def affine() -> ConvSOCICNN:
    return ConvSOCICNN((1, 6, 6), (), quadratic=(), norm=())


WRONG = [
    (line, (X[:, :1], Y[:, None]), r"y must have shape \(40,\) .*received \(40, 1\): give y\[:, 0\]$"),
    (images, (IMAGES, Y[:, None]), r"y must have shape \(40,\) .*received \(40, 1\): give y\[:, 0\]$"),
    (space, (X, Y[:, None]), r"leading shape of x.*give y\[:, 0\]$"),
    (space, (X, X), r"y must have shape \(40,\) .*received \(40, 3\): fit one network per column"),
    (line, (X[:, 0], Y), r"x must have shape \(40, 1\) .*received \(40,\); give x.reshape\(40, 1\)$"),
    (line, (X, X), r"x must have shape \(40, 3, 1\) .*received \(40, 3\); give x.reshape\(40, 3, 1\)$"),
    (moved, (X, THETA[:, 0], Y), r"context must have shape \(40, 1\), .*\(40,\); give context.reshape\(40, 1\)$"),
    (moved, (X.reshape(8, 5, 3), THETA.reshape(8, 5, 1), Y.reshape(8, 5)), r"context must have shape \(8, 1\), one"),
    (images, (IMAGES[:, 0], Y), r"x must have shape \(40, 1, 6, 6\) .*received \(40, 6, 6\); give x.reshape"),
    (affine, (IMAGES[:, 0], Y), r"x must have shape \(40, 1, 6, 6\)"),
]


@pytest.mark.parametrize("way", ["fit", "fit_stacked"])
@pytest.mark.parametrize(("make", "data", "message"), WRONG)
def test_a_layout_that_is_not_the_networks_is_refused(make: Any, data: Any, message: str, way: str) -> None:
    with pytest.raises(ModelError, match=message):
        fit(make(), data, **QUIET) if way == "fit" else fit_stacked([make()], data, **QUIET)


@pytest.mark.parametrize(("make", "data", "message"), WRONG[:2])
def test_validation_data_are_held_to_it(make: Any, data: Any, message: str) -> None:
    with pytest.raises(ModelError, match=f"^the validation data cannot be used: .*{message}"):
        fit(make(), (data[0], Y), validation=data, **QUIET)


def test_one_candidate_per_context_is_a_layout() -> None:
    for make, points in ((line, X[:, None, :1]), (space, X[:, None]), (images, IMAGES[:, None])):
        models = [make(), make()]
        models[1].load_state_dict(models[0].state_dict())
        histories = [fit(models[0], (points, Y[:, None]), batch_size=16, **QUIET)]
        histories.append(fit(models[1], (points[:, 0], Y), batch_size=16, **QUIET))
        np.testing.assert_allclose(histories[0].train, histories[1].train, rtol=1e-4)
    assert fit(moved(), (X[:, None], THETA, Y[:, None]), **QUIET).epochs == 2


class Own(nn.Module):
    """A module of a user's own; `turn` changes what it returns."""

    def __init__(self, turn: Any) -> None:
        super().__init__()
        self.slope = nn.Linear(3, 1)
        self.turn = turn

    def forward(self, x: Tensor) -> Any:
        return self.turn(self.slope(x))


@pytest.mark.parametrize("way", ["fit", "fit_stacked"])
@pytest.mark.parametrize(
    ("turn", "shape"),
    [
        (lambda value: value, r"\(16, 1\)"),
        (lambda value: value.mean(), r"\(\)"),
        (lambda value: value.expand(-1, 2), r"\(16, 2\)"),
        (lambda value: (value, value), "tuple"),
    ],
)
@pytest.mark.parametrize("loss", ["mse", "quantile", lambda f, y: (f - y).abs().mean()])
def test_values_of_another_shape_are_refused(turn: Any, shape: str, way: str, loss: Any) -> None:
    settings = {"loss": loss, "batch_size": 16, **QUIET}
    with pytest.raises(ModelError, match=rf"one value per point, shape \(16,\) for this batch; received {shape}: "):
        fit(Own(turn), (X, Y), **settings) if way == "fit" else fit_stacked([Own(turn)], (X, Y), **settings)


def test_a_module_that_squeezes_takes_a_batch_of_one_row() -> None:
    assert fit(Own(torch.squeeze), (X[:33], Y[:33]), batch_size=16, validation=0, **QUIET).epochs == 2


def test_a_shape_of_validation_is_no_divergence() -> None:
    grouped = X.reshape(8, 5, 3), Y.reshape(8, 5)
    with pytest.raises(ModelError, match=r"validation data cannot be used: the model must give .*\(8, 5\)") as caught:
        fit(Own(lambda value: value.flatten()), (X, Y), validation=grouped, **QUIET)
    assert not isinstance(caught.value, DivergedError)
