"""The ten tables: seven with a convex truth and noise, the household power data, two bundled with scikit-learn.

A synthetic table has 300 rows of standard normal x and noise of a tenth of the truth's variance.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linprog
from scipy.special import logsumexp

from socicnn._arrays import Array

ROWS, NOISE = 300, 0.1  # of a synthetic table; share of the truth's variance
POWER = "power/household_power_consumption_hourly.csv"


@dataclass(frozen=True, eq=False)
class Table:
    """A regression table.

    Args:
        X: shape `(rows, columns)`.
        y: shape `(rows,)`.
        convex: whether the truth is known to be convex.
        increasing: places of the columns in which the truth increases.
    """

    X: Array
    y: Array
    convex: bool
    increasing: tuple[int, ...] = ()


def _quadratic(x: Array, rng: np.random.Generator) -> Array:
    return np.asarray(((x @ rng.normal(size=(x.shape[1], x.shape[1]))) ** 2).sum(axis=1))


def _max_affine(x: Array, rng: np.random.Generator) -> Array:
    return np.asarray((x @ rng.normal(size=(x.shape[1], 8)) + rng.normal(size=8)).max(axis=1))


def _log_sum_exp(x: Array, rng: np.random.Generator) -> Array:
    return np.asarray(logsumexp(x @ rng.normal(size=(x.shape[1], 8)), axis=1))


def _norm(x: Array, rng: np.random.Generator) -> Array:
    return np.asarray(np.linalg.norm(x @ rng.normal(size=(x.shape[1], x.shape[1])) - 1, axis=1))


def _huber(x: Array, rng: np.random.Generator) -> Array:
    r = np.abs(x @ rng.normal(size=(x.shape[1], 6)))
    return np.asarray(np.where(r < 1, r**2 / 2, r - 0.5).sum(axis=1))


def _linear_program(x: Array, rng: np.random.Generator) -> Array:
    """Return min {c'u : u >= 0, A u >= x}: convex and increasing in x."""
    A, c = rng.uniform(0.1, 1, (x.shape[1], 8)), rng.uniform(1, 2, 8)
    return np.array([linprog(c, A_ub=-A, b_ub=-row).fun for row in x])


def _monotone(x: Array, rng: np.random.Generator) -> Array:
    return np.asarray(np.exp(0.5 * x @ rng.uniform(0, 1, (x.shape[1], 3))).sum(axis=1))


LAWS: dict[str, tuple[Callable[[Array, np.random.Generator], Array], int, bool]] = {  # law, columns, increasing
    "quadratic": (_quadratic, 6, False),
    "max_affine": (_max_affine, 4, False),
    "log_sum_exp": (_log_sum_exp, 5, False),
    "norm": (_norm, 5, False),
    "huber": (_huber, 4, False),
    "linear_program": (_linear_program, 4, True),
    "monotone": (_monotone, 4, True),
}
NAMES = (*LAWS, "power", "diabetes", "linnerud")


def load(name: str) -> Table:
    """Return a table by name.

    Raises:
        FileNotFoundError: the power data are not in the folder that SOCICNN_DATA names.
    """
    if name in LAWS:
        law, columns, monotone = LAWS[name]
        rng = np.random.default_rng(list(LAWS).index(name))
        x = rng.normal(size=(ROWS, columns))
        truth = law(x, rng)
        y = truth + rng.normal(0, np.sqrt(NOISE * truth.var()), ROWS)
        return Table(x, y, convex=True, increasing=tuple(range(columns)) if monotone else ())
    if name == "power":
        return _power()
    from sklearn import datasets

    bunch = datasets.load_diabetes() if name == "diabetes" else datasets.load_linnerud()
    y = np.asarray(bunch.target, dtype=np.float64)
    return Table(np.asarray(bunch.data, dtype=np.float64), y if y.ndim == 1 else y[:, 0], convex=False)


def _power() -> Table:
    """Return current from power, reactive power and voltage, in 600 hours drawn at random."""
    import pandas as pd

    path = Path(os.environ.get("SOCICNN_DATA", "")) / POWER
    if not path.is_file():
        raise FileNotFoundError(f"the household power data are not at {path}; set SOCICNN_DATA to their folder")
    frame = pd.read_csv(path).dropna()
    frame.columns = [column.lower() for column in frame.columns]
    frame = frame.sample(600, random_state=0)
    X = frame[["global_active_power", "global_reactive_power", "voltage"]].to_numpy(dtype=np.float64)
    return Table(X, frame["global_intensity"].to_numpy(dtype=np.float64), convex=False)
