"""How the lift is said to work, measured on trainings: figures 4, 6, 7 and 8 of "A lift for ICNN training".

python -m experiments.mechanism --preset tiny|paper [--jobs N] [--only law=... arm=...] [--render]

Five seeds of each arm are trained at once on one-dimensional laws, as in the positivity experiment, from its principled
start and from that of the lift's authors (`seed`). Watched are the trailing cross-covariance and the shoulder
(`watching`); lifts are probed on many fresh batches at a fixed iterate (`probing`); the bias-channel equation is
compared with its exact law (`escape`). One row per seed and noted step, probe, or noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.engine.options import options
from experiments.engine.sweep import Cell
from experiments.engine.tables import read_table
from experiments.mechanism.escape import escapes
from experiments.mechanism.plots import plots
from experiments.mechanism.tables import rendered
from experiments.mechanism.watching import watched
from socicnn.positivity import recipe as make_recipe

VERSION = 1  # goes up when a job changes
NOISES = [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
# arm -> recipe, its settings, step size of Adam; the last two are controls for what the fluctuation does
ARMS: dict[str, tuple[str, dict[str, Any], float]] = {
    "lift": ("lift", {}, 1e-3),
    "softplus": ("softplus", {}, 1e-3),
    "one point": ("lift", {"conditioning": "single"}, 1e-3),
    "no slack": ("lift", {"slack": False}, 1e-3),
    "no body": ("biased", {}, 1e-3),
    "constant code": ("lift", {"conditioning": "constant"}, 1e-3),
    "five times the step": ("softplus", {}, 5e-3),
}


@dataclass(frozen=True)
class Preset:
    """What the experiment covers.

    Args:
        laws: names of the targets.
        starts: laws of the weights at the start.
        hidden: widths of the energies.
        seeds: number of seeds.
        steps: steps of each training.
        batch: points per step.
        probes: batches of a probe.
        escape: steps of the equation.
    """

    laws: tuple[str, ...]
    starts: tuple[str, ...]
    hidden: tuple[int, ...]
    seeds: int
    steps: int
    batch: int
    probes: int
    escape: int


PRESETS = {
    "tiny": Preset(("gumbel",), ("seed",), (6, 6), seeds=2, steps=24, batch=16, probes=16, escape=400),
    "paper": Preset(
        ("gumbel", "beta"), ("seed", "principled"), (64, 64, 64),
        seeds=5, steps=3000, batch=256, probes=256, escape=20_000,
    ),
}  # fmt: skip


def cells(name: str) -> list[Cell]:
    """Return one cell for the equation, and one per arm, law and start: lift and softplus first."""
    preset = PRESETS[name]
    shared = {"steps": preset.steps, "batch": preset.batch, "probes": preset.probes, "version": VERSION}
    equation = Cell(
        {"law": "none", "start_from": "none", "arm": "equation"},
        escapes,
        {"noises": NOISES, "seeds": preset.seeds, "steps": preset.escape, "version": VERSION},
    )
    return [equation] + [
        Cell(
            {"law": law, "start_from": start, "arm": arm},
            watched,
            {
                # every setting by name, so that rows of other defaults do not count
                "recipe": {"given": recipe, **make_recipe(recipe, **given).config()},
                "learning_rate": rate,
                "hidden": list(preset.hidden),
                "seeds": list(range(preset.seeds)),
                **shared,
            },
        )
        for arms in (tuple(ARMS)[:2], tuple(ARMS)[2:3], tuple(ARMS)[3:])
        for law in preset.laws
        for start in preset.starts
        for arm in arms
        for recipe, given, rate in (ARMS[arm],)
    ]


def main(argv: Sequence[str] | None = None) -> None:
    def extend(parser: argparse.ArgumentParser) -> Any:
        parser.add_argument(
            "--render", action="store_true", help="make tables and figures of the rows, and run nothing"
        )

    given = options("mechanism", "Measure how the lift is said to work.", argv, extend=extend)
    rows = read_table(given.out) if given.others.render else given.run(cells(given.preset)).rows
    if rows and not given.status:
        print(rendered(rows))
        print(*plots(rows, given.out), sep="\n")
