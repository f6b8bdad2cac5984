"""Points of one context are gathered, the loss follows from that, and branches are sized by the data."""

from typing import Any

import numpy as np
import pytest
import torch

import decision
from socicnn import SOCICNN, ModelError
from socicnn.training import History, fit, fit_stacked, network_for

DRAW = np.random.default_rng(0)
X = DRAW.uniform(size=(640, 2))
THETA = np.repeat(DRAW.normal(size=(160, 1)), 4, axis=0)
Y = np.square(X - THETA).sum(axis=1)


def network() -> SOCICNN:
    return SOCICNN(2, (3,), context_features=1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def fitted(x: Any, theta: Any, y: Any, **settings: Any) -> tuple[SOCICNN, History]:
    model = network()
    return model, fit(model, (x, theta, y), epochs=3, progress=False, **settings)


def equal(one: SOCICNN, two: SOCICNN) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_repeated_contexts_are_gathered_within_eight_roundings_of_their_range() -> None:
    order = np.argsort(THETA[:, 0], kind="stable").reshape(160, 4)  # contexts come in the order of their values
    grouped, said = fitted(X[order], THETA[order[:, 0]], Y[order])
    assert said.loss == "within_context"
    assert "(within_context: 160 contexts with 4 points each)" in str(said)
    offset = 2.0**31  # jitter is relative to the range of the column, not to its size
    for moved in (THETA, THETA + np.ptp(THETA) * 2.0**-51 * DRAW.integers(0, 2, size=(640, 1))):
        model, history = fitted(X, moved, Y)
        assert (history.loss, history.reason) == ("within_context", "160 contexts with 4 points each")
        assert model.ranges is not None
        if moved is THETA:
            assert equal(model, grouped)
    _, history = fitted(X, np.round(THETA * 2**20) / 2**20 + offset, Y)
    assert history.reason == "160 contexts with 4 points each"
    _, apart = fitted(X, THETA + np.ptp(THETA) * 2.0**-45 * np.arange(640)[:, None], Y)
    assert (apart.loss, apart.reason) == ("mse", "no context repeats")


@pytest.mark.parametrize(
    ("rows", "loss", "reason"),
    [
        (slice(None), "within_context", "160 contexts with 4 points each"),
        (slice(4, 640), "mse", "159 contexts with 4 points each, too few to gather: under 160"),
        (slice(0, 639), "mse", "contexts have unequal numbers of points, from 3 to 4"),
        (slice(0, 640, 4), "mse", "no context repeats"),
    ],
)
def test_the_loss_is_chosen_by_the_contexts_and_said(rows: slice, loss: str, reason: str) -> None:
    for way in (fit, fit_stacked):
        model = network()
        given = (X[rows], THETA[rows], Y[rows])
        histories = way([model] if way is fit_stacked else model, given, epochs=1, progress=False)
        history = histories[0] if isinstance(histories, list) else histories
        assert (history.loss, history.reason) == (loss, reason)


def test_a_loss_that_is_named_is_used() -> None:
    _, history = fitted(X, THETA, Y, loss="mse")
    assert (history.loss, history.reason) == ("mse", "as asked")
    plain = SOCICNN(2, (3,))
    assert fit(plain, (X, Y), epochs=1, progress=False).reason == "there are no contexts"
    model = network()
    decision.fit(model, (X, THETA, Y), epochs=3, progress=False)  # asks for within_context
    assert equal(model, fitted(X, THETA, Y)[0])
    with pytest.raises(ModelError, match=r"two or more; contexts have unequal numbers of points, from 3 to 4: use"):
        fitted(X[:639], THETA[:639], Y[:639], loss="within_context")
    with pytest.raises(ModelError, match="there are no contexts: use loss='mse'"):
        fit(plain, (X, Y), loss="within_context", epochs=1, progress=False)


def test_validation_data_are_gathered_too() -> None:
    _, history = fitted(X, THETA, Y, validation=(X[:8], THETA[:8], Y[:8]))
    assert len(history.validation) == 3


def test_branches_have_no_more_rows_than_there_are_points() -> None:
    """Branches of n rows would have 27 million parameters here, for 20 numbers to learn from."""
    x = DRAW.normal(size=(20, 3000))
    y = np.square(x).sum(axis=1)
    model = network_for((x, y), (32,))
    assert sum(parameter.numel() for parameter in model.parameters()) < 400_000
    fit(model, (x, y), epochs=1, progress=False)
    with pytest.warns(UserWarning, match=r"a branch has 3000 rows, 9000000 parameters, for 20 points.*network_for"):
        fit(SOCICNN(3000, (), norm=()), (x, y), epochs=1, progress=False)
    grouped = network_for((DRAW.normal(size=(3, 4, 50)), np.zeros((3, 2)), np.zeros((3, 4))), (8,))
    assert (grouped.quadratic, grouped.context_features) == ((12,), 2)


@pytest.mark.parametrize("contexts", [2, 24])
def test_few_contexts_are_not_gathered_unless_asked(contexts: int) -> None:
    """Batches of 16 contexts would be one or two steps per epoch, and a tenth of two contexts validates nothing."""
    draw = np.random.default_rng(1)
    theta = np.tile(np.arange(float(contexts))[:, None], (960 // contexts, 1))
    x = draw.normal(size=(960, 2))
    y = np.square(x - np.sin(theta / 4)).sum(axis=1)
    models = [network() for _ in range(3)]
    losses: tuple[Any, ...] = ("auto", "mse", "within_context")
    histories = [
        fit(model, (x, theta, y), loss=loss, epochs=20, progress=False)
        for model, loss in zip(models, losses, strict=True)
    ]
    assert equal(models[0], models[1])
    assert histories[0].validation == histories[1].validation
    assert len(histories[0].validation) == 20
    with torch.no_grad():
        errors = [(model(torch.tensor(x), torch.tensor(theta)) - torch.tensor(y)).numpy().var() for model in models]
    assert errors[0] < 0.5 * errors[2]  # which counts contexts: as asked
    assert "as asked" in str(histories[2])


def test_a_layout_of_ones_own_with_few_contexts_is_kept() -> None:
    own = X[:24].reshape(6, 4, 2), THETA[:24:4], Y[:24].reshape(6, 4)
    _, history = fitted(*own)
    assert (history.loss, history.reason) == ("within_context", "6 contexts with 4 points each")
