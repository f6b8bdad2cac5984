r"""
The current of a household: fitted, checked, proven
===================================================

A fuse limits the current of a house, but plans are made in power. The current that flows for a given active power P
and reactive power Q depends on the voltage V:

.. math:: I = 1000 \sqrt{P^2 + Q^2} / V

with P in kW, Q in kvar, V in volt and I in ampere. It is convex in (P, Q) for every V, and it is not convex in V. That
is the shape that socicnn fits: convex in what is decided, free in what is given. Here the formula stays a yardstick.
The model learns from measurements alone, and the measurements know things that the formula does not.

We fit all minutes of the table, compare the model with other regressions, put a band around it that holds for new
minutes, and prove that the fitted network equals its conic program.
"""

# %%
# The data
# --------
# The table is the *Individual household electric power consumption* set of the UCI repository (no. 235, CC BY 4.0), one
# row per minute. This example reads its first 15,000 minutes, from the folder that the environment variable
# ``SOCICNN_DATA`` names. From UCI's own file, the table is
# ``pd.read_csv("household_power_consumption.txt", sep=";", na_values="?", nrows=15_000)`` with its first two columns
# dropped.

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split

import socicnn
from socicnn import ConvexRegressor, MaxAffine

if "SOCICNN_DATA" not in os.environ:
    raise SystemExit("This example needs the household data: set SOCICNN_DATA to the folder that holds power/.")
path = Path(os.environ["SOCICNN_DATA"]) / "power" / "household_power_consumption_15000min.csv"
measured = pd.read_csv(path, sep=";", na_values="?")
names = {"Global_active_power": "P", "Global_reactive_power": "Q", "Voltage": "V", "Global_intensity": "I"}
table = measured.rename(columns=names)[list(names.values())].dropna()
print(f"{len(table)} minutes; {len(measured) - len(table)} with missing values dropped")
table.describe().loc[["min", "mean", "max"]].round(3)

# %%
# The fit
# -------
# A fifth of the minutes is for the test, a fifth for the band. ``kind="norm"`` allows hidden units and Euclidean norms.
# V is the context: the function is free in it.

X, y = table[["P", "Q", "V"]], table["I"]
X_train, X_rest, y_train, y_rest = train_test_split(X, y, test_size=0.4, random_state=0)
X_band, X_test, y_band, y_test = train_test_split(X_rest, y_rest, test_size=0.5, random_state=0)

model = ConvexRegressor("norm", context="V", random_state=0).fit(X_train, y_train)
print(model.history_)

# %%
# Is it any good?
# ---------------
# The error is in ampere, on minutes that no model has seen.


def formula(X: pd.DataFrame) -> np.ndarray:
    """Return the current by the formula."""
    return 1000 * np.hypot(X["P"], X["Q"]) / X["V"]


others = {
    "mean": np.full(len(X_test), y_train.mean()),
    "formula": formula(X_test),
    "linear regression": LinearRegression().fit(X_train, y_train).predict(X_test),
    "max-affine": MaxAffine(random_state=0).fit(X_train, y_train).predict(X_test),
    "boosted trees": HistGradientBoostingRegressor(random_state=0).fit(X_train, y_train).predict(X_test),
    "socicnn": model.predict(X_test),
}
errors = pd.Series({name: root_mean_squared_error(y_test, y_hat) for name, y_hat in others.items()}, name="RMSE, A")
errors.round(3).to_frame()

# %%
# A band that holds for new minutes
# ---------------------------------
# 95 % of new minutes lie in the band, whatever the distribution of the errors. It is an average over minutes that come
# from where these come from.

band = model.conformal(X_band, y_band, alpha=0.05)
print(f"f(P, Q; V) - {band.below:.2f} A to f(P, Q; V) + {band.above:.2f} A")
print(f"of the {len(X_test)} minutes of the test, {100 * band.coverage(X_test, y_test):.1f} % lie in it")

# %%
# On the left, all minutes of the test against the prediction. In some of them far more current is reported than any
# model expects, most of them near 5 A: P, Q and V do not tell which, so the band cannot follow them. They are among the
# 5 %. On the right, the model at three voltages and Q = 0.1 kvar, and the formula (dashed): the current falls as the
# voltage rises, because the load draws power. Below 1 kW the curve of 247 V turns up: most of those minutes lie there,
# and they raise the mean, which is what a model of squared errors learns.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
left.scatter(others["socicnn"], y_test, s=5, alpha=0.35, color="tab:blue", edgecolors="none", zorder=3)
ends = np.array([0.0, y_test.max()])
left.fill_between(ends, ends - band.below, ends + band.above, color="tab:orange", alpha=0.35, label="band, 95 %")
left.plot(ends, ends, color="black", linewidth=0.8)
left.set(xlabel="predicted current (A)", ylabel="measured current (A)", title=f"{len(y_test)} minutes of the test")
left.legend(loc="upper left", frameon=False)

P = np.linspace(0.3, X["P"].max(), 200)
for V, color in zip((235.0, 241.0, 247.0), ("tab:red", "tab:green", "tab:blue"), strict=True):
    rows = pd.DataFrame({"P": P, "Q": 0.1, "V": V})
    right.plot(P, model.predict(rows) / P, color=color, label=f"{V:.0f} V")
    right.plot(P, formula(rows) / P, color="black", linestyle="--", linewidth=0.8)
right.plot([], [], color="black", linestyle="--", linewidth=0.8, label="formula")
right.set(xlabel="active power (kW)", ylabel="current per power (A/kW)", title="The model at Q = 0.1 kvar")
right.legend(frameon=False)
plt.show()

# %%
# The proof
# ---------
# The fitted network is the optimal value of a second-order cone program. ``certify`` shows it at every minute of the
# test: a primal point, a dual point, and no gap between them. No solver is asked.

certificate = model.certify(X_test)
print(certificate)

# %%
# The model itself is one file without code in it.

folder = Path(tempfile.mkdtemp())
socicnn.save(model.network_, folder / "current.safetensors", metadata={"made from": "UCI 235, first 15,000 minutes"})
print(socicnn.load(folder / "current.safetensors").ranges)

# %%
# In an optimisation problem
# --------------------------
# How much power may the house draw at 228 V before the fuse of 30 A is at risk, with 0.2 kvar of reactive power? The
# upper end of the band is a convex constraint.

import cvxpy as cp

z = cp.Variable(2, name="P, Q")
problem = cp.Problem(cp.Maximize(z[0]), [band.upper(z, {"V": 228.0}) <= 30, z[1] == 0.2, z[0] >= 0])
problem.solve(solver=cp.CLARABEL)
print(f"{z.value[0]:.2f} kW; the formula alone would allow {np.sqrt((30 * 228 / 1000) ** 2 - 0.2**2):.2f} kW")

# %%
# :ref:`sphx_glr_auto_gallery_plot_2_battery.py` plans a whole day this way.
