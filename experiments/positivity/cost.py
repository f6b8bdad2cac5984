"""What a training step costs by recipe, side by side, and what watching the shoulder adds.

python -m experiments.positivity.cost [--rounds N] [--hidden 128 128 128] [--batch 256]

Every round gives each recipe a few steps of the positivity experiment's training in turn, in this process and on one
thread, and counts processor time; the cost of a recipe is the median over the rounds of its ratio to direct softplus.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import nn

from experiments.engine.tables import Row, markdown, median_and_quartiles
from experiments.positivity.jobs import start
from socicnn.density import Density, DensityOptions, fit, fit_stacked, target
from socicnn.positivity.diagnostics import ShoulderStatistics

STEPS = 20  # of each recipe a round
# the lift as it comes, the encoder of its authors read through eight numbers, and that encoder without projection
RECIPES: dict[str, dict[str, Any]] = {
    "softplus": {"given": "softplus"},
    "projected": {"given": "projected"},
    "lift": {"given": "lift"},
    "lift, hidden 64, 64, 96, rank 8, all points": {
        "given": "lift", "hidden": [64, 64, 96], "rank": 8, "points": None,
    },
    "lift, hidden 64, 64, 96, no projection, all points": {
        "given": "lift", "hidden": [64, 64, 96], "rank": None, "points": None,
    },
}  # fmt: skip


def costs(rounds: int, hidden: Sequence[int], batch: int, seeds: int) -> dict[str, list[float]]:
    """Return the processor time of a step, in milliseconds, of every recipe and round.

    Args:
        rounds: number of rounds.
        hidden: widths of the energies.
        batch: points per step.
        seeds: 1 for one energy, more for as many that are trained at once.
    """
    law = target("gumbel")
    models = {
        name: [start(1, hidden, given, "principled", seed) for seed in range(seeds)] for name, given in RECIPES.items()
    }

    def train(found: list[Any], steps: int) -> None:
        settings: dict[str, Any] = {"steps": steps, "batch_size": batch, "note_every": steps}
        if seeds == 1:
            fit(found[0], law, **settings)
        else:
            fit_stacked(found, law, **settings)

    for found in models.values():
        train(found, 3)
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, found in models.items():
            started = time.process_time()
            train(found, STEPS)
            times[name].append(1e3 * (time.process_time() - started) / STEPS)
    return times


@final
class Timed:
    """A callback that counts the processor time it takes."""

    def __init__(self, callback: Callable[[int, nn.Module], None]) -> None:
        self.callback, self.seconds = callback, 0.0

    def __call__(self, step: int, model: Density) -> None:
        """Call the callback."""
        started = time.process_time()
        self.callback(step, model)
        self.seconds += time.process_time() - started


def watching(rounds: int, hidden: Sequence[int], batch: int, given: dict[str, Any]) -> float:
    """Return the share of the training time that shoulder statistics take at their default interval."""
    energy, watch = start(1, hidden, given, "principled", 0), Timed(ShoulderStatistics())
    started = time.process_time()
    fit(energy, target("gumbel"), steps=rounds * STEPS, batch_size=batch, options=DensityOptions(on_step=watch))
    return watch.seconds / (time.process_time() - started - watch.seconds)


def rendered(times: dict[str, list[float]], title: str) -> str:
    """Return the cost of every recipe in Markdown."""
    base = times["softplus"]
    table: list[Row] = [
        {
            "recipe": name,
            "ms per step": median_and_quartiles(found),
            "to softplus": median_and_quartiles([one / other for one, other in zip(found, base, strict=True)]),
            "medians' ratio": f"{statistics.median(found) / statistics.median(base):.3g}",
        }
        for name, found in times.items()
    ]
    return f"{title}: processor time, median [quartiles] over {len(base)} rounds of {STEPS} steps\n\n{markdown(table)}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.positivity.cost", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=40, help="rounds (default: %(default)s)")
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 128, 128], help="widths")
    parser.add_argument("--batch", type=int, default=256, help="points per step (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="energies at once (default: one)")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    for seeds in given.seeds:
        title = "one energy" if seeds == 1 else f"{seeds} energies at once"
        print(rendered(costs(given.rounds, given.hidden, given.batch, seeds), title) + "\n")
    for name in ("softplus", "lift"):
        share = watching(given.rounds, given.hidden, given.batch, RECIPES[name])
        print(f"shoulder statistics every 20 steps, {name}: {100 * share:.2f} % of the training time")


if __name__ == "__main__":
    main()
