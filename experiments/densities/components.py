"""Independent components with log-concave laws: a yardstick, and a start of an energy.

s = B (x - m),   -log p_i(s) = slope s + sum_j omega_j log(1 + exp(k_j (s - t_j))) + log z,   omega >= 0

FastICA finds B and m. Knots t_j lie at quantiles, the sharpness k_j is two over their distance, and the likelihood is
concave in omega and the slope (Samworth and Yuan, "Independent component analysis via nonparametric maximum
likelihood", 2012, have all log-concave laws). The sum over i is convex in x: the logistic branch of a `SOCICNN`, to
which the layers of the network add.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.optimize import minimize

from socicnn import SOCICNN
from socicnn._arrays import Array
from socicnn.density import Energy, log_partition_bounds
from socicnn.nn._context import ParameterSource
from socicnn.positivity._base import Recipe

START = "components"  # the name of the start
KNOTS, FINEST = 20, 0.02  # per component beside the ends, and the least distance that sharpness follows
PER_GAP, OUTSIDE = 40, 200  # points of the integral between two knots, and beyond the last ones
POINTS = 20_000  # of the bracket of the integral over the whole line, by which laws are normalised in the end
LEAST = 1e-3  # of omega at the start of an energy: the gradient of softplus vanishes at zero
SHARE = 0.1  # of the network's read-out beside the components at the start


@dataclass(frozen=True, eq=False)
class ComponentLaw:
    """The law of one component.

    Args:
        knots: t.
        sharpness: k.
        omega: weights, >= 0.
        slope: of the linear term.
        log_z: log of the integral of the rest over the whole line.
    """

    knots: Array
    sharpness: Array
    omega: Array
    slope: float
    log_z: float

    def log_density(self, s: Array) -> Array:
        """Return log p(s), shape `(count,)`."""
        return np.asarray(-(_bent(s, self.knots, self.sharpness) @ self.omega) - self.slope * s - self.log_z)


@dataclass(frozen=True, eq=False)
class Components:
    """Independent components and their laws.

    Args:
        directions: B, a row per component.
        location: m.
        laws: of the components.
    """

    directions: Array
    location: Array
    laws: Sequence[ComponentLaw]

    def log_density(self, X: Array) -> Array:
        """Return log p of the rows of X."""
        S = (X - self.location) @ self.directions.T
        logs = [law.log_density(s) for law, s in zip(self.laws, S.T, strict=True)]
        return np.asarray(np.sum(logs, axis=0) + np.linalg.slogdet(self.directions)[1])


def fit_components(X: Array, seed: int) -> Components:
    """Return the components of the rows of X and their laws."""
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # any directions give a density, and a start
        found = FastICA(whiten="unit-variance", max_iter=1000, tol=1e-3, random_state=seed).fit(X)
    B, factor = found.components_, np.linalg.cholesky(np.cov(X.T))
    u, sizes, v = np.linalg.svd(B @ factor)  # of a rotation, but for FastICA's directions that have become equal
    if sizes[-1] < 0.5:
        B = np.linalg.solve(factor.T, (u @ v).T).T  # the nearest rotation
    return Components(B, found.mean_, [fit_law(s) for s in ((X - found.mean_) @ B.T).T])


def fit_law(s: Array) -> ComponentLaw:
    """Return the law of largest likelihood of points of unit variance, shape `(count,)`."""
    knots = np.unique(np.quantile(s, np.concatenate([[0.0], (np.arange(KNOTS) + 0.5) / KNOTS, [1.0]])))
    k = 2 / np.gradient(knots).clip(FINEST)
    wide = knots[-1] - knots[0]
    beyond = wide * np.linspace(0.0, 1.0, OUTSIDE) ** 3
    between = [np.linspace(a, b, PER_GAP) for a, b in pairwise(knots)]
    grid = np.unique(np.concatenate([*between, knots[0] - beyond, knots[-1] + beyond]))
    weights = np.gradient(grid)  # trapezoids, but for the two ends, where there is no mass
    at_grid, at_points = _bent(grid, knots, k), _bent(s, knots, k).mean(axis=0)

    def objective(p: Array) -> tuple[float, Array]:
        energy = at_grid @ p[:-1] + p[-1] * grid
        log_z = np.log(np.exp(energy.min() - energy) @ weights) - energy.min()
        mass = np.exp(-energy - log_z) * weights
        value = at_points @ p[:-1] + p[-1] * s.mean() + log_z
        return float(value), np.append(at_points - mass @ at_grid, s.mean() - mass @ grid)

    start = np.append(np.full(len(knots), 0.05 / len(knots)), 0.0)
    bounds = [(0.0, None)] * len(knots) + [(None, None)]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    omega, slope = found.x[:-1], float(found.x[-1])
    bends, weight = torch.from_numpy(np.stack([k, k * knots])), torch.from_numpy(omega)

    def energy(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.softplus(x * bends[0] - bends[1]) @ weight + slope * x[:, 0]

    lower, upper = log_partition_bounds(energy, knots[0] - wide, knots[-1] + wide, POINTS)
    return ComponentLaw(knots, k, omega, slope, 0.5 * (lower + upper))


def components_start(fitted: Components, hidden: Sequence[int], recipe: Recipe, draws: torch.Generator) -> Energy:
    """Return an energy that starts near to the components' law: a logistic branch beside softplus layers.

    Args:
        fitted: the components.
        hidden: widths of the layers, whose read-out starts at a tenth of the usual.
        recipe: how the weights are kept non-negative, omega's too.
        draws: of the start of the layers.
    """
    laws = fitted.laws
    matrix = np.concatenate([np.outer(law.sharpness, b) for law, b in zip(laws, fitted.directions, strict=True)])
    knots = np.concatenate([law.sharpness * law.knots for law in laws])
    omega = np.concatenate([law.omega for law in laws]).clip(LEAST)
    network = SOCICNN(
        len(fitted.location), hidden, (), (),
        activation="softplus", positivity=recipe, logistic=(len(omega),), generator=draws,
    )  # fmt: skip
    source = network.vectors
    assert isinstance(source, ParameterSource)
    full = network.smooth.maps[0].full
    assert full is not None
    slope = np.array([law.slope for law in laws]) @ fitted.directions
    with torch.no_grad():
        full.copy_(torch.from_numpy(matrix))
        source.free["s1"].copy_(torch.from_numpy(-knots - matrix @ fitted.location))
        source.free["v"].add_(torch.from_numpy(slope))
        readout = network.initialiser.weight((hidden[-1],), hidden[-1], network.units[-1].law, draws)
        for name, values in (("omega1", torch.from_numpy(omega)), ("w", SHARE * readout)):
            source.positive[name] = network.weight(values.to(full))
    return Energy(network)


def _bent(s: Array, knots: Array, k: Array) -> Array:
    """Return log(1 + exp(k (s - t))), shape `(count, knots)`."""
    return np.logaddexp(0.0, k * (s[:, None] - knots))
