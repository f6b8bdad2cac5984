"""How well predictions meet values, in the unit of the target."""

from __future__ import annotations

from typing import Any

import numpy as np

from socicnn._arrays import Array

SIMPLE = ("mean", "linear regression", "max-affine")


def scores(predicted: Array, y: Array) -> dict[str, float]:
    """Return R2, the root mean squared error, the mean absolute error and the mean error; R2 is NaN for constant y."""
    error = predicted - y
    spread = float(np.mean((y - y.mean()) ** 2))
    square = float(np.mean(error**2))
    return {
        "R2": 1 - square / spread if spread > 0 else float("nan"),
        "RMSE": square**0.5,
        "MAE": float(np.mean(np.abs(error))),
        "bias": float(error.mean()),
    }


def baselines(x: Array, y: Array, held: Array, truth: Array, sign: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the scores of simple models on rows held out: the mean, linear regression and max-affine regression.

    Args:
        x: training inputs, context included.
        y: training values.
        held: inputs held out.
        truth: their values.
        sign: -1 for a concave function, which the minimum of affine functions is.
        seed: of the max-affine fit.
    """
    from sklearn.linear_model import LinearRegression

    from socicnn.regression import MaxAffine

    affine = MaxAffine(random_state=seed).fit(x, sign * y)
    values = (
        np.full(len(truth), y.mean()),
        LinearRegression().fit(x, y).predict(held),
        sign * affine.predict(held),
    )
    return {name: scores(value, truth) for name, value in zip(SIMPLE, values, strict=True)}


def lines(rows: dict[str, dict[str, float]], unit: str) -> list[str]:
    """Return a small table of R2 and RMSE."""
    width = max(map(len, rows))
    head = f"{'':{width}}  {'R2':>8}  RMSE, in units of {unit}"
    return [head, *(f"{name:{width}}  {row['R2']:8.4f}  {row['RMSE']:.4g}" for name, row in rows.items())]


def better(rows: dict[str, dict[str, float]], own: str) -> list[str]:
    """Return the models whose error is below our own, the best first."""
    ahead: list[Any] = sorted((row["RMSE"], name) for name, row in rows.items() if row["RMSE"] < rows[own]["RMSE"])
    return [name for _, name in ahead]
