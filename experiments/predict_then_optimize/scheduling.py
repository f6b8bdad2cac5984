"""Four jobs of a household on real days: when to run them, if an hour is the dearer the more the house draws in it.

Data: hourly consumption of one household near Paris over four years (UCI, "Individual household electric power
consumption", CC BY 4.0), read from the folder that SOCICNN_DATA names. The jobs are ours:

| job | hours | power in kW | from | done by |
|---|---:|---:|---:|---:|
| dishwasher | 2 | 1.2 | 0 | 16 |
| washing | 2 | 1.0 | 6 | 20 |
| dryer, after washing | 1 | 2.5 | 8 | 24 |
| car | 4 | 3.0 | 0 | 24 |

The circuit carries 4.5 kW. The coefficient of a job's start is its energy in each hour times that hour's load. The load
is known afterwards; known before are the hourly loads of the day before and of the same day of the week before.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from socicnn._arrays import Array

POWER = "power/household_power_consumption_hourly.csv"
HOURS, CIRCUIT = 24, 4.5  # of a day; kW
JOBS = ((2, 1.2, 0, 16), (2, 1.0, 6, 20), (1, 2.5, 8, 24), (4, 3.0, 0, 24))  # hours, kW, from, done by
WASHING, DRYER = 1, 2
SIZES = tuple(end - first - hours + 1 for hours, _, first, end in JOBS)
BLOCK = 3  # hours that a feature is the mean of


def profiles() -> list[Array]:
    """Return the kWh of each job in each hour, one row per start, each of shape `(starts, 24)`."""
    found = []
    for (hours, power, first, _), size in zip(JOBS, SIZES, strict=True):
        table = np.zeros((size, HOURS))
        for start in range(size):
            table[start, first + start : first + start + hours] = power
        found.append(table)
    return found


def feasible() -> Array:
    """Return which combinations of starts keep the circuit and the order of washing and drying, shape `SIZES`."""
    total = np.zeros((*SIZES, HOURS))
    for job, table in enumerate(profiles()):
        shape = [1] * len(JOBS)
        shape[job] = SIZES[job]
        total = total + table.reshape(*shape, HOURS)
    washed = JOBS[WASHING][2] + np.arange(SIZES[WASHING]) + JOBS[WASHING][0]
    drying = JOBS[DRYER][2] + np.arange(SIZES[DRYER])
    order = (drying[None, :] >= washed[:, None])[None, :, :, None]
    return (total.max(axis=-1) <= CIRCUIT + 1e-9) & order


def rows() -> tuple[Array, Array, Array, Array]:
    """Return A, b, E, f of the linear relaxation {x : A x <= b, E x = f, x >= 0}."""
    tables, cuts = profiles(), np.concatenate([[0], np.cumsum(SIZES)])
    E = np.zeros((len(JOBS), cuts[-1]))
    for job in range(len(JOBS)):
        E[job, cuts[job] : cuts[job + 1]] = 1.0
    circuit = np.concatenate(tables).T
    order = np.zeros((HOURS, cuts[-1]))  # started by hour t: dryer <= washing by the hours before
    for hour in range(HOURS):
        for start in range(SIZES[DRYER]):
            order[hour, cuts[DRYER] + start] = float(JOBS[DRYER][2] + start <= hour)
        for start in range(SIZES[WASHING]):
            order[hour, cuts[WASHING] + start] = -float(JOBS[WASHING][2] + start + JOBS[WASHING][0] <= hour)
    return (
        np.vstack([circuit, order]),
        np.concatenate([np.full(HOURS, CIRCUIT), np.zeros(HOURS)]),
        E,
        np.ones(len(JOBS)),
    )


def days() -> tuple[Array, Array]:
    """Return features and hourly loads of all whole days with a week before them, in kW.

    Raises:
        FileNotFoundError: the data are not in the folder that SOCICNN_DATA names.
    """
    import pandas as pd

    path = Path(os.environ.get("SOCICNN_DATA", "")) / POWER
    if not path.is_file():
        raise FileNotFoundError(f"the household power data are not at {path}; set SOCICNN_DATA to their folder")
    frame = pd.read_csv(path, parse_dates=["datetime"], index_col="datetime")
    load = frame["Global_active_power"].asfreq("h") / 60.0  # sums of 60 minutes in kW
    load = load[load.index.normalize()[HOURS] :]  # from the first midnight
    table = load.to_numpy()[: len(load) // HOURS * HOURS].reshape(-1, HOURS)
    blocks = table.reshape(len(table), HOURS // BLOCK, BLOCK).mean(axis=2)
    weekday = (load.index[0].day_of_week + np.arange(len(table))) % 7
    X = np.hstack([blocks[6:-1], blocks[:-7], np.eye(7)[weekday[7:]]])
    y = table[7:]
    whole = np.isfinite(X).all(axis=1) & np.isfinite(y).all(axis=1)
    return X[whole], y[whole]


def coefficients(load: Array) -> Array:
    """Return the cost of each job's start on each day, shape `(days, starts of all jobs)`."""
    return load @ np.concatenate(profiles()).T
