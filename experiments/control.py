"""Model predictive control of four coupled water tanks by two pumps, with a learned cost-to-go.

python -m experiments.control --preset tiny|paper [--lpcf] [--out control.csv] [--plot control.png]

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
import socicnn
from decision import surrogates
from experiments import plots
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
        decider: minimises Q(u; h) over the voltages u, prepared once for all runs.
    """

    def __init__(self, decider: decision.Decider) -> None:
        self._decider = decider
        self.certified = 0

    def __call__(self, h: Array) -> Array:
        """Return the voltages at one state."""
        answer = self._decider(h)
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


@dataclass(frozen=True, eq=False)
class Loop:
    """What a controller did.

    Args:
        name: of the controller.
        levels: in cm, shape `(runs, steps + 1, 4)`.
        costs: of each run, shape `(runs,)`.
        milliseconds: of processor time, per step.
        certified: how many decisions are; None for controllers that prove nothing.
    """

    name: str
    levels: Array
    costs: Array
    milliseconds: float
    certified: int | None

    @property
    def row(self) -> Row:
        """Its row in the table."""
        runs, steps = len(self.costs), self.levels.shape[1] - 1
        row: Row = {"controller": self.name, "version": socicnn.__version__, "cost": float(self.costs.mean())}
        row |= {"worst": float(self.costs.max()), "ms": self.milliseconds, "steps": runs * steps}
        return row if self.certified is None else row | {"certified": self.certified}


def closed_loop(name: str, make: Callable[[], Callable[[Array], Array]], starts: Array, steps: int) -> Loop:
    """Run a controller, made anew for each run, from some states."""
    levels, costs, seconds = np.zeros((len(starts), steps + 1, 4)), np.zeros(len(starts)), 0.0
    levels[:, 0] = starts
    controllers = [make() for _ in starts]
    for i, controller in enumerate(controllers):
        for t in range(steps):
            began = time.process_time()
            u = controller(levels[i, t])
            seconds += time.process_time() - began
            h = advanced(levels[i, t][None], u[None])
            levels[i, t + 1] = h[0]
            costs[i] += float(stage(h, u[None])[0])
    counts = [controller.certified for controller in controllers if isinstance(controller, LearnedController)]
    return Loop(name, levels, costs, 1e3 * seconds / (len(starts) * steps), sum(counts) if counts else None)


def loops(preset: Preset, *, lpcf: bool = False) -> list[Loop]:
    """Train, and run every controller from the same states."""
    data = sampled(preset)
    box = decision.Box(2, 0.0, HIGHEST)
    learned = decision.Decider(trained(data, preset.epochs), box)
    makers: dict[str, Callable[[], Callable[[Array], Array]]] = {
        "constant": lambda: lambda h: RESTING,
        "true": TrueController,
        "learned": lambda: LearnedController(learned),
    }
    if lpcf:
        from experiments.baselines.lpcf.fitting import fit_lpcf
        from experiments.baselines.lpcf.function import LPCFSettings

        fitted = fit_lpcf(data, LPCFSettings(widths=(16,), widths_psi=(16,), lbfgs_epochs=1000), seed=SEED)
        peer = decision.Decider(fitted, box)
        makers["lpcf"] = lambda: LearnedController(peer)
    starts = np.random.default_rng(SEED + 1).uniform(LOWER, UPPER, size=(preset.runs, 4))
    learned(starts[0])  # what is prepared or compiled once is no part of a step's time
    return [closed_loop(name, make, starts, preset.steps) for name, make in makers.items()]


def main(words: Sequence[str] | None = None) -> None:
    """Run the experiment and print its table."""
    parser = argparse.ArgumentParser(prog="experiments.control", description="Four tanks under a learned controller.")
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--lpcf", action="store_true", help="fit lpcf, too, in an environment of its own")
    parser.add_argument("--out", type=Path, default=None, help="write the table to this CSV file")
    parser.add_argument("--plot", type=Path, default=None, help="draw levels and costs into this file")
    given = parser.parse_args(words)
    done = loops(PRESETS[given.preset], lpcf=given.lpcf)
    rows = [loop.row for loop in done]
    if given.plot is not None:
        levels, costs = {loop.name: loop.levels for loop in done}, {loop.name: loop.costs for loop in done}
        plots.tanks(levels, costs, target=TARGET, step=STEP, path=given.plot)
    if given.out is not None:
        write_table(given.out, rows)
    print(markdown(rows))


if __name__ == "__main__":
    main()
