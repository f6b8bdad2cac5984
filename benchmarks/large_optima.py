"""Optima of large sparse programs, proven: the time beside the solve, and the width, against exact optima.

    python -m benchmarks.large_optima --rows 10000 100000

Three families of programs that are coupled along time, each built from a point and multipliers that are optimal in
exact arithmetic, so that the optimum is a fraction that is known: `storage` is linear, `paths` has norms in the cost
and second-order cones, `fit` has a quadratic cost. Each time is that of a problem that CVXPY has not seen before;
solves and proofs alternate, and medians of the times and of their ratio are told.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def storage(T: int, seed: int = 0) -> tuple[Any, Fraction]:
    """Return a store with three sources over T steps, about 9 T rows, and its optimum."""
    import cvxpy as cp

    rng = np.random.default_rng(seed)
    level, price_level = _between(rng, T + 1, 48.0, 600.0)
    flow, price_flow = _between(rng, 3 * T, 0.0, 120.0)
    flow, price_flow = flow.reshape(T, 3), price_flow.reshape(T, 3)
    demand = level[:-1] + flow.sum(axis=1) - level[1:]
    worth = rng.integers(-64, 65, size=T) / 8.0  # multipliers of the balance
    at, q = cp.Variable(T + 1), cp.Variable((T, 3))
    balance = at[1:] == at[:-1] + cp.sum(q, axis=1) - demand
    cost_level = price_level + np.append(worth, 0.0) - np.append(0.0, worth)
    cost_flow = price_flow + worth[:, None]
    rows = [balance, at >= 48, at <= 600, q >= 0, q <= 120]
    value = _dot(cost_level, level) + _dot(cost_flow.reshape(-1), flow.reshape(-1))
    return cp.Problem(cp.Minimize(cost_level @ at + cp.sum(cp.multiply(cost_flow, q))), rows), value


def paths(T: int, seed: int = 0) -> tuple[Any, Fraction]:
    """Return a path of T steps that follows targets with bounded steps, about 8 T rows, and its optimum."""
    import cvxpy as cp

    rng = np.random.default_rng(seed)
    turns = np.array([[3.0, 4.0], [4.0, 3.0], [-3.0, 4.0], [4.0, -3.0], [-4.0, -3.0], [-3.0, -4.0]])
    full = rng.random(T) < 0.4  # steps of full length
    step = np.where(full[:, None], turns[rng.integers(0, 6, T)], rng.integers(-2, 3, size=(T, 2)))
    place = np.vstack([np.zeros(2), np.cumsum(step, axis=0)])
    away = turns[rng.integers(0, 6, T + 1)]
    target = place - away * rng.integers(1, 9, size=(T + 1, 1)) / 4.0
    weight = np.where(full, rng.integers(1, 9, size=T) / 8.0, 0.0)  # multipliers of the bounds of the steps
    worth = rng.integers(-32, 33, size=(T, 2)) / 8.0
    p, v = cp.Variable((T + 1, 2)), cp.Variable((T, 2))
    cost_step = worth - weight[:, None] * step
    nothing = np.zeros((1, 2))
    cost_place = np.vstack([worth, nothing]) - np.vstack([nothing, worth]) - away
    cost_place[0] = 0.0  # the first place is given
    objective = 5.0 * cp.sum(cp.norm(p - target, axis=1)) + cp.sum(cp.multiply(cost_place, p))
    rows = [p[0] == 0, p[1:] == p[:-1] + v, cp.norm(v, axis=1) <= 5.0]
    value = _dot(cost_place.reshape(-1), place.reshape(-1)) + _dot(cost_step.reshape(-1), step.reshape(-1))
    value += 5 * _dot(np.abs(place - target).max(axis=1), np.full(T + 1, 1.25))
    return cp.Problem(cp.Minimize(objective + cp.sum(cp.multiply(cost_step, v))), rows), value


def fit(T: int, seed: int = 0) -> tuple[Any, Fraction]:
    """Return a least-squares fit of T values whose steps are at most 1, about 3 T rows, and its optimum."""
    import cvxpy as cp

    rng = np.random.default_rng(seed)
    step, curve = rng.choice([-1.0, -0.5, 0.25, 1.0], size=T - 1), np.zeros(T)
    for t in range(T - 1):  # a walk that stays near 0
        step[t] = -step[t] if abs(curve[t] + step[t]) > 16.0 else step[t]
        curve[t + 1] = curve[t] + step[t]
    push = np.where(np.abs(step) == 1.0, step * rng.integers(1, 17, size=T - 1) / 8.0, 0.0)  # multipliers
    pull = np.append(0.0, push) - np.append(push, 0.0)
    x = cp.Variable(T)
    data = curve + pull / 2.0  # 2 (x - data) + pull = 0
    value = _dot(pull / 2.0, pull / 2.0)
    return cp.Problem(cp.Minimize(cp.sum_squares(x - data)), [cp.diff(x) <= 1, cp.diff(x) >= -1]), value


def _between(rng: np.random.Generator, count: int, lower: float, upper: float) -> tuple[Array, Array]:
    """Return values within bounds, and costs for which they are optimal: at a lower bound >= 0, at an upper <= 0."""
    kind = rng.integers(0, 3, size=count)
    price = rng.integers(1, 65, size=count) / 8.0
    inside = rng.integers(int(lower) + 1, int(upper), size=count).astype(np.float64)
    return np.choose(kind, [np.full(count, lower), np.full(count, upper), inside]), np.choose(
        kind, [price, -price, np.zeros(count)]
    )


def _dot(a: Array, b: Array) -> Fraction:
    """Return a'b, exactly."""
    pairs = zip(a.tolist(), b.tolist(), strict=True)
    return sum((Fraction(first) * Fraction(second) for first, second in pairs), Fraction(0))


FAMILIES: dict[str, tuple[Callable[[int], tuple[Any, Fraction]], int]] = {
    "storage": (storage, 9),
    "paths": (paths, 9),
    "fit": (fit, 3),
}


def measured(name: str, rows: int, repeats: int = 1) -> dict[str, Any]:
    """Return sizes, times, width and whether the bracket holds the optimum, for about this number of rows."""
    import verify

    build, share = FAMILIES[name]
    times = np.empty((repeats, 2))
    for pair in times:
        problem, value = build(rows // share)
        began = time.perf_counter()
        problem.solve(solver="CLARABEL")
        pair[0] = time.perf_counter() - began
        problem, value = build(rows // share)
        began = time.perf_counter()
        result = verify.optimum(problem)
        pair[1] = time.perf_counter() - began
    return {
        "name": name,
        "rows": result.program.conic.A.shape[0],
        "solve": float(np.median(times[:, 0])),
        "seconds": float(np.median(times[:, 1])),
        "ratio": float(np.median(times[:, 1] / times[:, 0])),
        "width": result.relative_gap,
        "right": Fraction(result.lo) <= value <= Fraction(result.hi) if result.ok else True,
        "notes": result.notes,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run and print; the status is 1 if an end is on the wrong side."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_optima")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    print("| family | rows | solve, seconds | proof, seconds | proof / solve | width / terms |")
    print("|---|---:|---:|---:|---:|---:|")
    wrong = 0
    measured("paths", 100)  # what is imported at the first call is no part of the times
    for rows in options.rows:
        for name in FAMILIES:
            row = measured(name, rows, options.repeats)
            wrong += not row["right"]
            times = f"{row['solve']:.2f} | {row['seconds']:.2f} | {row['ratio']:.1f}"
            print(f"| {name} | {row['rows']:,} | {times} | {row['width']:.1e} |", *row["notes"], flush=True)
    print(f"{wrong} with an end on the wrong side")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
