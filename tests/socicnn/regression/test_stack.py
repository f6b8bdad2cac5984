"""The default kind: a network and a maximum of planes, weighted by rows held out, are one network and one program."""

import numpy as np
import pytest
import torch

from socicnn import SOCICNN, ConvexRegressor, value_program
from socicnn.regression._planes import Planes, StandardRows, planes_along
from socicnn.regression._rows import TableRows
from socicnn.regression._stack import HeldOut, network_share
from socicnn.regression._trainer import FAR, _worth_trying
from socicnn.regression._with_planes import with_planes
from socicnn.training import Quantile
from tests.support.cases import generator

SIGNS = (None, (1, 0, -1), (1, 1, -1))


def some_planes(count: int, signs: tuple[int, ...] | None, seed: int = 0) -> Planes:
    rng = np.random.default_rng(seed)
    slopes = rng.normal(size=(count, 3))
    ways = np.array(signs or (0, 0, 0))
    return Planes(np.where(ways != 0, ways * np.abs(slopes), slopes), rng.normal(size=count), 0.0)


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_network_is_the_weighted_sum_to_rounding(signs, hidden, count, share) -> None:
    branches = ((), ()) if signs == (1, 1, -1) else ((2,), (2, 2))
    model = SOCICNN(3, hidden, *branches, monotone=signs, generator=generator(1), dtype=torch.float64)
    model.standardise(x_mean=[1, 2, 3], x_scale=[1, 2, 3], y_mean=2.0, y_scale=3.0)
    planes = some_planes(count, signs)
    both = with_planes(model, share, planes)
    x = torch.randn(40, 3, generator=generator(2), dtype=torch.float64)
    expected = share * model.standard_value(x) + (1 - share) * torch.tensor(planes.values(x.numpy()))
    torch.testing.assert_close(both.standard_value(x), expected, rtol=0, atol=1e-10)  # a slope has 1e-12 to spare
    np.testing.assert_allclose(both.freeze()(x.numpy()), both(x).detach().numpy(), rtol=1e-10, atol=1e-10)
    assert len(both.hidden_features) == max(count - 1, len(hidden) if share else 0)


def test_the_program_of_the_sum_is_exact() -> None:
    model = SOCICNN(3, (4,), (2,), (2,), monotone=(1, 0, -1), generator=generator(3), dtype=torch.float64)
    both = with_planes(model, 0.4, some_planes(4, (1, 0, -1)))
    x = np.array([0.3, -1.0, 0.5])
    value = both.freeze()(x[None])[0]
    assert value_program(both).at(x).solve().value == pytest.approx(value, abs=1e-6)


def test_the_share_is_least_squares_drawn_to_one_half() -> None:
    rng = np.random.default_rng(4)
    y, noise, other = rng.normal(size=(3, 200))
    rows = StandardRows(np.zeros((200, 1)), y, np.full(200, 1 / 200))
    share = lambda network, planes: network_share([HeldOut(rows, rows, network)], [planes])  # noqa: E731 (short)
    assert share(y, y + other) == 1
    assert share(y + other, y) == 0
    assert share(y + noise, y + noise) == 0.5
    assert share(y + noise, y + 0.5 * other) == pytest.approx(0.2, abs=0.06)  # variances 1 and 1/4


@pytest.mark.parametrize("signs", [(0, 0), (1, -1)])
def test_planes_are_found_and_keep_their_signs(signs) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 2))
    y = np.maximum(x[:, 0] - 0.2 * x[:, 1], -x[:, 1])
    rows = StandardRows(x, y, np.full(300, 1 / 300))
    weak, none = planes_along(rows, 2, (1e-2, 0.0), signs, 3, np.random.RandomState(0))
    assert rows.error(none.values(x)) < 1e-6
    assert weak.objective > 1e-3
    for planes in (weak, none):
        assert all((sign * planes.slopes[:, k] >= 0).all() for k, sign in enumerate(signs))


def test_wrong_signs_are_not_followed_by_planes() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(100, 2))
    rows = StandardRows(x, -x[:, 0] + x[:, 1], np.full(100, 0.01))
    (planes,) = planes_along(rows, 2, (0.0,), (1, 0), 2, np.random.RandomState(0))
    assert (planes.slopes[:, 0] >= 0).all()
    assert rows.error(planes.values(x)) > 0.5


def noisy_maximum(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A maximum of nine increasing planes with noise: a sum of maxima of two planes each is not near it."""
    rng, law = np.random.default_rng(seed), np.random.default_rng(7)
    X = rng.normal(size=(rows, 3))
    truth = (X @ law.dirichlet([0.3] * 3, size=9).T * 3 + law.normal(0, 0.3, 9)).max(axis=1)
    return X, truth + rng.normal(0, 0.1, rows)


def test_a_maximum_of_increasing_planes_is_within_reach_and_increases_everywhere() -> None:
    X, y = noisy_maximum(250, 0)
    far, clean = noisy_maximum(2000, 1)
    fits = {kind: ConvexRegressor(kind, increasing=[0, 1, 2], random_state=0).fit(X, y) for kind in ("stacked", "soc")}
    errors = {kind: 1 - model.score(far, clean) for kind, model in fits.items()}
    assert errors["stacked"] < 0.85 * errors["soc"]
    model = fits["stacked"]
    assert len(model.network_.hidden_features) > 1  # the chain
    wide = np.random.default_rng(8).normal(0, 100, (300, 3))
    for column in range(3):
        assert (model.predict(wide + np.eye(3)[column]) >= model.predict(wide) - 1e-9).all()
    assert model.certify(X[:5]).ok


@pytest.mark.parametrize("settings", [{"context": [2]}, {"nonnegative": True}, {"loss": Quantile(0.9)}])
def test_without_planes_it_is_soc(settings) -> None:
    X, y = noisy_maximum(60, 2)
    y = np.maximum(y, 0)
    stacked, soc = (
        ConvexRegressor(kind, hidden=(4,), random_state=0, **settings).fit(X, y) for kind in ("stacked", "soc")
    )
    np.testing.assert_array_equal(stacked.predict(X), soc.predict(X))


def test_few_rows_have_no_planes() -> None:
    X, y = noisy_maximum(15, 3)
    assert ConvexRegressor(hidden=(4,), random_state=0).fit(X, y).network_.hidden_features == (4,)


def test_parts_held_out_have_no_row_in_common() -> None:
    rows = TableRows.of(np.arange(40.0)[:, None], np.zeros(40), np.ones(40))
    parts = [rows.split(0.25, 0, part)[1].table[:, 0] for part in range(4)]
    assert sorted(np.concatenate(parts)) == list(range(40))
    np.testing.assert_array_equal(rows.split(0.25, 0, 4)[1].table[:, 0], parts[0])


def test_penalties_far_above_the_loss_of_the_start_are_not_tried() -> None:
    assert list(_worth_trying((0.3, 1e-2, 1e-4), 1e-2 / FAR)) == [1e-2, 1e-4]
    assert list(_worth_trying((0.3, 1e-2), 0.0)) == [1e-2]
    assert list(_worth_trying((0.3, 1e-2), float("nan"))) == [0.3, 1e-2]
