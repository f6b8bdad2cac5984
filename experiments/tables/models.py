"""The models at their defaults: what each predicts for the test rows of a fold.

LightGBM, XGBoost and cvxreg are imported where they run; a cell whose package is missing is listed as failed. They, and
lpcf, see standardised x and y, as they do not standardise themselves or gain from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from experiments.tables.data import Table
from socicnn._arrays import Array
from socicnn.regression import ConvexRegressor, MaxAffine

Model = Callable[[Table, Array, Array, Array], tuple[Array, float | None]]
KINDS = ("stacked", "soc", "relu", "softplus", "quad", "norm")  # the first is the default


def _sklearn(make: Callable[[Table], Any]) -> Model:
    def model(table: Table, X: Array, y: Array, test: Array) -> tuple[Array, float | None]:
        return np.asarray(make(table).fit(X, y).predict(test)), None

    return model


def _ours(kind: Any) -> Model:
    return _sklearn(lambda table: ConvexRegressor(kind, increasing=table.increasing, random_state=0))


def _ridge(table: Table) -> Any:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13)))


def _linear(table: Table) -> Any:
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


def _constraints(table: Table) -> list[int]:
    return [int(place in table.increasing) for place in range(table.X.shape[1])]


def _lightgbm(table: Table) -> Any:
    from lightgbm import LGBMRegressor

    return LGBMRegressor(monotone_constraints=_constraints(table), n_jobs=1, verbose=-1, random_state=0)


def _xgboost(table: Table) -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(monotone_constraints=tuple(_constraints(table)), n_jobs=1, random_state=0)


def _cvxreg(*, penalised: bool) -> Model:
    def make(table: Table) -> Any:
        from cvxreg.models import CR, PCR

        monotone = "increasing" if len(table.increasing) == table.X.shape[1] else None
        return (PCR if penalised else CR)(monotonic=monotone)

    return _sklearn(make)


def _lpcf(table: Table, X: Array, y: Array, test: Array) -> tuple[Array, float | None]:
    """Fit lpcf with its own loss and its own default widths, one seed; there is no context, so theta is zero."""
    from decision.tasks import Data
    from experiments.baselines.lpcf.fitting import fit_lpcf
    from experiments.baselines.lpcf.function import LPCFSettings

    width = 2 * ((X.shape[1] + 1) // 2)
    data = Data(torch.tensor(X)[None], torch.zeros(1, 1, dtype=torch.float64), torch.tensor(y)[None])
    settings = LPCFSettings(widths=(width, width), quadratic=None, loss="lpcf")
    fitted = fit_lpcf(data, settings)
    with torch.no_grad():
        return fitted(torch.tensor(test)[None], torch.zeros(1, 1, dtype=torch.float64))[0].numpy(), fitted.seconds


def _standardised(model: Model) -> Model:
    def fit(table: Table, X: Array, y: Array, test: Array) -> tuple[Array, float | None]:
        mean, scale, level, unit = X.mean(axis=0), X.std(axis=0), y.mean(), y.std()
        values, seconds = model(table, (X - mean) / scale, (y - level) / unit, (test - mean) / scale)
        return level + unit * values, seconds

    return fit


MODELS: dict[str, Model] = {
    **{f"socicnn {kind}": _ours(kind) for kind in KINDS},
    "max-affine": _sklearn(lambda table: MaxAffine(random_state=0)),
    "lpcf": _lpcf,
    "cvxreg CR": _standardised(_cvxreg(penalised=False)),
    "cvxreg PCR": _standardised(_cvxreg(penalised=True)),
    "LightGBM": _sklearn(_lightgbm),
    "XGBoost": _sklearn(_xgboost),
    "ridge": _sklearn(_ridge),
    "linear": _sklearn(_linear),
}
