"""Model predictive control of four coupled water tanks by two pumps, with a learned cost-to-go.

python -m experiments.control --preset tiny|paper [--lpcf] [--out control.csv]

The levels h of the tanks follow h' = M sqrt(2 g h) + B u (Johansson, "The quadruple-tank process", 2000, the parameters
of his minimum-phase setting), the pumps' voltages u lie in [0, 6]. A step of 10 s costs

    (h_1 - 12.4)^2 + (h_2 - 12.7)^2 + 0.1 ||u - (3, 3)||^2

The true controller solves the nonlinear problem over 12 steps at every state (L-BFGS-B with the adjoint). The learned
ones know Q(u; h), the least cost of 12 steps that begin with u, from sampled states and voltages: convex in u for each
h, so that a step of control is one certified decision over a box. All run in closed loop from the same states.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize

import decision
from decision import surrogates
from experiments.engine.tables import Row, markdown, write_table
from socicnn._arrays import Array

GRAVITY = 981.0  # cm / s^2; areas below in cm^2, pump gains in cm^3 / (V s)
AREA = np.array([28.0, 32.0, 28.0, 32.0])
OUTLET = np.array([0.071, 0.057, 0.071, 0.057])
SHARE, GAIN = np.array([0.70, 0.60]), np.array([3.33, 3.35])  # of each pump's flow into the lower tank
M = -np.diag(OUTLET / AREA)
M[0, 2], M[1, 3] = OUTLET[2] / AREA[0], OUTLET[3] / AREA[1]
B = np.zeros((4, 2))
B[0, 0], B[1, 1] = SHARE * GAIN / AREA[:2]
B[2, 1], B[3, 0] = ((1 - SHARE) * GAIN)[::-1] / AREA[2:]
TARGET, RESTING, EFFORT = np.array([12.4, 12.7]), np.array([3.0, 3.0]), 0.1
LOWER, UPPER = np.array([5.0, 5.0, 0.5, 0.5]), np.array([20.0, 20.0, 5.0, 5.0])  # of sampled levels
HIGHEST = 6.0  # volts
STEP, PARTS, N = 10.0, 2, 12  # seconds of a step, Euler parts of it, steps of the horizon
SEED = 0


@dataclass(frozen=True)
class Preset:
    """How much of everything: sampled states, voltages of each, iterations of a label, epochs, runs and their steps."""

    states: int
    voltages: int
    iterations: int
    epochs: int
    runs: int
    steps: int


PRESETS = {"tiny": Preset(40, 6, 10, 3, 2, 3), "paper": Preset(1500, 12, 120, 150, 6, 25)}


def advanced(h: Array, u: Array) -> Array:
    """Return the levels after one step, for rows of levels and voltages."""
    for _ in range(PARTS):
        h = h + STEP / PARTS * (np.sqrt(2 * GRAVITY * np.maximum(h, 0.01)) @ M.T + u @ B.T)
    return h


def stage(h: Array, u: Array) -> Array:
    """Return the cost of a step that leads to levels h."""
    return ((h[..., :2] - TARGET) ** 2).sum(axis=-1) + EFFORT * ((u - RESTING) ** 2).sum(axis=-1)


def to_go(h: Array, u: Array) -> tuple[Array, Array]:
    """Return the cost of N steps and its gradient in the voltages, by the adjoint.

    Args:
        h: levels, shape `(rows, 4)`.
        u: voltages, shape `(rows, N, 2)`.
    """
    dt, passed, value = STEP / PARTS, [], np.zeros(len(h))
    for t in range(u.shape[1]):
        for _ in range(PARTS):
            passed.append(h)
            h = h + dt * (np.sqrt(2 * GRAVITY * np.maximum(h, 0.01)) @ M.T + u[:, t] @ B.T)
        passed.append(h)
        value = value + stage(h, u[:, t])
    gradient, adjoint = 2 * EFFORT * (u - RESTING), np.zeros_like(h)
    for t in reversed(range(u.shape[1])):
        adjoint = adjoint.copy()
        adjoint[:, :2] += 2 * (passed.pop()[:, :2] - TARGET)
        for _ in range(PARTS):
            gradient[:, t] += dt * adjoint @ B
            before = passed.pop()
            rate = np.where(before > 0.01, np.sqrt(GRAVITY / 2 / np.maximum(before, 0.01)), 0.0)
            adjoint = adjoint + dt * rate * (adjoint @ M)
    return value, gradient


def labelled(h: Array, first: Array, iterations: int) -> Array:
    """Return Q(u; h), the least cost of N steps that begin with u, by Adam on the others; rows of h and of u."""
    rest = np.broadcast_to(RESTING, (len(h), N - 1, 2)).copy()
    mean, square, least = np.zeros_like(rest), np.zeros_like(rest), np.full(len(h), np.inf)
    for k in range(1, iterations + 1):
        value, gradient = to_go(h, np.concatenate([first[:, None], rest], axis=1))
        least = np.minimum(least, value)
        mean = 0.9 * mean + 0.1 * gradient[:, 1:]
        square = 0.99 * square + 0.01 * gradient[:, 1:] ** 2
        rate = 0.3 * (1 - (k - 1) / iterations)
        move = rate * (mean / (1 - 0.9**k)) / (np.sqrt(square / (1 - 0.99**k)) + 1e-9)
        rest = np.clip(rest - move, 0.0, HIGHEST)
    return np.minimum(least, to_go(h, np.concatenate([first[:, None], rest], axis=1))[0])


class TrueController:
    """The nonlinear problem over N steps, solved at every state from the plan before."""

    def __init__(self) -> None:
        self._plan = np.broadcast_to(RESTING, (N, 2)).copy()

    def __call__(self, h: Array) -> Array:
        """Return the voltages at one state."""

        def value(flat: Array) -> tuple[float, Array]:
            cost, gradient = to_go(h[None], flat.reshape(1, N, 2))
            return float(cost[0]), gradient.reshape(-1)

        start = np.concatenate([self._plan[1:], self._plan[-1:]]).reshape(-1)
        solved = minimize(value, start, jac=True, method="L-BFGS-B", bounds=[(0.0, HIGHEST)] * (2 * N))
        self._plan = solved.x.reshape(N, 2)
        return self._plan[0]


class LearnedController:
    """One certified decision per step.

    Args:
        model: Q(u; h), convex in u.
    """

    def __init__(self, model: Any) -> None:
        self._model, self._box = model, decision.Box(2, 0.0, HIGHEST)
        self.certified = 0

    def __call__(self, h: Array) -> Array:
        """Return the voltages at one state."""
        answer = decision.decide(self._model, self._box, h)
        self.certified += int(answer.certified.all())
        return answer.x[0].numpy()


def sampled(preset: Preset) -> decision.Data:
    """Return states, voltages and their costs-to-go."""
    rng = np.random.default_rng(SEED)
    h = rng.uniform(LOWER, UPPER, size=(preset.states, 4))
    u = rng.uniform(0.0, HIGHEST, size=(preset.states, preset.voltages, 2))
    y = labelled(np.repeat(h, preset.voltages, axis=0), u.reshape(-1, 2), preset.iterations)
    return decision.Data(torch.tensor(u), torch.tensor(h), torch.tensor(y.reshape(u.shape[:2])))


def trained(data: decision.Data, epochs: int) -> Any:
    """Return a network of the cost-to-go."""
    model = surrogates.make("soc-partial", 2, 4, generator=torch.Generator().manual_seed(SEED))
    decision.fit(model, data, epochs=epochs, batch_size=64, seed=SEED, progress=False)
    return model.double()


def closed_loop(name: str, make: Callable[[], Callable[[Array], Array]], starts: Array, steps: int) -> Row:
    """Return the mean cost of a run, milliseconds of processor time per step, and certified decisions."""
    total, seconds, certified = 0.0, 0.0, 0
    for start in starts:
        h, controller = start[None], make()
        for _ in range(steps):
            began = time.process_time()
            u = controller(h[0])
            seconds += time.process_time() - began
            h = advanced(h, u[None])
            total += float(stage(h, u[None])[0])
        certified += getattr(controller, "certified", 0)
    count = len(starts) * steps
    row: Row = {"controller": name, "cost": total / len(starts), "ms": 1e3 * seconds / count, "steps": count}
    return row | ({"certified": certified} if certified else {})


def run(preset: Preset, *, lpcf: bool = False) -> list[Row]:
    """Return one row per controller."""
    data = sampled(preset)
    model = trained(data, preset.epochs)
    makers: dict[str, Callable[[], Callable[[Array], Array]]] = {
        "constant": lambda: lambda h: RESTING,
        "true": TrueController,
        "learned": lambda: LearnedController(model),
    }
    if lpcf:
        from decision.baselines._lpcf.fitting import fit_lpcf
        from decision.baselines._lpcf.function import LPCFSettings

        peer = fit_lpcf(data, LPCFSettings(widths=(16,), widths_psi=(16,), lbfgs_epochs=1000), seed=SEED)
        makers["lpcf"] = lambda: LearnedController(peer)
    starts = np.random.default_rng(SEED + 1).uniform(LOWER, UPPER, size=(preset.runs, 4))
    return [closed_loop(name, make, starts, preset.steps) for name, make in makers.items()]


def main(words: Sequence[str] | None = None) -> None:
    """Run the experiment and print its table."""
    parser = argparse.ArgumentParser(prog="experiments.control", description="Four tanks under a learned controller.")
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--lpcf", action="store_true", help="fit lpcf, too, in an environment of its own")
    parser.add_argument("--out", type=Path, default=None, help="write the table to this CSV file")
    given = parser.parse_args(words)
    rows = run(PRESETS[given.preset], lpcf=given.lpcf)
    if given.out is not None:
        write_table(given.out, rows)
    print(markdown(rows))


if __name__ == "__main__":
    main()
