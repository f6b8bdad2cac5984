"""
A battery schedule for 24 hours, around a learned current
=========================================================

A contract for electricity has two prices: one for energy, and one for what the line must be able to carry, which is a
current. A battery can move energy into the night, when it is cheap; but if everything is charged in the same cheap
hour, the current peaks there. The schedule of a day weighs both.

The energy is linear in the schedule. The current is not: it depends on active power, reactive power and voltage. We
learn it from four years of hours, put one copy of the network per hour into a CVXPY problem, and let the solver
find the schedule. A proof then says how far the schedule can be from the optimum.
"""

# %%
# A model of the current
# ----------------------
# The data are the *Individual household electric power consumption* set of the UCI repository (no. 235, CC BY 4.0),
# summed to hours over four years. The file lies in the folder that the environment variable ``SOCICNN_DATA`` names.
# A sum over 60 minutes is divided by 60; hours of which minutes are missing show by their voltage and are dropped.

import os
from pathlib import Path

import cvxpy as cp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import verify
from socicnn import ConvexRegressor

if "SOCICNN_DATA" not in os.environ:
    raise SystemExit("This example needs the household data: set SOCICNN_DATA to the folder that holds power/.")
path = Path(os.environ["SOCICNN_DATA"]) / "power" / "household_power_consumption_hourly.csv"
names = {"Global_active_power": "P", "Global_reactive_power": "Q", "Voltage": "V", "Global_intensity": "I"}
sums = pd.read_csv(path, parse_dates=["datetime"], index_col="datetime").rename(columns=names)[list(names.values())]
hours = (sums / 60)[sums["V"] > 60 * 220].dropna()  # means of the hours: kW, kvar, volt, ampere
print(f"{len(hours)} of {len(sums)} hours, {hours.index[0].date()} to {hours.index[-1].date()}")

# %%
# The last year is for planning, the years before are for training.

past, last = hours[: hours.index[-1] - pd.Timedelta("365D")], hours[hours.index[-1] - pd.Timedelta("365D") :]
model = ConvexRegressor("norm", context="V", random_state=0).fit(past[["P", "Q", "V"]], past["I"])
print(f"R2 on the {len(last)} hours of the last year: {model.score(last[['P', 'Q', 'V']], last['I']):.5f}")

# %%
# The schedule as a problem
# -------------------------
# The battery takes and gives up to 2 kW, holds 6 kWh, and loses 5 % each way. Energy costs 0.12 euro per kWh at night
# and 0.22 by day (6 to 22 h); 0.25 euro per ampere is paid for the day's largest current.
#
# ``to_cvxpy`` takes a Parameter as the context, so that one problem serves all days: its voltages and loads are
# Parameters, and CVXPY compiles it once.

T, CAPACITY, POWER, ETA, PER_AMPERE = 24, 6.0, 2.0, 0.95, 0.25
price = np.where((np.arange(T) >= 6) & (np.arange(T) < 22), 0.22, 0.12)

load, reactive = cp.Parameter(T), cp.Parameter(T)
voltage = [cp.Parameter(1) for _ in range(T)]
charge, discharge, level = cp.Variable(T), cp.Variable(T), cp.Variable(T + 1)
drawn = load + charge - discharge
current = [model.to_cvxpy(cp.hstack([drawn[t], reactive[t]]), voltage[t]) for t in range(T)]
peak = cp.Variable()

battery = [
    charge >= 0,
    discharge >= 0,
    charge <= POWER,
    discharge <= POWER,
    drawn >= 0,
    level[1:] == level[:-1] + ETA * charge - discharge / ETA,
    level >= 0,
    level <= CAPACITY,
    level[0] == CAPACITY / 2,
    level[T] == CAPACITY / 2,
]
limits = [one <= peak for one in current]
problem = cp.Problem(cp.Minimize(price @ drawn + PER_AMPERE * peak), battery + limits)
print(f"a problem by the rules of convex programming: {problem.is_dcp()}, with parameters: {problem.is_dpp()}")

# %%
# A year of days
# --------------
# The day's load is taken as known, so that the figures show what the battery can do, not how well a load is forecast.
# Every whole day of the last year is planned twice: for the price of energy alone, and for both prices. All bills are
# computed with the network's current.

days = [day for _, day in last.groupby(last.index.date) if len(day) == T]
energy_alone = cp.Problem(cp.Minimize(price @ drawn), battery)


def set_day(day: pd.DataFrame) -> None:
    """Put the loads and voltages of a day into the problem."""
    load.value, reactive.value = day["P"].to_numpy(), day["Q"].to_numpy()
    for parameter, V in zip(voltage, day["V"], strict=True):
        parameter.value = np.array([V])


def currents(day: pd.DataFrame, drawn: np.ndarray) -> np.ndarray:
    """Return the network's current in each hour of a day."""
    return model.predict(day[["P", "Q", "V"]].assign(P=drawn))


plans = {"no battery": [], "energy alone": [], "energy and current": []}
for day in days:
    set_day(day)
    plans["no battery"].append(load.value)
    for name, task in (("energy alone", energy_alone), ("energy and current", problem)):
        task.solve(solver=cp.CLARABEL)
        plans[name].append(drawn.value)

energy = {name: [price @ plan for plan in found] for name, found in plans.items()}
peaks = {name: [currents(*pair).max() for pair in zip(days, found, strict=True)] for name, found in plans.items()}
result = pd.DataFrame({"energy, euro per day": energy, "peak, A": peaks}).map(np.mean)
result["bill, euro per day"] = result["energy, euro per day"] + PER_AMPERE * result["peak, A"]
result.round(2)

# %%
# One day of them, the one with the largest hourly load. For the price of energy alone it does not matter when within
# the expensive hours the battery gives its energy, so the evening's peak stays. The plan for both keeps most of the
# energy for that hour. Over the year (right), a battery planned for energy alone raises most daily peaks; with a price
# on the current it about halves them.

chosen = int(np.argmax([day["P"].max() for day in days]))
hour, day = np.arange(T), days[chosen]
colors = {"no battery": "tab:gray", "energy alone": "tab:orange", "energy and current": "tab:blue"}
figure, (top, bottom, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
for name, color in colors.items():
    plan = plans[name][chosen]
    top.step(hour, currents(day, plan), where="mid", color=color, label=name)
    moved = plan - day["P"].to_numpy()  # charge less discharge
    stored = CAPACITY / 2 + np.cumsum(np.where(moved > 0, ETA, 1 / ETA) * moved)
    bottom.plot(hour + 1, stored, color=color)
    right.plot(np.sort(peaks[name])[::-1], color=color)
top.axvspan(6, 22, color="black", alpha=0.06, label="the expensive hours")
bottom.axvspan(6, 22, color="black", alpha=0.06)
top.set(xlabel="hour", ylabel="current (A)", title=f"{day.index[0].date()}: current")
bottom.set(xlabel="hour", ylabel="energy in the battery (kWh)", title="The same day: battery")
right.set(xlabel="days, sorted", ylabel="largest current of the day (A)", title=f"{len(days)} days")
top.legend(frameon=False, fontsize="small")
plt.show()

# %%
# The proof of a day
# ------------------
# ``certify`` proves that each network equals its program. ``verify.optimum`` proves the whole problem: the least bill
# of this day lies between two numbers, in real arithmetic, whatever the solver says.

set_day(day)
problem.solve(solver=cp.CLARABEL)
print(verify.optimum(problem))

# %%
# The proof is about the learned current. How far that is from the measured one in the hours of the last year:

miss = last["I"] - model.predict(last[["P", "Q", "V"]])
print(f"half of the hours within {miss.abs().median():.3f} A, 99 % within {miss.abs().quantile(0.99):.2f} A")
