"""The six problems: data of PyEPO's generators (one of real days), a PyEPO model and the same set as ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np

from decision import Ellipsoid, Intersection, Polytope, Simplex
from experiments.predict_then_optimize import scheduling
from socicnn._arrays import Array

FEATURES, DEGREE, NOISE = 5, 4, 0.5  # of PyEPO's generators, as in its benchmarks
ITEMS, RESOURCES, CAPACITY = 16, 2, 20.0
ASSETS, RISK = 20, 2.25


@dataclass(frozen=True, eq=False)
class Problem:
    """A problem with its data.

    Args:
        X: features, shape `(rows, p)`, standardised.
        C: coefficients, shape `(rows, n)`, divided by their root mean square.
        model: the PyEPO model.
        feasible_set: the same set, without the demand of whole numbers.
        sign: 1 to minimise c'x, -1 to maximise it.
        integer: whether x is whole.
    """

    X: Array
    C: Array
    model: Any
    feasible_set: Any
    sign: float = 1.0
    integer: bool = False


def make(name: str, count: int, seed: int) -> Problem:
    """Return a problem by name with `count` rows; of the real days as many, drawn at random."""
    return PROBLEMS[name](count, seed)


def _scaled(X: Array, C: Array) -> tuple[Array, Array]:
    spread = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0), C / np.sqrt(np.square(C).mean())


def _path(side: int) -> Callable[[int, int], Problem]:
    def made(count: int, seed: int) -> Problem:
        from pyepo.data import shortestpath

        from experiments.predict_then_optimize.solvers import GridPath

        X, C = shortestpath.genData(count, FEATURES, (side, side), deg=DEGREE, noise_width=NOISE, seed=seed)
        model = GridPath(side)
        E = np.zeros((side * side, len(model.arcs)))
        for place, (a, b) in enumerate(model.arcs):
            E[a, place], E[b, place] = -1.0, 1.0
        f = np.zeros(side * side)
        f[0], f[-1] = -1.0, 1.0
        return Problem(*_scaled(X, C), model, Polytope(E=E[:-1], f=f[:-1], lower=0.0, upper=1.0))

    return made


def packings(W: Array, capacity: Array) -> Array:
    """Return all packings that take no further item, as rows of 0 and 1."""
    items, found = W.shape[1], []
    for size in range(items + 1):
        sets = np.array(list(combinations(range(items), size)), dtype=np.int64).reshape(comb(items, size), size)
        x = np.zeros((len(sets), items))
        np.put_along_axis(x, sets, 1.0, axis=1)
        used = x @ W.T
        fits = (used <= capacity + 1e-9).all(axis=1)
        more = (used[:, None, :] + W.T[None] <= capacity + 1e-9).all(axis=2) & (x == 0.0)
        found.append(x[fits & ~more.any(axis=1)])
        if not fits.any():
            break
    return np.concatenate(found)


def _knapsack(*, integer: bool) -> Callable[[int, int], Problem]:
    def made(count: int, seed: int) -> Problem:
        from pyepo.data import knapsack

        from experiments.predict_then_optimize.solvers import Knapsack, Listed

        W, X, C = knapsack.genData(count, FEATURES, ITEMS, dim=RESOURCES, deg=DEGREE, noise_width=NOISE, seed=seed)
        capacity = np.full(RESOURCES, CAPACITY)
        model = Listed(packings(W, capacity), maximise=True) if integer else Knapsack(W, capacity)
        return Problem(*_scaled(X, C), model, Polytope(A=W, b=capacity, lower=0.0, upper=1.0), -1.0, integer)

    return made


def _portfolio(count: int, seed: int) -> Problem:
    from pyepo.data import portfolio

    from experiments.predict_then_optimize.solvers import Portfolio

    S, X, C = portfolio.genData(count, FEATURES, ASSETS, deg=DEGREE, noise_level=1, seed=seed)
    factor, risk = np.linalg.cholesky(S).T, RISK * S.mean()
    ellipsoid = Ellipsoid(np.linalg.inv(factor), radius=np.sqrt(risk))
    return Problem(*_scaled(X, C), Portfolio(factor, risk), Intersection([Simplex(ASSETS), ellipsoid]), -1.0)


def _scheduling(count: int, seed: int) -> Problem:
    from experiments.predict_then_optimize.solvers import Starts

    X, load = scheduling.days()
    chosen = np.random.default_rng(seed).permutation(len(X))[:count]
    A, b, E, f = scheduling.rows()
    model = Starts(scheduling.SIZES, scheduling.feasible())
    C = scheduling.coefficients(load[chosen])
    return Problem(*_scaled(X[chosen], C), model, Polytope(A=A, b=b, E=E, f=f, lower=0.0), integer=True)


PROBLEMS: dict[str, Callable[[int, int], Problem]] = {
    "path 5x5": _path(5),
    "path 12x12": _path(12),
    "knapsack relaxed": _knapsack(integer=False),
    "knapsack integer": _knapsack(integer=True),
    "portfolio": _portfolio,
    "scheduling": _scheduling,
}
