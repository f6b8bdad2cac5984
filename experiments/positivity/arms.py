"""Experiment 4: every way to keep weights non-negative, on log-concave energies.

python -m experiments.positivity --preset tiny|paper [--jobs N] [--only target=... arm=... block=...] [--render]

An arm is a recipe, an initialiser and a step size. Every seed fits exp(-E) / Z to a target by maximum likelihood (log Z
by quadrature, Adam, gradient clipped to norm 1) and is judged by its total variation to the target and by the
likelihood of held-out points, in the plain network that training ends with. A cell of the sweep is an arm, a target
and a block of seeds, which are trained at once; the table has one row per seed and grows over several runs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.engine.options import Options, options
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row, read_table
from experiments.positivity.jobs import SEED_START, fit_block, start
from experiments.positivity.plots import plots
from experiments.positivity.tables import rendered
from socicnn._files import replacing
from socicnn.density import TARGETS
from socicnn.positivity import recipe as make_recipe

VERSION = 1  # goes up when the job changes
LARGE = {"hidden": [64, 64, 96], "rank": 8}  # the encoder of the lift's authors, read through 8 numbers
# "A lift for ICNN training", figure 21: where its direct softplus never learns the Gumbel law (total variation near 1)
WIDE = (512,) * 5


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Args:
        name: of the recipe with its settings, or of the control.
        recipe: short name of the recipe.
        settings: of the recipe.
        initialiser: law of the weights at the start.
        learning_rate: step size of Adam.
        widened: whether the network is as wide as it takes to have as many parameters as the lift trains.
        deeper: hidden layers more than the preset has.
        hidden: widths in the place of the preset's.
        stacked: whether the seeds of a block can be trained at once.
    """

    name: str
    recipe: str
    settings: dict[str, Any] = field(default_factory=dict)
    initialiser: str = "principled"
    learning_rate: float = 1e-3
    widened: bool = False
    deeper: int = 0
    hidden: tuple[int, ...] = ()
    stacked: bool = True


# in the order in which they are run: what is compared first, then the controls
ARMS = (
    Arm("lift", "lift"),
    Arm("softplus", "softplus"),
    Arm("softplus", "softplus", initialiser=SEED_START),
    Arm("softplus", "softplus", initialiser="folded"),
    Arm("projected", "projected"),
    Arm("softplus", "softplus", learning_rate=5e-3),
    Arm("lift-constant", "lift", {"conditioning": "constant"}),
    Arm("projected", "projected", initialiser=SEED_START),
    Arm("lift", "lift", initialiser=SEED_START),
    Arm("softplus", "softplus", initialiser=SEED_START, learning_rate=5e-3),
    Arm("lift-single", "lift", {"conditioning": "single"}),
    Arm("noisy", "noisy"),
    Arm("lift-moments", "lift", {"summary": "moments"}),
    Arm("admm-fixed", "admm", {"schedule": "fixed"}),
    Arm("admm-balancing", "admm", {"schedule": "balancing"}),
    Arm("admm-doubling", "admm", {"schedule": "doubling"}),
    Arm("exp", "exp"),
    Arm("square", "square"),
    Arm("relu", "relu"),
    Arm("projected", "projected", initialiser="folded"),
    Arm("softplus", "softplus", initialiser="zero_mean_clipped"),
    Arm("softplus", "softplus", learning_rate=2e-2),
    Arm("softplus", "softplus", initialiser="folded", learning_rate=5e-3),
    Arm("lift-deeper", "lift", deeper=1),
    Arm("softplus-deeper", "softplus", deeper=1),
    Arm("softplus-deeper", "softplus", initialiser=SEED_START, deeper=1),
    Arm("softplus-deeper", "softplus", initialiser="folded", deeper=1),
    Arm("projected-deeper", "projected", initialiser=SEED_START, deeper=1),
    Arm("softplus-wide", "softplus", initialiser=SEED_START, hidden=WIDE),
    Arm("softplus-wide", "softplus", initialiser="folded", hidden=WIDE),
    Arm("softplus-wide", "softplus", hidden=WIDE),
    Arm("lift-wide", "lift", initialiser=SEED_START, hidden=WIDE),
    Arm("lift-large", "lift", LARGE),
    Arm("lift-64-points", "lift", {"points": 64}),
    Arm("lift-independent", "lift", {"conditioning": "independent"}, stacked=False),
    Arm("softplus-widened", "softplus", widened=True),
)


@dataclass(frozen=True)
class Preset:
    """What the experiment covers.

    Args:
        targets: names of the laws.
        arms: names of the arms; all if omitted.
        hidden: widths of the energies.
        blocks: blocks of seeds.
        seeds: seeds per block.
        steps: steps of each fit.
        batch: points per step.
        points: held-out points, and points that a lift is finalised on.
        fresh: further blocks of the first two arms on the first target, whose ranking hangs on the spread.
    """

    targets: tuple[str, ...]
    arms: tuple[str, ...] | None
    hidden: tuple[int, ...]
    blocks: int
    seeds: int
    steps: int
    batch: int
    points: int
    fresh: int = 0


PRESETS = {
    "tiny": Preset(
        ("gumbel", "gamma_mode"), ("lift", "projected", "admm-balancing", "lift-independent", "softplus-widened"),
        (8, 8), blocks=2, seeds=2, steps=12, batch=32, points=200,
    ),
    "paper": Preset(tuple(TARGETS), None, (128, 128, 128), blocks=6, seeds=5, steps=3000, batch=256, points=10_000,
        fresh=6,
    ),
}  # fmt: skip


def cells(name: str, out: Path) -> list[Cell]:
    """Return one cell per block of seeds, target and arm: the first block of all comes first."""
    preset = PRESETS[name]
    # relative, because it is among the settings that rows are known by
    models = str(Path(os.path.relpath(out.with_suffix(".models"))))
    wide = widened(preset.hidden)
    return [
        Cell(
            {
                "target": target,
                "arm": arm.name,
                "initialiser": arm.initialiser,
                "learning_rate": arm.learning_rate,
                "block": block,
            },
            fit_block,
            {
                # every setting by name, so that rows of other defaults do not count
                "given": described(arm),
                "hidden": [*(arm.hidden or (wide if arm.widened else preset.hidden)), *preset.hidden[:1] * arm.deeper],
                "seeds": list(range(block * preset.seeds, (block + 1) * preset.seeds)),
                "steps": preset.steps,
                "batch": preset.batch,
                "points": preset.points,
                "stacked": arm.stacked,
                "models": models,
                "version": VERSION,
            },
        )
        for block in range(preset.blocks + preset.fresh)
        for target in preset.targets[: None if block < preset.blocks else 1]
        for arm in ARMS[: None if block < preset.blocks else 2]
        if preset.arms is None or arm.name in preset.arms
    ]


def described(arm: Arm) -> dict[str, Any]:
    """Return the description of an arm's recipe, with the key of version 0.1 for short names: kept rows know it so."""
    settings = make_recipe(arm.recipe, **arm.settings).config()
    if isinstance(readout := settings.get("readout"), dict):
        settings["readout"] = {"given" if key == "name" else key: value for key, value in readout.items()}
    return {"given": arm.recipe, **settings}


def widened(hidden: Sequence[int], features: int = 1) -> tuple[int, ...]:
    """Return the least equal widths at which direct softplus trains as many parameters as the lift at `hidden`."""

    def count(widths: Sequence[int], recipe: str) -> int:
        return sum(p.numel() for p in start(features, widths, {"given": recipe}, "principled", 0).parameters())

    wanted, low, high = count(hidden, "lift"), hidden[0], 2 * hidden[0]
    while count([high] * len(hidden), "softplus") < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if count([middle] * len(hidden), "softplus") >= wanted else (middle, high)
    return (high,) * len(hidden)


def show(given: Options, rows: Sequence[Row], found: Sequence[Cell]) -> None:
    """Print the tables, and write them and the plots beside the rows."""
    text = rendered(rows, [cell.key for cell in found])
    with replacing(given.out.with_suffix(".md")) as draft:
        draft.write_text(text, encoding="utf-8")
    print(text)
    for picture in plots(rows, given.out.parent, given.out.with_suffix(".models")):
        print(f"plot: {picture}")


def main(argv: Sequence[str] | None = None) -> None:
    def extend(parser: argparse.ArgumentParser) -> Any:
        parser.add_argument("--render", action="store_true", help="make tables and plots of the rows, and run nothing")

    given = options("positivity", "Compare the ways to keep weights non-negative.", argv, extend=extend)
    found = cells(given.preset, given.out)
    rows = read_table(given.out) if given.others.render else given.run(found).rows
    if rows and not given.status:
        show(given, rows, found)
