"""
The least cost of a day, proven
===============================

A waterworks fills its tank with two pumps. What a pump draws is learned from measurements; when it runs is decided by a
solver. This page asks for more than the solver's word: two numbers between which the least cost lies for sure, a file
that a colleague checks without a solver, and what happens when a solver is wrong. Shows :func:`verify.optimum` and
``python -m verify.check``.
"""

# %%
# A pump, learned
# ---------------
# 400 measurements of the power (kW) at a flow (cubic metres per hour) against a height (metres).
import subprocess
import sys
import tempfile
from pathlib import Path

import cvxpy as cp
import matplotlib.pyplot as plt
import numpy as np

import verify
from socicnn import ConvexRegressor

rng = np.random.default_rng(0)
flow, height = rng.uniform(0, 120, 400), rng.uniform(10, 40, 400)
power = 2 + 0.0027 * flow * np.hypot(flow, height) + 0.05 * np.maximum(flow - 60, 0) + rng.normal(scale=0.3, size=400)
pump = ConvexRegressor("norm", random_state=0).fit(np.column_stack([flow, height]), power)

# %%
# A day as a problem
# ------------------
# One pump lifts water by 18 metres, the other by 30. The tank must end as full as it began.
price = np.array([0.10, 0.20, 0.35, 0.40, 0.30, 0.15])  # euro per kWh, in six blocks of the day
demand = np.array([60.0, 140.0, 200.0, 230.0, 120.0, 70.0])
T, heights = len(price), (18.0, 30.0)
q, level = cp.Variable((T, 2)), cp.Variable(T + 1)
cost = sum(price[t] * pump.to_cvxpy(cp.hstack([q[t, p], heights[p]])) for t in range(T) for p in range(2))
rows = [q >= 0, q <= 120, level >= 50, level <= 600, level[0] == 300, level[T] >= 300]
rows += [level[1:] == level[:-1] + cp.sum(q, axis=1) - demand]
problem = cp.Problem(cp.Minimize(cost), rows)
problem.solve(solver=cp.CLARABEL)
print(f"the solver says {problem.value:.6f} euro")

# %%
# The bracket
# -----------
# The lower end is a bound by multipliers that are feasible for sure, the upper end the cost at a schedule that is
# feasible for sure. Rounding is counted in; nothing is taken from the solver but a place to begin.
proven = verify.optimum(problem)
print(proven)

# %%
# A file for a colleague
# ----------------------
# The claim holds the problem, the multipliers, the point and the bracket. Whoever doubts it needs NumPy and SciPy, but
# no solver and no trust.
folder = Path(tempfile.mkdtemp())
proven.save(folder / "day.npz")
check = [sys.executable, "-m", "verify.check", "day.npz"]
print(subprocess.run(check, cwd=folder, capture_output=True, text=True).stdout)

# %%
# A solver that is wrong
# ----------------------
# Now somebody writes the same cost in millions of euro. Tolerances of solvers are absolute where numbers are small, so
# that poor schedules pass for optimal ones. The bracket says so.
millions = cp.Problem(cp.Minimize(1e-6 * cost), rows)
said = {}
for solver in (cp.CLARABEL, cp.SCS):
    millions.solve(solver=solver)
    bracket = verify.optimum(millions)
    said[solver] = 1e6 * millions.value
    print(f"{solver}: {millions.status}, {said[solver]:.2f} euro", bracket, sep="\n", end="\n\n")

# %%
# A pump that is on or off
# ------------------------
# Each block in which the second pump runs costs 2 euro more; while it is off, it draws nothing. That makes six
# decisions of yes or no. Branch and bound splits the problem into cases, and each case has multipliers of its own.
on = cp.Variable(T, boolean=True)
rest = float(pump.predict([[0.0, heights[1]]])[0])  # what the network draws without flow
switched = cost - rest * (price @ (1 - on)) + 2.0 * cp.sum(on)
integer = verify.optimum(cp.Problem(cp.Minimize(switched), [*rows, q[:, 1] <= 120 * on]), time_limit=60)
print(integer)

# %%
# What was said, and what is true
# -------------------------------
figure, axis = plt.subplots(figsize=(7, 2.4), layout="constrained")
names = ["Clarabel, euro", "Clarabel, millions", "SCS, millions"]
values = [problem.value, said[cp.CLARABEL], said[cp.SCS]]
axis.barh(names, values, color=["tab:green", "tab:orange", "tab:orange"])
axis.axvline(proven.hi, color="black", linestyle="--", label="the proven optimum")
axis.set(xlabel="least cost of the day according to the solver, euro")
axis.invert_yaxis()
axis.set_xlim(0, 56)
axis.legend(loc="center right", fontsize="small")
plt.show()
