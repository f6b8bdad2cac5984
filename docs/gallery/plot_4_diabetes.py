r"""
A table of patients: convex, monotone, compared
===============================================

scikit-learn's diabetes table has 442 patients: ten measurements of each, and how far the disease progressed in the
year after. Doctors would not believe a model in which a higher body mass index makes the outlook better. A
:class:`socicnn.ConvexRegressor` can be told so: the function increases in chosen columns by construction, not by luck,
and it is convex, so that each further step costs at least as much as the one before.

Does such a restriction cost accuracy? We compare it with ridge regression and boosted trees, put a band around it that
holds for new patients, and look at the curve of one patient.
"""

# %%
# The table
# ---------
# It comes with scikit-learn (Efron, Hastie, Johnstone and Tibshirani, "Least angle regression", 2004). We take it in
# its own units: ``bmi`` in kg/m², ``bp`` the mean blood pressure in mmHg, ``s5`` the logarithm of the triglycerides.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from socicnn import ConvexRegressor, MaxAffine

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
print(f"{len(X)} patients; progression from {y.min():.0f} to {y.max():.0f}, mean {y.mean():.0f}")
X.describe().loc[["min", "mean", "max"]].round(1)

# %%
# The models
# ----------
# The estimator takes a table as it is: it scales columns itself, and names its columns by name. Trees can be told to
# increase, too. Their learning rate and depth are set for a table of this size; at scikit-learn's defaults they do
# worse.

rising = ["bmi", "bp", "s5"]
monotone = dict.fromkeys(rising, 1)
small = {"learning_rate": 0.03, "max_depth": 3, "early_stopping": True, "random_state": 0}
models = {
    "mean": DummyRegressor(),
    "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 20))),
    "boosted trees, defaults": HistGradientBoostingRegressor(random_state=0),
    "boosted trees": HistGradientBoostingRegressor(**small),
    "boosted trees, monotone": HistGradientBoostingRegressor(monotonic_cst=monotone, **small),
    "max-affine": MaxAffine(random_state=0),
    "convex, monotone": ConvexRegressor(increasing=rising, random_state=0),
}

# %%
# Five folds of all patients. The last column is the standard error over the folds: models that differ by less cannot be
# told apart on this table. So the restriction costs nothing here that can be measured.

folds = KFold(5, shuffle=True, random_state=0)
score = {
    name: -cross_val_score(model, X, y, cv=folds, scoring="neg_root_mean_squared_error")
    for name, model in models.items()
}
table = pd.DataFrame({"RMSE": {k: v.mean() for k, v in score.items()}})
table["standard error"] = [v.std(ddof=1) / np.sqrt(len(v)) for v in score.values()]
table.round(1)

# %%
# A band for new patients
# -----------------------
# 60 % of the patients are for the fit, 20 % for the band, 20 % for the test. The band is wide, because ten measurements
# do not tell much about a year to come, and it says so: 90 % of new patients lie in it, whatever the model.

X_train, X_rest, y_train, y_rest = train_test_split(X, y, test_size=0.4, random_state=0)
X_band, X_test, y_band, y_test = train_test_split(X_rest, y_rest, test_size=0.5, random_state=0)
model = ConvexRegressor(increasing=rising, random_state=0).fit(X_train, y_train)
band = model.conformal(X_band, y_band, alpha=0.1)
print(band)
print(f"of the {len(X_test)} patients of the test, {100 * band.coverage(X_test, y_test):.0f} % lie in it")

# %%
# One split is a coin thrown 89 times. Over 200 splits of the patients that the fit has not seen into band and test:

inside = []
for seed in range(200):
    A, B, a, b = train_test_split(X_rest, y_rest, test_size=0.5, random_state=seed)
    inside.append(model.conformal(A, a, alpha=0.1).coverage(B, b))
print(f"coverage {100 * np.mean(inside):.1f} % on average")

# %%
# What it looks like
# ------------------
# On the left the comparison. On the right one patient, the median of each column, whose body mass index we vary: ridge
# regression is a line, trees are steps, and the convex model may bend upwards only. Dots are all patients.

ridge = models["ridge"].fit(X_train, y_train)
trees = models["boosted trees, monotone"].fit(X_train, y_train)
path = pd.DataFrame([X.median()] * 200).assign(bmi=np.linspace(X["bmi"].min(), X["bmi"].max(), 200))
lower, upper = band.predict(path)

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
colors = ["tab:blue" if name.startswith("convex") else "tab:gray" for name in table.index]
left.barh(table.index, table["RMSE"], xerr=table["standard error"], color=colors, alpha=0.8)
left.invert_yaxis()
left.set(xlabel="RMSE over five folds, with standard error", xlim=(40, None))
right.scatter(X["bmi"], y, s=6, color="black", alpha=0.25, edgecolors="none")
right.fill_between(path["bmi"], lower, upper, color="tab:blue", alpha=0.12, label="band, 90 % of new patients")
right.plot(path["bmi"], ridge.predict(path), color="tab:green", label="ridge")
right.plot(path["bmi"], trees.predict(path), color="tab:orange", label="boosted trees, monotone")
right.plot(path["bmi"], model.predict(path), color="tab:blue", linewidth=2, label="convex, monotone")
right.set(xlabel="body mass index (kg/m²)", ylabel="progression after a year", title="The median patient")
right.legend(frameon=False, fontsize="small", loc="upper left")
plt.show()

# %%
# The promises, checked
# ---------------------
# That the function increases is a property of its weights. The slopes at all patients show it; that the network equals
# its conic program is proven at every one of them.

slopes = model.gradient(X)[:, [X.columns.get_loc(name) for name in rising]]
print(f"least slope in {', '.join(rising)} over {len(X)} patients: {slopes.min():.3g}")
print(model.certify(X))
