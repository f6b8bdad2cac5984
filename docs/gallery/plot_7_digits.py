r"""
Two densities of handwritten digits
===================================

A convex function gives a density in two ways. An energy, p = exp(-E) / Z, is log-concave: one hill. A flow moves the
data by the gradient of a convex function until they look normal; it can take any shape, its density is exact, and it
can be drawn from.

We put all 1,797 digits of scikit-learn on their two principal components, fit both, compare them with a normal law and
a kernel density on points that none has seen, and turn draws of the flow back into images.
"""

# %%
# The data
# --------
# 8 x 8 pixels each, from the test set of Alpaydin and Kaynak (UCI repository, no. 80), as scikit-learn has it.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KernelDensity

from socicnn.density import Energy, PotentialFlow, fit, negative_log_likelihood, quadrature

images, digit = load_digits(return_X_y=True)
pca = PCA(2, whiten=True).fit(images)
points = pca.transform(images)
train, test = (torch.from_numpy(part) for part in train_test_split(points, test_size=0.25, random_state=0))
print(f"{len(points)} digits; two components hold {100 * pca.explained_variance_ratio_.sum():.0f} % of the variance")

# %%
# An energy
# ---------
# log Z is an integral over the plane, here by a product rule on a box that holds the data.

draw = torch.Generator().manual_seed(0)
rule = quadrature([-4.0, -4.0], [4.0, 4.0], [4, 4], dtype=torch.float64)
energy = Energy.dense(2, (32, 32), generator=draw, dtype=torch.float64)
fit(energy, train, rule=rule, steps=250, batch_size=256, learning_rate=0.01, progress=False)
energy = energy.finalise()
nats = negative_log_likelihood(energy, rule, test)
print(nats.summary())

# %%
# A flow
# ------
# No integral is needed: log p(x) is that of a normal law at the gradient, plus the log-determinant of the Hessian.

flow = PotentialFlow.dense(2, (32, 32), generator=draw, dtype=torch.float64)
fit(flow, train, steps=500, batch_size=256, learning_rate=0.01, progress=False)
flow = flow.finalise()

# %%
# On 450 digits that none has seen
# --------------------------------
# The mean of -log p, less is better. The bandwidth of the kernels is chosen by five folds of the training points; they
# keep every one of these points, a flow its weights alone.

normal = torch.distributions.MultivariateNormal(train.mean(dim=0), torch.cov(train.T))
bandwidths = GridSearchCV(KernelDensity(), {"bandwidth": np.geomspace(0.05, 0.5, 15)}).fit(train.numpy())
with torch.no_grad():
    losses = {
        "normal law": -normal.log_prob(test),
        "energy": energy(test) + float(nats) - energy(test).mean(),
        "flow": -flow.log_density(test),
        "kernels": torch.from_numpy(-bandwidths.best_estimator_.score_samples(test.numpy())),
    }
table = pd.DataFrame({"nats": {name: float(loss.mean()) for name, loss in losses.items()}})
table["standard error"] = [float(loss.std()) / np.sqrt(len(test)) for loss in losses.values()]
table.round(3)

# %%
# Pictures
# --------
# The energy puts one hill over all digits. The flow bends around the groups. On the right the same points after the
# flow: a standard normal law, whose circles hold 50, 90 and 99 %.

side = torch.linspace(-2.6, 2.6, 120, dtype=torch.float64)
grid = torch.cartesian_prod(side, side)
with torch.no_grad():
    heights = {
        "energy": torch.exp(-energy(grid) + energy(test).mean() - float(nats)),
        "flow": torch.exp(flow.log_density(grid)),
    }
    moved = flow.transport(torch.from_numpy(points)).numpy()

figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
for axis, (name, height) in zip(axes, heights.items(), strict=False):
    axis.contourf(side, side, height.reshape(120, 120).T, levels=12, cmap="Blues")
    axis.scatter(*points.T, c=digit, s=4, cmap="tab10")
    axis.set(title=f"{name}: {table.loc[name, 'nats']:.2f} nats", xlim=(-2.6, 2.6), ylim=(-2.6, 2.6))
shown = axes[2].scatter(*moved.T, c=digit, s=4, cmap="tab10", vmin=-0.5, vmax=9.5)
for share in (0.5, 0.9, 0.99):
    axes[2].add_patch(plt.Circle((0, 0), np.sqrt(-2 * np.log(1 - share)), fill=False, color="black", linewidth=0.8))
inside = [(np.square(moved).sum(axis=1) < -2 * np.log(1 - share)).mean() for share in (0.5, 0.9, 0.99)]
axes[2].set(
    title="after the flow: " + ", ".join(f"{100 * s:.0f} %" for s in inside), xlim=(-3.6, 3.6), ylim=(-3.6, 3.6)
)
for axis in axes:
    axis.set_aspect("equal")
figure.colorbar(shown, ax=axes[2], label="digit", ticks=range(10))
plt.show()

# %%
# Draws
# -----
# The flow is inverted at normal draws, and the two components are turned into pixels. Two numbers in place of 64
# make blurred digits.

drawn = flow.sample(40, draw).numpy()
order = np.lexsort((drawn[:, 1], np.round(drawn[:, 0])))
figure, axes = plt.subplots(4, 10, figsize=(10, 4), layout="constrained")
for axis, image in zip(axes.T.flat, pca.inverse_transform(drawn[order]), strict=True):
    axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
    axis.axis("off")
plt.show()
