"""A household's battery and water heating over a year of days: planned a day ahead with a learned cost.

python -m experiments.storage --preset tiny|year [--data FOLDER] [--out storage.csv] [--plot storage.png]

Each evening the next day's charge, discharge and heating are planned for 24 hours; its load is not known yet. An hour
in which l + u kWh are drawn, l the load and u = charge - discharge + heating, costs

    price_t (l + u)_+ - sold (-l - u)_+ + peak (l + u - limit)_+

A network learns the mean cost of an hour as a convex function of u for each context: hour, weekday, the loads of
yesterday and of last week. 24 of them make the cost of a day. The set moves with the day: the energy for hot water is
the day's own. Four plans are compared by the true cost:

| plan | what it knows |
|---|---|
| idle | the battery rests, heating is spread evenly |
| yesterday | the true cost, with yesterday's load in place of the day's |
| learned | the learned cost |
| perfect | the true cost and the day's load |

Data: hourly sums of the UCI household power data (UCI 235, CC BY 4.0), four years, of which the last 365 whole days are
planned and those before train; the file is found in the folder power of --data or of SOCICNN_DATA.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import decision
from decision import Horizon, Polytope
from experiments import plots
from experiments.engine.tables import Row, markdown, write_table
from socicnn._arrays import Array
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Output
from socicnn.nn import ICNN

T, P = 24, 10
FILE = "household_power_consumption_hourly.csv"
PRICE = np.where((np.arange(T) >= 7) & (np.arange(T) < 22), 0.30, 0.15)  # euro per kWh drawn
SOLD, PEAK, LIMIT = 0.05, 0.25, 2.0  # euro per kWh sold; more per kWh above LIMIT kWh in an hour
POWER, CAPACITY, ETA, HEAT = 1.5, 6.0, 0.95, 2.0  # kWh per hour, kWh, each way, kWh per hour
DRAWN = np.array([1.0, -1.0, 1.0])  # u of (charge, discharge, heating)
SEED = 0


@dataclass(frozen=True)
class Preset:
    """How much of everything: days that are planned, hours and candidates that train, epochs."""

    days: int
    hours: int
    candidates: int
    epochs: int


PRESETS = {"tiny": Preset(3, 60, 4, 2), "year": Preset(365, 24000, 8, 60)}


@dataclass(frozen=True, eq=False)
class Days:
    """Whole days of hourly energy, in kWh.

    Args:
        load: all but hot water, shape `(days, 24)`.
        water: energy for hot water of each day, shape `(days,)`.
        weekend: whether it is one, shape `(days,)`.
    """

    load: Array
    water: Array
    weekend: Array


def read_days(path: Path) -> Days:
    """Return the days of the file of which all 24 hours are there, in their order.

    Raises:
        ModelError: the file has no such day.
    """
    table = pd.read_csv(path, parse_dates=["datetime"])
    power = pd.DataFrame({"all": table["Global_active_power"] / 60.0, "water": table["Sub_metering_3"] / 1000.0})
    clock = [table["datetime"].dt.normalize().rename("day"), table["datetime"].dt.hour.rename("hour")]
    hourly = power.groupby(clock).last().unstack("hour")
    whole = hourly.reindex(columns=pd.MultiIndex.from_product([power.columns, range(T)])).dropna()
    if whole.empty:
        raise ModelError(f"{path} holds no day with all 24 hours")
    load, water = whole["all"].to_numpy(), whole["water"].to_numpy()
    return Days(
        load=np.maximum(load - water, 0.0),
        water=np.minimum(water.sum(axis=1), 0.9 * T * HEAT),
        weekend=(whole.index.day_of_week >= 5).astype(float),
    )


def contexts(days: Days, chosen: Array) -> Array:
    """Return what is known of each hour the evening before, shape `(days, 24, P)`; the first day is the eighth."""
    chosen = np.asarray(chosen, dtype=np.int64)
    angle = np.broadcast_to(2 * np.pi * np.arange(T) / T, (len(chosen), T))
    before, week = days.load[chosen - 1], days.load[chosen - 7]
    tomorrow = np.broadcast_to(days.weekend[chosen, None], (len(chosen), T))
    mean = np.broadcast_to(before.mean(axis=1, keepdims=True), (len(chosen), T))
    last = np.stack([days.load[chosen - k] for k in range(1, 8)])
    waves = [np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)]
    return np.stack([*waves, tomorrow, before, week, mean, last.mean(axis=0), last.std(axis=0)], axis=2)


def cost(u: Array, load: Array, hour: Array) -> Array:
    """Return what hours cost, in euro."""
    drawn = load + u
    bought, sold, above = np.maximum(drawn, 0), np.maximum(-drawn, 0), np.maximum(drawn - LIMIT, 0)
    return PRICE[hour] * bought - SOLD * sold + PEAK * above


def plans(days: Days, chosen: Array) -> Horizon:
    """Return the plans of some days: (charge, discharge, heating) of each hour, with the day's own hot water."""
    step = Polytope(lower=np.zeros(5), upper=[POWER, POWER, CAPACITY, HEAT, T * HEAT])  # level, heat so far: helpers
    carried = [[0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]]
    balance = [[ETA, -1.0 / ETA, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, -1.0]]
    half = CAPACITY / 2
    ends = np.stack([np.full(len(chosen), half), days.water[np.asarray(chosen, dtype=np.int64)]], axis=1)
    return Horizon(
        step,
        T,
        link=(carried, balance, [0.0, 0.0]),
        first=(balance, [-half, 0.0]),
        last=(carried, ends),
        inputs=(0, 1, 3),
    )


def true_costs(load: Array) -> FrozenNet:
    """Return the true cost of days with these loads as networks of (charge, discharge, heating), shape `(days, 24)`."""
    U = np.kron(np.eye(T), DRAWN[None])
    units = Layer(None, np.concatenate([U, U]), np.concatenate([load, load - LIMIT], axis=1))
    slope = np.broadcast_to(SOLD * np.tile(DRAWN, T), (len(load), 3 * T))
    weights = np.concatenate([PRICE - SOLD, np.full(T, PEAK)])
    return FrozenNet(
        [units],
        Output(np.broadcast_to(weights, (len(load), 2 * T)), slope, SOLD * load.sum(axis=1)),
        contexts=len(load),
    )


def learned_costs(model: ICNN, theta: Array) -> FrozenNet:
    """Return the learned cost of days: the networks of their 24 hours side by side; theta of shape `(days, 24, p)`."""
    count = len(theta)
    hours = model.freeze(torch.tensor(theta.reshape(count * T, -1)))
    (layer,), out = hours.layers, hours.output
    width = layer.b.shape[-1]
    U = np.kron(np.eye(T), np.asarray(layer.U) @ DRAWN[None])
    w = np.broadcast_to(out.w, (count * T, width)).reshape(count, T * width)
    v = (np.broadcast_to(out.v, (count * T, 1)) * DRAWN).reshape(count, 3 * T)
    units = Layer(None, U, np.broadcast_to(layer.b, (count * T, width)).reshape(count, T * width))
    return FrozenNet(
        [units], Output(w, v, np.broadcast_to(out.c, count * T).reshape(count, T).sum(axis=1)), contexts=count
    )


def trained(days: Days, chosen: Array, preset: Preset) -> ICNN:
    """Return a network of the cost of an hour, trained on hours of some days with random u."""
    rng = np.random.default_rng(SEED)
    theta, load = contexts(days, chosen).reshape(-1, P), days.load[chosen].reshape(-1)
    picked = rng.permutation(len(load))[: preset.hours]
    u = rng.uniform(-POWER, POWER + HEAT, size=(len(picked), preset.candidates))
    y = cost(u, load[picked, None], (picked % T)[:, None])
    data = decision.Data(torch.tensor(u[..., None]), torch.tensor(theta[picked]), torch.tensor(y))
    draw = torch.Generator().manual_seed(SEED)
    model = ICNN(1, (16,), context_features=P, context="partial", context_hidden=64, generator=draw)
    decision.fit(model, data, epochs=preset.epochs, batch_size=256, seed=SEED, progress=False)
    return model.finalise().double()


@dataclass(frozen=True, eq=False)
class Planned:
    """The plans of the test days.

    Args:
        rows: one per plan: its mean cost of a day, its share of what perfect knowledge saves, times.
        plans: charge, discharge and heating of each plan, shape `(days, 24, 3)`.
        load: of the test days, shape `(days, 24)`.
    """

    rows: list[Row]
    plans: dict[str, Array]
    load: Array


def run(days: Days, preset: Preset) -> Planned:
    """Train, plan the last days in every way, and judge the plans by the true cost."""
    first = len(days.load) - preset.days
    train, test = np.arange(7, first), np.arange(first, len(days.load))
    model, sets = trained(days, train, preset), plans(days, test)
    began = time.perf_counter()
    costs = learned_costs(model, contexts(days, test))
    prepared = time.perf_counter() - began
    known = {"yesterday": true_costs(days.load[test - 1]), "learned": costs, "perfect": true_costs(days.load[test])}
    x = np.zeros((len(test), T, 3))
    x[:, :, 2] = days.water[test, None] / T
    rows, made = [_judged("idle", x, days, test)], {"idle": x}
    for name, network in known.items():
        answer = decision.decide(network, sets)
        made[name] = answer.x.numpy().reshape(-1, T, 3)
        row = _judged(name, made[name], days, test)
        seconds = answer.seconds + (prepared if name == "learned" else 0.0)
        row |= {"ms": 1e3 * seconds / len(test), "certified": int(answer.certified.sum())}
        row |= {"violation": float(answer.violation.max()) if answer.violation is not None else float("nan")}
        rows.append(row)
    idle, perfect = float(rows[0]["cost"]), float(rows[-1]["cost"])
    rows = [{**row, "share": (idle - float(row["cost"])) / (idle - perfect)} for row in rows]
    return Planned(rows, made, days.load[test])


def _judged(name: str, x: Array, days: Days, chosen: Array) -> Row:
    bill = cost(x @ DRAWN, days.load[chosen], np.arange(T)).sum(axis=1)
    return {"plan": name, "days": len(chosen), "cost": float(bill.mean()), "worst": float(bill.max())}


def levels(x: Array) -> Array:
    """Return the battery's level before the first hour and after each, in kWh; x of shape `(days, 24, 3)`."""
    gained = ETA * x[:, :, 0] - x[:, :, 1] / ETA
    return CAPACITY / 2 + np.concatenate([np.zeros((len(x), 1)), np.cumsum(gained, axis=1)], axis=1)


def draw(planned: Planned, path: Path) -> None:
    """Draw one day, and what the plans save on all days."""
    drawn = {name: planned.load + x @ DRAWN for name, x in planned.plans.items()}
    hour = np.arange(T)
    bills = {name: cost(x @ DRAWN, planned.load, hour).sum(axis=1) for name, x in planned.plans.items()}
    level = {name: levels(x) for name, x in planned.plans.items()}
    plots.day(price=PRICE, load=planned.load, drawn=drawn, level=level, bills=bills, limit=LIMIT, path=path)


def main(words: Sequence[str] | None = None) -> None:
    """Run the experiment and print its table."""
    parser = argparse.ArgumentParser(prog="experiments.storage", description="A year of days with a battery.")
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--data", type=Path, default=None, help="folder that holds power/; default: SOCICNN_DATA")
    parser.add_argument("--out", type=Path, default=None, help="write the table to this CSV file")
    parser.add_argument("--plot", type=Path, default=None, help="draw one day and the savings into this file")
    given = parser.parse_args(words)
    folder = given.data or Path(os.environ.get("SOCICNN_DATA", "."))
    planned = run(read_days(folder / "power" / FILE), PRESETS[given.preset])
    if given.plot is not None:
        draw(planned, given.plot)
    if given.out is not None:
        write_table(given.out, planned.rows)
    print(markdown(planned.rows))


if __name__ == "__main__":
    main()
