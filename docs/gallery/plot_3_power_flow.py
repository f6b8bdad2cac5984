r"""
The value function of an optimal power flow
===========================================

Where should solar panels be built in a grid? Each plan has to be judged in many hours, and each hour is an optimal
power flow of its own: the least cost V(d) at which the generators serve the net demands d of all buses, within the
limits of the lines. V is convex in d, because d is a right-hand side; and its gradient comes with every solution, as
the prices at the buses (the dual variables of the balances).

So a convex network can learn V from few solved hours: each gives one value and twenty slopes. The network then stands
for the grid in the planning problem, first as cuts. We do it for the linear flow (DC) and for the second-order cone
relaxation of the full equations (AC), and compare the plans with the whole problem solved at once.
"""

# %%
# The grid
# --------
# The IEEE 30-bus system as PYPOWER has it (``case30``): 41 lines, six generators, 20 buses with a load. Unserved load
# costs 20 $/MWh, about five times as much as a served one; surplus is spilled at no cost. So every hour can be solved,
# however large or negative its net demand.

import time

import cvxpy as cp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from pypower.case30 import case30
from scipy.optimize import linprog

import verify
from socicnn import ConvexRegressor

grid = case30()
bus, unit, line, cost = (grid[name] for name in ("bus", "gen", "branch", "gencost"))
buses, units, lines = len(bus), len(unit), len(line)
start, end = line[:, 0].astype(int) - 1, line[:, 1].astype(int) - 1  # buses at the ends of the lines
loads = np.flatnonzero(bus[:, 2])  # buses with a load
at = np.eye(buses)  # at[:, k]: what is at bus k
MW, LOST = 100.0, 20.0  # of one unit of power in the lines' data; $/MWh of load that is not served
print(f"{buses} buses, {lines} lines, load {bus[:, 2].sum():.0f} MW, generators up to {unit[:, 8].sum():.0f} MW")

# %%
# Two power flows
# ---------------
# Both take the net demands of many hours at once, one column per hour, so that one call of the solver solves them all.
# ``net`` may be numbers or a CVXPY expression; that is used at the end.


def generation(hours):
    """Return power of the units, shed load, spilled power, their cost in each hour, and their limits."""
    power = cp.Variable((units, hours))
    shed, spill = cp.Variable((buses, hours), nonneg=True), cp.Variable((buses, hours), nonneg=True)
    fuel = cp.multiply(cost[:, [4]], cp.square(power)) + cp.multiply(cost[:, [5]], power)
    limits = [power >= 0, power <= unit[:, [8]]]
    return power, shed, spill, cp.sum(fuel, axis=0) + LOST * cp.sum(shed, axis=0), limits


def dc(net):
    """Return cost, constraints and balances of the linear flow: angles move power, lines lose none."""
    power, shed, spill, price, limits = generation(net.shape[1])
    angle = cp.Variable((buses, net.shape[1]))
    flow = cp.multiply(MW / line[:, [3]], angle[start] - angle[end])
    limits += [cp.abs(flow) <= line[:, [5]], angle[0] == 0]
    balance = at[:, unit[:, 0].astype(int) - 1] @ power + shed - spill - (at[:, start] - at[:, end]) @ flow == net
    return price, limits, balance


def ac(net):
    """Return the same of the second-order cone relaxation (Jabr, 2006), with losses, voltages and reactive power.

    u = |V_i|^2 at the buses, R + jJ = V_i conj(V_j) on the lines; R^2 + J^2 = u_i u_j is relaxed to <=, and the angles
    need not add up to zero along a loop. So it can cost less than the linear flow where lines are full.
    """
    hours, times = net.shape[1], cp.multiply
    power, shed, spill, price, limits = generation(hours)
    reactive, u = cp.Variable((units, hours)), cp.Variable((buses, hours))
    R, J = cp.Variable((lines, hours)), cp.Variable((lines, hours))
    admittance = 1 / (line[:, [2]] + 1j * line[:, [3]])
    g, b, charge = admittance.real, admittance.imag, line[:, [4]] / 2
    here, there = u[start], u[end]
    P = times(g, here - R) - times(b, J), times(g, there - R) + times(b, J)
    Q = [-times(b, w - R) - sign * times(g, J) - times(charge, w) for w, sign in ((here, 1), (there, -1))]
    place = at[:, unit[:, 0].astype(int) - 1]
    out = [at[:, start] @ pair[0] + at[:, end] @ pair[1] for pair in (P, Q)]
    factor = np.divide(bus[:, [3]], bus[:, [2]], out=np.zeros((buses, 1)), where=bus[:, [2]] > 0)
    balance = place @ power + shed - spill - MW * out[0] - times(bus[:, [4]], u) == net
    flat = [cp.vec(entry, order="F") for entry in (here + there, 2 * R, 2 * J, here - there, *P, *Q)]
    rate = np.tile(line[:, 5] / MW, hours)
    limits += [
        place @ reactive + times(factor, shed) - MW * out[1] + times(bus[:, [5]], u) == np.tile(bus[:, [3]], hours),
        reactive >= unit[:, [4]],
        reactive <= unit[:, [3]],
        u >= bus[:, [12]] ** 2,
        u <= bus[:, [11]] ** 2,
        cp.SOC(flat[0], cp.vstack(flat[1:4])),
        cp.SOC(rate, cp.vstack([flat[4], flat[6]])),
        cp.SOC(rate, cp.vstack([flat[5], flat[7]])),
    ]
    return price, limits, balance


def solve(flow, net):
    """Return the cost of each hour, and the price at each bus with a load."""
    price, limits, balance = flow(net)
    problem = cp.Problem(cp.Minimize(cp.sum(price)), [*limits, balance])
    problem.solve(solver=cp.CLARABEL)
    return price.value, -balance.dual_value[loads].T


# %%
# The hours
# ---------
# Demand between 50 and 130 % of the case, each bus with a deviation of its own; panels may stand at the eight buses
# with the largest loads, up to 30 MW each. To learn from, capacities are drawn, too.

rng = np.random.default_rng(0)
sites = loads[np.argsort(bus[loads, 2])[::-1][:8]]
CAPACITY = 30.0


def draw(hours):
    """Return demands, shape (buses, hours), and the output of a panel of 1 MW."""
    own = rng.lognormal(0, 0.15, (buses, hours))
    return bus[:, [2]] * rng.uniform(0.5, 1.3, hours) * own, np.clip(rng.normal(0.3, 0.35, hours), 0, 1)


demand, sun = draw(400)
net = demand - at[:, sites] @ (rng.uniform(0, CAPACITY, (len(sites), 400)) * sun)
began = time.perf_counter()
labels = {"DC": solve(dc, net), "AC": solve(ac, net)}
print(f"2 x 400 power flows in {time.perf_counter() - began:.0f} s")
V, prices = labels["AC"]
print(f"AC: {V.min():.0f} to {V.max():.0f} $/h; prices from {prices.min():.2f} to {prices.max():.2f} $/MWh")

# %%
# Learning from prices
# --------------------
# Up to 240 hours to fit, the other 160 to test. One hour gives one value, or a value and twenty prices.

X, sizes = net[loads].T, (15, 30, 60, 120, 240)


def learn(flow, size, *, with_prices):
    """Return the model of a flow from this number of hours, and its error on the hours to test."""
    V, prices = labels[flow]
    slopes = prices[:size] if with_prices else None
    model = ConvexRegressor(hidden=(32,), random_state=0).fit(X[:size], V[:size], gradient=slopes)
    return model, np.sqrt(np.mean((model.predict(X[240:]) - V[240:]) ** 2))


errors = pd.DataFrame(
    {
        ("values and prices" if with_prices else "values alone"): [
            learn("AC", size, with_prices=with_prices)[1] for size in sizes
        ]
        for with_prices in (False, True)
    },
    index=pd.Index(sizes, name="hours"),
)
errors.round(2)

# %%
# Planning with the networks
# --------------------------
# A panel of 1 MW costs 0.8 $ per hour. The plan x is to make 0.8 sum(x) plus the mean of V over 200 new hours least.
# The network takes the place of V. Its certificates give cuts: at a plan, f(d) >= f(d_k) + slope'(d - d_k) for every d,
# proven by a dual point. Their mean over the hours is one row of a linear program, which proposes the next plan
# (Kelley, 1960; in two stages, Benders).

PANEL, HOURS = 0.8, 200
demand, sun = draw(HOURS)
effect = np.eye(buses)[np.ix_(loads, sites)]  # from sites to buses with a load


def plan(model, steps=20):
    """Return the plan by cuts of the network, and the bounds on its least cost, step by step."""
    certifier = verify.Certifier(model.network_)
    x, rows, offsets, bounds = np.zeros(len(sites)), [], [], []
    for _ in range(steps):
        certificate = certifier(demand[loads].T - sun[:, None] * (effect @ x))
        slope, offset = certificate.cut()
        rows.append([*(-(sun[:, None] * slope).mean(axis=0) @ effect), -1.0])
        offsets.append(-(offset + (slope * demand[loads].T).sum(axis=1)).mean())
        upper = PANEL * x.sum() + certificate.forward.mean()
        bounds.append((upper, x))
        master = linprog(
            [PANEL] * len(sites) + [1.0], rows, offsets, bounds=[(0, CAPACITY)] * len(sites) + [(None, None)]
        )
        bounds[-1] = (*bounds[-1], master.fun)
        x = master.x[:-1]
    best = min(bounds, key=lambda step: step[0])
    return best[1], np.array([(step[0], step[2]) for step in bounds])


def whole(flow):
    """Return the plan of the whole problem: 200 power flows and the panels in one program."""
    x = cp.Variable(len(sites), nonneg=True)
    price, limits, balance = flow(demand - at[:, sites] @ (cp.reshape(x, (len(sites), 1), order="F") @ sun[None]))
    problem = cp.Problem(cp.Minimize(PANEL * cp.sum(x) + cp.sum(price) / HOURS), [*limits, balance, x <= CAPACITY])
    problem.solve(solver=cp.CLARABEL)
    return x.value


def true_cost(flow, x):
    """Return what a plan costs: the power flows solved."""
    return PANEL * x.sum() + solve(flow, demand - at[:, sites] @ (x[:, None] * sun))[0].mean()


table, course = {}, {}
for name, flow in (("DC", dc), ("AC", ac)):
    model, error = learn(name, 240, with_prices=True)
    print(f"{name}: RMSE {error:.1f} $/h")
    t0 = time.perf_counter()
    found, course[name] = plan(model)
    t1 = time.perf_counter()
    found_by = {"network": found, "whole problem": whole(flow)}
    print(f"{name}: {t1 - t0:.1f} s with the network, {time.perf_counter() - t1:.1f} s for the whole problem")
    candidates = {"no panels": np.zeros(len(sites)), "30 MW everywhere": np.full(len(sites), CAPACITY), **found_by}
    table[name] = {label: true_cost(flow, x) for label, x in candidates.items()}
pd.DataFrame(table).round(2)

# %%
# Costs in the table are true ones, in $/h: the power flows of the 200 hours were solved for each plan. The network's
# own bounds close after a few cuts (middle); what is left between its plan and the best one is what it has not learned.

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
for label, color in zip(errors, ("tab:gray", "tab:blue"), strict=True):
    left.loglog(errors.index, errors[label], "o-", color=color, label=label)
left.set(xlabel="solved hours to learn from", ylabel="RMSE on 160 other hours ($/h)")
left.set_title("AC, learned with and without prices")
left.set_xticks(sizes, sizes)
left.set_yticks([2, 5, 10], [2, 5, 10])
left.minorticks_off()
left.legend(frameon=False, fontsize="small")
for name, color in (("DC", "tab:orange"), ("AC", "tab:blue")):
    upper, lower = np.minimum.accumulate(course[name][:, 0]), course[name][:, 1]
    middle.semilogy(np.maximum(upper - lower, 1e-9), color=color, label=name)
middle.set(xlabel="cuts", ylabel="upper less lower bound ($/h)", title="Cuts of the network")
middle.legend(frameon=False)
place = np.arange(4)
for shift, (name, color) in zip((-0.2, 0.2), (("DC", "tab:orange"), ("AC", "tab:blue")), strict=True):
    right.bar(place + shift, table[name].values(), 0.4, color=color, label=name)
right.set(xticks=place, ylim=(430, None), ylabel="true cost of the plan ($/h)", title="Plans for 200 hours")
right.set_xticklabels([label.replace(" ", "\n", 1) for label in table["AC"]])
right.legend(frameon=False)
plt.show()
