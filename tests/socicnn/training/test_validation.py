"""What is held out: data of the user's own are checked as training data are, and a share leaves both parts usable."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import decision
from socicnn import SOCICNN
from socicnn.errors import ModelError
from socicnn.training import Data, fit, fit_stacked
from socicnn.training._history import DivergedError

DRAW = np.random.default_rng(0)
X, THETA = DRAW.uniform(size=(60, 2)), DRAW.normal(size=(60, 3))
Y = np.square(X).sum(axis=1)
GROUPED = X.reshape(12, 5, 2), THETA[:12], Y.reshape(12, 5)
QUIET: dict[str, Any] = {"epochs": 2, "progress": False}


def network(context: int = 0) -> SOCICNN:
    draw = torch.Generator().manual_seed(0)
    return SOCICNN(2, (4,), (2,), context_features=context, context="partial", generator=draw)


class Wide(nn.Module):
    """A module of a user's own, without checks: it takes any x that broadcasts."""

    def __init__(self) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.centre).square().sum(dim=-1)


PLAIN = [
    ((X[:, :1], Y), r"x must have shape \(60, 2\) .*received \(60, 1\)$"),
    ((np.ones((60, 3)), Y), r"x must have shape \(60, 2\)"),
    ((X, THETA, Y), "context was given"),
    ((X[:, 0], Y), "x must have shape"),
    ((X[:0], Y[:0]), "at least one"),
    ((X * np.nan, Y), "x of the data has 120 non-finite entries"),
    ((X, Y * np.inf), "y of the data has 60 non-finite entries"),
    ((X, Y[:5]), "equally many rows"),
    ((X * 1e200, Y), "too large for torch.float32"),
    ("0.1", "data must have x and y"),
]
MOVED = [
    ((X, THETA[:, :1], Y), r"context must have shape \(60, 3\), .*received \(60, 1\)$"),
    ((X, Y), "context is missing"),
    ((X, THETA * np.nan, Y), "context of the data has 180 non-finite"),
]


@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize("way", ["fit", "fit_stacked", "decision.fit"])
def test_validation_data_that_do_not_fit_are_refused_by_name(way: str, context: int) -> None:
    for held, message in MOVED if context else PLAIN:
        train = (X, THETA, Y) if context else (X, Y)
        with pytest.raises(ModelError, match=f"^the validation data cannot be used: .*{message}") as caught:
            if way == "fit_stacked":
                fit_stacked([network(context)], train, validation=held, **QUIET)
            elif way == "fit":
                fit(network(context), train, validation=held, **QUIET)
            else:
                decision.fit(network(context), train, loss="mse", validation=held, **QUIET)
        assert not isinstance(caught.value, DivergedError)


def test_a_module_without_checks_is_validated_on_rows_like_those_of_its_training() -> None:
    assert len(fit(Wide(), (X, Y), validation=(X[:9], Y[:9]), **QUIET).validation) == 2
    for held in ((X[:, :1], Y), (X, THETA, Y)):
        with pytest.raises(ModelError, match=r"validation data .* in the training data \{'x': \(2,\)\}"):
            fit(Wide(), (X, Y), validation=held, **QUIET)


def test_the_loss_has_to_take_the_validation_data() -> None:
    for held, message in (
        ((X, THETA, Y), r"shape \(12, 5\); received \(60,\)"),
        (Data(*GROUPED, weight=np.ones((12, 5))), "takes no weights"),
    ):
        with pytest.raises(ModelError, match=f"validation data .*within_context .*{message}") as caught:
            fit(network(3), GROUPED, validation=held, **QUIET)
        assert not isinstance(caught.value, DivergedError)


@pytest.mark.parametrize("turn", [1, -1])
def test_a_mean_over_values_is_validated_in_either_layout(turn: int) -> None:
    train, held = (GROUPED, (X, THETA, Y))[::turn]
    history = fit(network(3), train, loss="mse", validation=held, **QUIET)
    assert np.isfinite(history.validation).all()


def test_gradients_of_the_validation_data_have_the_shape_of_x() -> None:
    held = {"x": X, "y": Y, "gradient": 2 * X[:, :1]}
    with pytest.raises(ModelError, match=r"validation data .*gradient of the data must have shape \(60, 2\)"):
        fit(network(), (X, Y), validation=type("Held", (), held)(), **QUIET)


@pytest.mark.parametrize("heavy", [2, 3, 58])
@pytest.mark.parametrize("validation", [0.1, 0.9])
def test_both_parts_of_a_split_have_weight(heavy: int, validation: float) -> None:
    weight = np.zeros(60)
    weight[:heavy] = 1.0
    data = Data(torch.tensor(X), None, torch.tensor(Y), weight=torch.tensor(weight))
    for seed in range(10):
        history = fit(network(), data, validation=validation, seed=seed, **QUIET)
        assert np.isfinite(history.validation).all()
        draw = torch.Generator().manual_seed(seed)
        parts = data.split(round(60 * validation), draw)
        assert all(part.weight is not None and part.weight.any() for part in parts)
        assert sorted(torch.cat([part.y for part in parts]).tolist()) == sorted(Y.tolist())


def test_a_single_row_of_weight_cannot_be_held_out() -> None:
    weight = np.zeros(60)
    weight[7] = 2.0
    data = Data(X, None, Y, weight=weight)
    with pytest.raises(ModelError, match=r"only 1 of 60 rows has a weight above 0.* set validation to 0"):
        fit(network(), data, **QUIET)
    assert fit(network(), data, validation=0.0, **QUIET).epochs == 2


def test_candidates_without_weight_leave_their_context_its_own() -> None:
    weight = np.zeros((12, 5))
    weight[:2, 0] = 1.0
    for seed in range(10):
        history = fit(network(3), Data(*GROUPED, weight=weight), seed=seed, **QUIET)
        assert np.isfinite(history.validation).all()


def test_rows_without_weight_do_not_set_the_units() -> None:
    """A column that varies in rows of weight 0 alone is constant."""
    x, weight = X.copy(), np.ones(60)
    weight[30:], x[:30, 1] = 0.0, 5.0
    model = network()
    fit(model, Data(x, None, Y, weight=weight), validation=0.0, **QUIET)
    assert model.standardisation.x_scale[1] == 1.0


def test_a_share_leaves_a_row_to_train_on() -> None:
    history = fit(network(), (X[:3], Y[:3]), validation=0.9, **QUIET)
    assert history.epochs == 2
