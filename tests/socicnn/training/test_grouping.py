"""Points of one context are gathered, the loss follows from that, and branches are sized by the data."""

from typing import Any

import numpy as np
import pytest
import torch

import decision
from socicnn import SOCICNN, ModelError
from socicnn.training import History, fit, fit_stacked, network_for

DRAW = np.random.default_rng(0)
X = DRAW.uniform(size=(24, 2))
THETA = np.repeat(DRAW.normal(size=(6, 1)), 4, axis=0)
Y = np.square(X - THETA).sum(axis=1)


def network() -> SOCICNN:
    return SOCICNN(2, (3,), context_features=1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def fitted(x: Any, theta: Any, y: Any, **settings: Any) -> tuple[SOCICNN, History]:
    model = network()
    return model, fit(model, (x, theta, y), epochs=3, progress=False, **settings)


def equal(one: SOCICNN, two: SOCICNN) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_repeated_contexts_are_gathered_within_eight_roundings_of_their_range() -> None:
    order = np.argsort(THETA[:, 0], kind="stable").reshape(6, 4)  # contexts come in the order of their values
    grouped, said = fitted(X[order], THETA[order[:, 0]], Y[order])
    assert said.loss == "within_context"
    assert "(within_context: 6 contexts with 4 points each)" in str(said)
    offset = 2.0**31  # jitter is relative to the range of the column, not to its size
    for moved in (THETA, THETA + np.ptp(THETA) * 2.0**-51 * DRAW.integers(0, 2, size=(24, 1))):
        model, history = fitted(X, moved, Y)
        assert (history.loss, history.reason) == ("within_context", "6 contexts with 4 points each")
        assert model.ranges is not None
        if moved is THETA:
            assert equal(model, grouped)
    _, history = fitted(X, np.round(THETA * 2**10) / 2**10 + offset, Y)
    assert history.reason == "6 contexts with 4 points each"
    _, apart = fitted(X, THETA + np.ptp(THETA) * 2.0**-45 * np.arange(24)[:, None], Y)
    assert (apart.loss, apart.reason) == ("mse", "no context repeats")


@pytest.mark.parametrize(
    ("rows", "loss", "reason"),
    [
        (slice(None), "within_context", "6 contexts with 4 points each"),
        (slice(0, 23), "mse", "contexts have unequal numbers of points, from 3 to 4"),
        (slice(0, 24, 4), "mse", "no context repeats"),
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
        fitted(X[:23], THETA[:23], Y[:23], loss="within_context")
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
