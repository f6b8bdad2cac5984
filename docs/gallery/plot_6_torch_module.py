r"""
Somebody else's torch module: lifted, imported, proven
======================================================

Input-convex networks stand in many repositories as a short torch module, whose hidden weights must be non-negative and
are clamped after each step. Nothing has to be rewritten for socicnn. We take such a module as it is, train it once with
clamps and once with the lift (:class:`socicnn.positivity.HyperNetwork`), read it as arrays and prove that its value is
that of a conic program.

It learns what a grid loses: the losses of the IEEE 30-bus system as the loads change, from full AC power flows.
"""

# %%
# The module
# ----------
# This is how people write it. There is no socicnn in it.

import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from pypower.case30 import case30
from pypower.ppoption import ppoption
from pypower.runpf import runpf
from torch import nn

import verify
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from socicnn.positivity import HyperNetwork


class Convex(nn.Module):
    """A network that is convex in x if the weights of `deep` and `out` are non-negative."""

    def __init__(self, n, width=48):
        super().__init__()
        self.first = nn.Linear(n, width)
        self.skip = nn.Linear(n, width)
        self.deep = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, 1)
        self.direct = nn.Linear(n, 1, bias=False)

    def forward(self, x):
        """Return f(x), one value per row."""
        z = torch.relu(self.first(x))
        z = torch.relu(self.deep(z) + self.skip(x))
        return (self.out(z) + self.direct(x)).squeeze(-1)


# %%
# The data
# --------
# 600 power flows of PYPOWER (``case30``), each with its own loads between 30 and 150 % of the case. Losses are what
# the generators give less what the loads take, in MW.

grid = case30()
loads = np.flatnonzero(grid["bus"][:, 2])
quiet, rng = ppoption(VERBOSE=0, OUT_ALL=0), np.random.default_rng(0)
scale = rng.uniform(0.3, 1.5, (600, len(loads)))


def losses(scale):
    """Return the losses of the grid in MW, its loads multiplied by these numbers."""
    case = copy.deepcopy(grid)
    case["bus"][loads, 2:4] *= scale[:, None]
    solved, converged = runpf(case, quiet)
    assert converged
    return solved["gen"][:, 1].sum() - solved["bus"][:, 2].sum()


lost = np.array([losses(row) for row in scale])
x, y = torch.tensor(scale, dtype=torch.float32) - 0.9, torch.tensor(lost, dtype=torch.float32)
train, test = slice(0, 480), slice(480, 600)
centre, spread = y[train].mean(), y[train].std()
target = (y - centre) / spread
print(f"losses from {lost.min():.2f} to {lost.max():.2f} MW, mean {lost.mean():.2f}")

# %%
# Trained with clamps, and lifted
# -------------------------------
# For the lift, two lines are new: the tags, and the wrapper. The non-negative weights are then emitted from each batch
# by a small network. The loop is the same; ``finalise`` gives the module back with plain weights.


def fit(model, after_step=None, epochs=30):
    """Train with Adam and return the error of the batches, in MW, one mean per epoch."""
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    draw, course = torch.Generator().manual_seed(0), []
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(480, generator=draw).split(60):
            loss = (model(x[train][rows]) - target[train][rows]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if after_step:
                after_step()
            course.append(float(spread * loss.detach().sqrt()))
        schedule.step()
    return np.reshape(course, (epochs, -1)).mean(axis=1)


def clamp():
    """Put negative hidden weights to zero."""
    with torch.no_grad():
        for layer in (clamped.deep, clamped.out):
            layer.weight.clamp_(min=0)


torch.manual_seed(0)
clamped = Convex(len(loads))
clamp()
module = copy.deepcopy(clamped)
for layer in (module.deep, module.out):
    layer.weight._pos_required = True
lifted = HyperNetwork(input_size=len(loads), hidden_sizes=[64, 64], downstream_network=module)

courses = {"clamped": fit(clamped, clamp), "lifted": fit(lifted)}

# %%
# Imported
# --------
# The module is traced, its weights are read in float64, and it is evaluated at a few points to compare. A module that
# is not convex is refused, and the message names the layer.

plain = lifted.finalise(x[train]).eval()
with torch.no_grad():
    for name, trained in (("clamped", clamped), ("lifted", plain)):
        error = spread * (trained(x[test]) - target[test]).square().mean().sqrt()
        print(f"{name}: RMSE {error:.4f} MW on the test points")
net = FrozenNet.from_torch(plain, x[:1])
print(net)

broken = copy.deepcopy(plain)
with torch.no_grad():
    broken.deep.weight[3, 5] = -0.1
try:
    FrozenNet.from_torch(broken, x[:1])
except ModelError as error:
    print(f"refused: {error}")

# %%
# Proven
# ------
# For every x: the program is convex and is the network, entry by entry. At the test points: value, primal and dual
# objective agree, and the value lies between two numbers in real arithmetic. Clarabel is asked, too, at a few points;
# its answer is no part of the proof.

report = verify.equivalence(net, x[test].double().numpy(), solvers=("clarabel",), max_solver_points=5, proof=True)
print(report)

# %%
# What was learned
# ----------------
# Left: the error of the batches as training goes on; both ways learn equally fast here. Middle: predicted against the
# power flow. Right: all loads scaled together, with proven lower and upper ends of the network (they cannot be told
# apart) and a cut at the case. The training points have loads that vary independently, so none is near the ends of this
# line, and there the network is off. The proof is about the network, not about the grid.

path = np.linspace(0.3, 1.5, 60)
on_path = np.repeat(path[:, None] - 0.9, len(loads), axis=1)
proof = verify.certify(net, on_path, proof=True)
slope, offset = verify.certify(net, np.full((1, len(loads)), 0.1)).cut()
MW = lambda value: float(centre) + float(spread) * np.asarray(value)  # noqa: E731 - back to MW

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
for name, color in (("clamped", "tab:gray"), ("lifted", "tab:blue")):
    left.semilogy(courses[name], color=color, label=name)
left.set(xlabel="epoch", ylabel="RMSE (MW)", title="Training")
left.legend(frameon=False)
middle.scatter(lost[test], MW(net(x[test].double().numpy())), s=6, color="tab:blue")
ends = [lost[test].min(), lost[test].max()]
middle.plot(ends, ends, color="black", linewidth=0.8)
middle.set(xlabel="power flow (MW)", ylabel="network (MW)", title="Losses at 120 test points")
right.plot(path, [losses(np.full(len(loads), s)) for s in path], color="black", label="power flow")
right.fill_between(path, MW(proof.lo), MW(proof.hi), color="tab:blue")
right.plot(path, MW(proof.forward), color="tab:blue", label="network, proven")
right.plot(path, MW(on_path @ slope[0] + offset[0]), "--", color="tab:orange", label="its cut at 100 %")
right.set(xlabel="all loads, share of the case", ylabel="losses (MW)", title="Along a line")
right.legend(frameon=False)
plt.show()
