"""How well predictions meet values, in the unit of the target."""

from __future__ import annotations

import numpy as np

from socicnn._arrays import Array, lengths
from socicnn_cli._outputs import finite

Scores = dict[str, float | None]
SIMPLE = ("mean", "linear regression", "max-affine")


def scores(predicted: Array, y: Array) -> Scores:
    """Return R2, the root mean squared error, the mean absolute error and the mean error.

    What is not a finite number is None: R2 of constant values, and whatever overflows.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        error = predicted - y
        ratio = lengths(error, 0) / lengths(y - y.mean(), 0) if y.max() > y.min() else np.nan
        measured: Scores = finite(
            {
                "R2": float(1 - ratio**2),
                "RMSE": float(lengths(error, 0) / len(y) ** 0.5),
                "MAE": float(np.mean(np.abs(error))),
                "bias": float(error.mean()),
            }
        )
    return measured


def baselines(x: Array, y: Array, held: Array, truth: Array, sign: int, seed: int) -> dict[str, Scores]:
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


def score_text(score: float | None, form: str) -> str:
    """Return a score as text, `-` where it is not defined."""
    return "-" if score is None else format(score, form)


def lines(rows: dict[str, Scores], unit: str) -> list[str]:
    """Return a small table of R2 and RMSE."""
    width = max(map(len, rows))
    head = f"{'':{width}}  {'R2':>8}  RMSE, in units of {unit}"
    texts = {name: (score_text(row["R2"], ".4f"), score_text(row["RMSE"], ".4g")) for name, row in rows.items()}
    return [head, *(f"{name:{width}}  {r2:>8}  {rmse}" for name, (r2, rmse) in texts.items())]


def better(rows: dict[str, Scores], own: str) -> list[str]:
    """Return the models whose error is below our own, the best first; an error that is not defined is above all."""
    errors = {name: np.inf if row["RMSE"] is None else row["RMSE"] for name, row in rows.items()}
    return sorted((name for name in rows if errors[name] < errors[own]), key=lambda name: (errors[name], name))
