"""Bands cover as many new values as they promise."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
import torch

from socicnn.errors import ModelError, ProgramError
from socicnn.regression import Band, ConvexRegressor, MaxAffine, Trainer


def draw(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    X = rng.uniform(-1, 1, (rows, 2))
    return X, (X**2).sum(axis=1) + rng.exponential(0.3, rows) * (1 + X[:, 0])  # skewed, and not the same everywhere


def model(rng: np.random.Generator) -> ConvexRegressor:
    trainer = Trainer(epochs=2, polish=50, restarts=1)
    return ConvexRegressor("quad", hidden=(), trainer=trainer, random_state=0).fit(*draw(rng, 200))


@pytest.mark.parametrize("side", ["both", "upper", "lower"])
@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_coverage_is_what_was_asked_for(side: str, alpha: float) -> None:
    rng = np.random.default_rng(0)
    f, (X, y) = model(rng), draw(rng, 4000)
    shares = [f.conformal(*draw(rng, 59), alpha=alpha, side=side).coverage(X, y) for _ in range(150)]
    rank = np.ceil(60 * (1 - alpha) - 1e-9)  # the mean coverage is rank / 60; its deviation about 0.05 / sqrt(150)
    assert np.mean(shares) == pytest.approx(rank / 60, abs=4 * np.std(shares) / np.sqrt(150))
    assert np.mean(shares) > 1 - alpha - 0.015


def test_the_width_is_an_order_statistic() -> None:
    X = np.linspace(-1, 1, 30)[:, None]
    f = MaxAffine(1).fit(X, 2 * X[:, 0])
    y = f.predict(X[:9]) + np.array([1, -2, 3, -4, 5, -6, 7, -8, 9.0])
    bands = {
        side: ConvexRegressor.conformal.__globals__["conformal_band"](f, f.predict(X[:9]), y, 0.2, side)
        for side in ("both", "upper", "lower")
    }
    # ceil(10 * 0.8) = 8th of 9
    assert (bands["both"].below, bands["both"].above) == pytest.approx((8, 8))
    assert bands["upper"].above == pytest.approx(7)
    assert bands["lower"].below == pytest.approx(6)
    assert np.isinf(bands["upper"].predict(X)[0]).all()


def test_the_upper_end_is_a_convex_expression() -> None:
    rng = np.random.default_rng(1)
    f = model(rng)
    band = f.conformal(*draw(rng, 99), alpha=0.1, side="upper")
    z = cp.Variable(2)
    upper = band.upper(z)
    assert upper.is_convex()
    problem = cp.Problem(cp.Maximize(cp.sum(z)), [upper <= 1.5, z <= 1, z >= -1])
    problem.solve(solver=cp.CLARABEL)
    assert band.predict(z.value[None])[1][0] <= 1.5 + 1e-6
    assert isinstance(band, Band)
    with pytest.raises(ProgramError, match="open below"):
        band.lower(z)
    with pytest.raises(ProgramError, match="open above"):
        f.conformal(*draw(rng, 99), side="lower").upper(z)


def test_ends_at_several_contexts_are_a_list() -> None:
    rng = np.random.default_rng(1)
    trainer = Trainer(epochs=1, polish=5, ridge=(1e-2,), restarts=1)
    X, y = draw(rng, 99)
    f = ConvexRegressor("relu", hidden=(2,), context=[1], trainer=trainer, random_state=0).fit(X, y)
    band, z = f.conformal(X, y), cp.Variable(1, value=[0.25])
    rows = np.array([[0.25, 0.0], [0.25, 0.5]])
    lower, upper = band.predict(rows)
    np.testing.assert_allclose([end.value for end in band.lower(z, rows[:, 1:])], lower)
    np.testing.assert_allclose([end.value for end in band.upper(z, rows[:, 1:])], upper)


@pytest.mark.parametrize(
    ("rows", "alpha", "side", "message"),
    [
        (8, 0.1, "both", "at least 9 rows; received 8"),
        (50, 0.0, "both", "between 0 and 1"),
        (50, 1.0, "both", "between 0 and 1"),
        (50, 0.1, "left", "unknown side"),
    ],
)
def test_what_a_band_needs_is_said(rows: int, alpha: float, side: str, message: str) -> None:
    rng = np.random.default_rng(2)
    f = model(rng)
    with pytest.raises(ModelError, match=message):
        f.conformal(*draw(rng, rows), alpha=alpha, side=side)
    f.conformal(*draw(rng, 9), alpha=0.1)


@pytest.mark.parametrize("shape", [(30, 1), (1, 30), (30, 30), (29,), ()])
def test_values_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """NumPy would compare every value with every row: coverage 1 / 30 of a band that holds all 30 values."""
    X = np.linspace(-1, 1, 30)[:, None]
    f = ConvexRegressor("quad", hidden=(), trainer=Trainer(polish=20, restarts=1), random_state=0).fit(X, X[:, 0])
    band = Band(f, alpha=0.1, below=0.1, above=0.1, rows=30)
    assert band.coverage(X, X[:, 0]) == 1
    for values in (np.resize(X, shape), torch.from_numpy(np.resize(X, shape))):
        for judge in (band.coverage, f.conformal):
            with pytest.raises(ModelError, match=r"one value per row, shape \(30,\); received shape"):
                judge(X, values)
    for judge in (band.coverage, f.conformal):
        with pytest.raises(ModelError, match="2 entries that are not finite; leave these rows out"):
            judge(X, np.where(np.arange(30) < 2, np.nan, X[:, 0]))
        with pytest.raises(ModelError, match=r"received shape \(30, 1\)"):
            judge(X, pd.DataFrame({"y": X[:, 0]}))


def test_a_band_says_what_it_promises() -> None:
    X = np.linspace(-1, 1, 30)[:, None]
    band = Band(MaxAffine(1).fit(X, X[:, 0]), alpha=0.1, below=0.25, above=np.inf, rows=30)
    assert str(band) == "0.9 of new rows like the 30 given lie at most 0.25 below the prediction"
    assert "0.25 below and 0.5 above" in str(replace(band, above=0.5))
