"""What scikit-learn takes for other numbers than are meant: dates, durations, rows in another order."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from socicnn.errors import ModelError
from socicnn.regression import ConvexRegressor, MaxAffine, Trainer

Estimator = ConvexRegressor | MaxAffine
QUICK = Trainer(epochs=1, polish=20, ridge=(1e-3,), restarts=1)
X = pd.DataFrame(np.random.default_rng(0).uniform(-1, 1, (30, 2)), columns=["P", "Q"])
y = (X**2).sum(axis=1)
HOURS = pd.to_timedelta(y, unit="h")
DAYS = pd.Timestamp("2024-01-01") + HOURS


@pytest.fixture(params=["network", "planes"])
def model(request: pytest.FixtureRequest) -> Estimator:
    if request.param == "planes":
        return MaxAffine(2, random_state=0)
    return ConvexRegressor("quad", hidden=(), trainer=QUICK, random_state=0)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda model: model.fit(X, HOURS), "y must hold real numbers; received times"),
        (lambda model: model.fit(X, HOURS.to_numpy()), "y must hold real numbers; received times"),
        (lambda model: model.fit(X, list(HOURS.to_numpy())), "y must hold real numbers; received times"),
        (lambda model: model.fit(X, list(HOURS)), "y must hold real numbers; received entries of type Timedelta"),
        (lambda model: model.fit(X, DAYS), "y must hold real numbers; received dates"),
        (lambda model: model.fit(X, DAYS.dt.tz_localize("UTC")), "y must hold real numbers; received dates"),
        (lambda model: model.fit(X, HOURS.to_frame("t")), "column 't' of y holds times"),
        (lambda model: model.fit(X, y, sample_weight=HOURS), "sample_weight must hold real numbers; received times"),
        (lambda model: model.fit(DAYS.to_numpy()[:, None], y), "X must hold real numbers; received dates"),
        (lambda model: model.fit(X.assign(P=list(DAYS.dt.to_period("M"))), y), "column 'P' of X holds entries of type"),
    ],
)
def test_dates_and_times_are_no_numbers_to_fit(
    model: Estimator, fit: Callable[[Estimator], Estimator], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        fit(model)


def test_dates_and_times_are_no_numbers_to_predict_at(model: Estimator) -> None:
    model.fit(X, y)
    with pytest.raises(ModelError, match="X must hold real numbers; received times"):
        model.predict(X.to_numpy().astype("m8[h]"))
    with pytest.raises(ModelError, match="column 'P' of X holds times"):
        model.predict(X.assign(P=HOURS))


def test_a_score_of_other_rows_or_of_times_is_refused(model: Estimator) -> None:
    model.fit(X, y)
    with pytest.raises(ModelError, match="X and y have the same row labels in different orders"):
        model.score(X, y.sort_values())
    with pytest.raises(ModelError, match="y must hold real numbers; received times"):
        model.score(X, HOURS)
    assert model.score(X, y) == model.score(X, y.to_numpy(), np.ones(30))


def test_a_series_is_no_table(model: Estimator) -> None:
    with pytest.raises(ValueError, match="Expected"):
        model.fit(X["P"], y)


def test_columns_of_numbers_that_pandas_holds_otherwise_are_taken(model: Estimator) -> None:
    plain = model.fit(X.round(1), y).predict(X.round(1))
    table = X.round(1).assign(P=pd.Categorical(X["P"].round(1)), Q=X["Q"].round(1).astype("Float64"))
    np.testing.assert_array_equal(model.fit(table, y.astype("Float64")).predict(table), plain)
