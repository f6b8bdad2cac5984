"""An estimator that is fitted anew: bands made before keep their promise, and a fit that fails changes nothing."""

import numpy as np
import pandas as pd
import pytest

from socicnn.errors import ModelError
from socicnn.regression import ConvexRegressor, MaxAffine, Trainer

QUICK = Trainer(epochs=1, polish=20, ridge=(1e-3,), restarts=1)


def table() -> tuple[pd.DataFrame, np.ndarray]:
    X = pd.DataFrame(np.random.default_rng(0).uniform(-1, 1, (60, 2)), columns=["P", "Q"])
    return X, (2 * X["P"] + X["Q"] ** 2).to_numpy()


def regressor(**settings: object) -> ConvexRegressor:
    return ConvexRegressor("quad", hidden=(), trainer=QUICK, random_state=0, **settings)


def test_a_band_outlives_another_fit_of_its_estimator() -> None:
    X, y = table()
    model = regressor().fit(X[:30], y[:30])
    band = model.conformal(X[30:], y[30:])
    before, coverage = band.predict(X), band.coverage(X[30:], y[30:])
    model.fit(X[:30], 100 * y[:30])
    np.testing.assert_array_equal(band.predict(X), before)
    assert band.coverage(X[30:], y[30:]) == coverage >= 0.9


@pytest.mark.parametrize("change", [{"curvature": "concave"}, {"context": "P"}])
def test_a_fit_that_fails_leaves_signs_and_columns(change: dict[str, str]) -> None:
    X, y = table()
    model = regressor().fit(X, y)
    before, slopes = model.predict(X), model.gradient(X)
    with pytest.raises(ModelError, match="trainer must be a Trainer"):
        model.set_params(**change, trainer="quick").fit(X, y)
    np.testing.assert_array_equal(model.predict(X), before)
    np.testing.assert_array_equal(model.gradient(X), slopes)


@pytest.mark.parametrize("model", [regressor(), MaxAffine(2, random_state=0)], ids=lambda model: type(model).__name__)
def test_a_fit_that_fails_leaves_the_order_of_columns(model: ConvexRegressor | MaxAffine) -> None:
    X, y = table()
    before = model.fit(X, y).predict(X)
    broken = {"hidden": (0,)} if isinstance(model, ConvexRegressor) else {"pieces": 0}
    with pytest.raises(ModelError):
        model.set_params(**broken).fit(X[["Q", "P"]], y)
    np.testing.assert_array_equal(model.predict(X), before)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[["Q", "P"]])
