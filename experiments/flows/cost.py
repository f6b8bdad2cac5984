"""What a training step of a flow in the plane costs: many flows stacked, and the same flows one by one.

python -m experiments.flows.cost [--flows 100] [--steps 20] [--rounds 3] [--recipe softplus]

The flows are those of the preset `paper`: three layers of 64, batches of 64, one thread. The two ways take turns, in
one process, and processor time is counted; the ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import torch

from experiments.engine.tables import Row, markdown
from experiments.flows.cells import PRESETS, begun
from socicnn.density import cloud, fit, fit_stacked


def costs(flows: int, steps: int, rounds: int, recipe: str, hidden: Sequence[int], batch: int) -> list[Row]:
    """Return the processor time per step and flow of both ways in every round, in milliseconds, and their ratio.

    Args:
        flows: number of flows.
        steps: steps of each flow per round.
        rounds: number of rounds.
        recipe: how weights are kept non-negative.
        hidden: widths of the flows.
        batch: points per step.
    """
    law = cloud("eight_gaussians")
    points = torch.zeros(1, 2)  # one block is not normalised by them; they tell the dimension
    models = [begun(points, hidden, {"given": recipe}, "principled", 1, seed) for seed in range(flows)]

    def stacked(count: int) -> None:
        fit_stacked(models, law, steps=count, batch_size=batch, note_every=count)

    def in_turn(count: int) -> None:
        for seed, model in enumerate(models):
            fit(model, law, seed=seed, steps=count, batch_size=batch, note_every=count)

    rows: list[Row] = []
    stacked(2)  # what is made once
    for _ in range(rounds):
        spent = []
        for way in (stacked, in_turn):
            started = time.process_time()
            way(steps)
            spent.append(1e3 * (time.process_time() - started) / (steps * flows))
        rows.append({"stacked, ms": spent[0], "one by one, ms": spent[1], "times as fast": spent[1] / spent[0]})
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.flows.cost", description="Cost of a step of flows, stacked and one by one."
    )
    for name, count in (("flows", 100), ("steps", 20), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--recipe", default="softplus")
    parser.add_argument("--hidden", type=int, nargs="+", default=list(PRESETS["paper"].hidden))
    asked = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = costs(asked.flows, asked.steps, asked.rounds, asked.recipe, asked.hidden, PRESETS["paper"].batch)
    print(markdown([{name: f"{value:.3g}" for name, value in row.items()} for row in rows]))
    print(f"\nmedian: {statistics.median(float(str(row['times as fast'])) for row in rows):.2f} times as fast")


if __name__ == "__main__":
    main()
