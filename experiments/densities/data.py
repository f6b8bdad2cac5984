"""Tables whose density is estimated: columns with uniform noise of their resolution, split and standardised.

Values that repeat would let a density grow without bound; the noise makes them continuous, as is usual. magic.gamma has
10 columns; of the 21 of Cardiotocography one is a sum of others, so that the table as it lies is singular and has no
density; it is left out. Of the household's power the first 15,000 minutes are at hand: a reduced POWER, with its usual
six columns (active power, voltage, three meters, time of day).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import logit

from socicnn._arrays import Array

FIRST_MINUTE, DAY = 17 * 60 + 24, 24 * 60  # of the household's power: 17:24
POWER_STEPS = (0.001, 0.01, 1.0, 1.0, 1.0, 1.0)  # width of the noise of each column


@dataclass(frozen=True, eq=False)
class Split:
    """A table in three parts, standardised by the first: 80, 10 and 10 % of the rows, drawn at random.

    Args:
        train: shape `(rows, columns)`.
        validation: what yardsticks choose their settings by.
        test: what all are judged by.
    """

    train: Array
    validation: Array
    test: Array


def load(name: str, seed: int) -> Split:
    """Return a table by name, noise and split drawn by a seed.

    Raises:
        FileNotFoundError: the table is not in the folder that SOCICNN_DATA names.
    """
    rng = np.random.default_rng(seed)
    X = rng.permutation(TABLES[name](rng))
    first, second = int(0.8 * len(X)), int(0.9 * len(X))
    X = (X - X[:first].mean(axis=0)) / X[:first].std(axis=0)
    return Split(X[:first], X[first:second], X[second:])


def dequantised(X: Array, rng: np.random.Generator) -> Array:
    """Return X plus uniform noise between 0 and each column's resolution, the least distance of two of its values."""
    steps = []
    for column in X.T:
        gaps = np.diff(np.unique(column))
        steps.append(gaps[gaps > 1e-9 * np.ptp(column)].min())
    return np.asarray(X + rng.uniform(size=X.shape) * np.array(steps))


def independent(X: Array) -> Array:
    """Return the columns that are no linear combination of those before them and a constant."""
    kept: list[int] = []
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    for place in range(X.shape[1]):
        if np.linalg.matrix_rank(Z[:, [*kept, place]], tol=1e-6 * np.sqrt(len(Z))) > len(kept):
            kept.append(place)
    return X[:, kept]


def _product(rng: np.random.Generator) -> Array:
    """Return 1,500 points of four independent coordinates, Gumbel, logistic, Laplace and Gumbel."""
    u = rng.uniform(size=(1500, 4))
    x = np.stack([-np.log(-np.log(u[:, 0])), logit(u[:, 1]), u[:, 2], -np.log(-np.log(u[:, 3]))], axis=1)
    x[:, 2] = -np.sign(u[:, 2] - 0.5) * np.log1p(-2 * np.abs(u[:, 2] - 0.5))
    return x


def _file(name: str) -> Path:
    path = Path(os.environ.get("SOCICNN_DATA", "")) / name
    if not path.is_file():
        raise FileNotFoundError(f"the table is not at {path}; set SOCICNN_DATA to its folder")
    return path


def _magic(rng: np.random.Generator) -> Array:
    return dequantised(np.load(_file("adbench/22_magic.gamma.npz"))["X"].astype(np.float64), rng)


def _cardiotocography(rng: np.random.Generator) -> Array:
    X = np.load(_file("adbench/7_Cardiotocography.npz"))["X"].astype(np.float64)
    return dequantised(independent(X), rng)


def _power(rng: np.random.Generator) -> Array:
    import pandas as pd

    frame = pd.read_csv(_file("power/household_power_consumption_15000min.csv"), sep=";", na_values="?")
    frame["minute"] = (FIRST_MINUTE + np.arange(len(frame))) % DAY
    columns = ["Global_active_power", "Voltage", "Sub_metering_1", "Sub_metering_2", "Sub_metering_3", "minute"]
    X = frame[columns].dropna().to_numpy(dtype=np.float64)
    return np.asarray(X + rng.uniform(size=X.shape) * np.array(POWER_STEPS))


TABLES: dict[str, Callable[[np.random.Generator], Array]] = {
    "product": _product,  # bundled, with a density that is known
    "magic": _magic,
    "power": _power,
    "cardiotocography": _cardiotocography,
}
