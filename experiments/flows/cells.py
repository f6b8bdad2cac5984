"""Convex potential flows: recipes and starts over many seeds, in one block and in several; held-out nats.

python -m experiments.flows --preset tiny|short|paper [--only law=eight_gaussians first_seed=0] [--status] [--render]

A cell trains some seeds of a law, recipe, start, step size and number of blocks at once, so that a table grows by
seeds; a row is a seed, which draws weights and batches (of a table also its noise and split). Held-out points of a law
in the plane are the same for all.
One block is a `PotentialFlow`, as in "A lift for ICNN training"; several are a `ComposedFlow`. Lifts are finalised on
training points; their likelihood when they are emitted from the held-out points themselves stands beside it. Tables
are read from the folder that SOCICNN_DATA names.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from experiments.densities.data import TABLES, load
from experiments.engine.options import options
from experiments.engine.pages import Page
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row, read_table
from experiments.flows.plots import seeds as plot_seeds
from experiments.flows.tables import entropy_of_eight_gaussians, summary
from experiments.positivity.jobs import BATCHES, HELD_OUT, SEED_START, TRAINING, WEIGHTS, as_linear_layers, generator
from socicnn.density import CLOUDS, ComposedFlow, PotentialFlow, cloud, fit_stacked, negative_log_likelihood
from socicnn.positivity import recipe as make_recipe

VERSION = 1  # goes up when the job changes
DRAWN = 64  # points whose inverse is checked
PAGE = Page("flows.md", "python -m experiments.flows --preset paper --render")
RECIPES = ("lift", "softplus", "projected")


@dataclass(frozen=True)
class Preset:
    """What is run.

    Args:
        arms: law, recipe, start, step size, number of blocks.
        hidden: widths of each block.
        seeds: number of seeds in the plane.
        together: how many of these a cell trains at once; of a table one.
        steps: steps of each training in the plane.
        table_steps: steps of each training on a table.
        batch: points per step.
        points: held-out points of a law, and points that its lifts are finalised on.
    """

    arms: tuple[tuple[str, str, str, float, int], ...]
    hidden: tuple[int, ...]
    seeds: int
    together: int
    steps: int
    table_steps: int
    batch: int
    points: int


STARTS = (SEED_START, "principled")
PLANE = tuple((law, recipe, start, 1e-3, 1) for start in STARTS for law in CLOUDS for recipe in RECIPES)
FASTER = tuple((law, recipe, start, 5e-3, 1) for start in STARTS for law in CLOUDS for recipe in RECIPES)
DEEPER = tuple((law, recipe, "principled", 5e-3, 3) for law in CLOUDS for recipe in ("lift", "softplus"))
WIDER = tuple((law, recipe, "principled", 5e-3, 5) for law in ("magic", "cardiotocography") for recipe in RECIPES)
PRESETS = {
    "tiny": Preset(
        (("eight_gaussians", "lift", SEED_START, 1e-2, 1), ("two_spirals", "softplus", "principled", 1e-2, 2),
         ("product", "lift", "principled", 1e-2, 2)),
        (6, 6), seeds=2, together=2, steps=6, table_steps=6, batch=16, points=100,
    ),
    "short": Preset(
        (*PLANE, *FASTER, *DEEPER, *WIDER), (64, 64, 64),
        seeds=5, together=5, steps=2000, table_steps=300, batch=64, points=1024,
    ),
    "paper": Preset(
        (*PLANE, *FASTER, *DEEPER, *WIDER), (64, 64, 64),
        seeds=100, together=10, steps=6000, table_steps=1000, batch=64, points=1024,
    ),
}  # fmt: skip
TABLE_SEEDS = 3


def fit_flows(
    law: str,
    recipe: str,
    start: str,
    learning_rate: float,
    blocks: int,
    first_seed: int,
    *,
    settings: Mapping[str, Any],
    version: int,
) -> list[Row]:
    """Fit the flows of some seeds at once, and return one row per seed.

    Args:
        law: name of a law in the plane, or of a table.
        recipe: how weights are kept non-negative.
        start: initialiser of the networks, or `seed`, that of the lift's authors.
        learning_rate: step size of Adam.
        blocks: number of blocks.
        first_seed: the least of the seeds.
        settings: hidden, seeds (their number), steps, batch, points, given (the recipe's settings).
        version: of this function.
    """
    seeds = range(first_seed, first_seed + settings["seeds"])
    train, test = zip(*[_points(law, seed, settings["points"]) for seed in seeds], strict=True)
    flows = [
        begun(train[place], settings["hidden"], settings["given"], start, blocks, seed)
        for place, seed in enumerate(seeds)
    ]
    begin = time.process_time()
    fit_stacked(
        flows,
        list(train) if law in TABLES else cloud(law),  # type: ignore[arg-type]  # checked by the registry
        seeds=[generator(seed, BATCHES) for seed in seeds],
        steps=settings["steps"],
        batch_size=settings["batch"],
        learning_rate=learning_rate,
        note_every=settings["steps"],
    )
    spent = (time.process_time() - begin) / len(seeds)
    return [
        {"seed": seed, **judged(flow, ours, held_out), "steps": settings["steps"], "seconds": spent}
        for seed, flow, ours, held_out in zip(seeds, flows, train, test, strict=True)
    ]


def begun(
    points: Tensor, hidden: Sequence[int], given: Mapping[str, Any], start: str, blocks: int, seed: int
) -> PotentialFlow | ComposedFlow:
    """Return the flow of one seed at its start; every arm of a seed draws from the same generator."""
    draws, named = generator(seed, WEIGHTS), dict(given)
    positivity = make_recipe(named.pop("given"), **named)
    law = "folded" if start == SEED_START else start
    made = [
        PotentialFlow.dense(points.shape[1], hidden, positivity=positivity, initialiser=law, generator=draws)
        for _ in range(blocks)
    ]
    for flow in made:
        if start == SEED_START:
            as_linear_layers(flow.network, draws)  # type: ignore[arg-type]  # `dense` makes an ICNN
    return made[0] if blocks == 1 else ComposedFlow(made).normalise(points)


@torch.no_grad()
def judged(flow: PotentialFlow | ComposedFlow, train: Tensor, test: Tensor) -> Row:
    """Return the held-out nats, those of a lift emitted from the held-out points, and the residual of the inverse."""
    plain = flow.finalise(train).double()
    found = negative_log_likelihood(plain, None, test)
    row: Row = {"nll": float(found), "sampling_error": found.sampling_error}
    if flow.needs_data:
        row["nll_emitted_from_test"] = float(negative_log_likelihood(flow.finalise(test).double(), None, test))
    z = torch.randn((DRAWN, plain.features), generator=generator(0, HELD_OUT), dtype=torch.float64)
    off = torch.linalg.vector_norm(plain.transport(plain.inverse(z)) - z, dim=1)
    row["residual"] = float((off / (1 + torch.linalg.vector_norm(z, dim=1))).max())
    return row


def _points(law: str, seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Return training points of a seed, and held-out points."""
    if law in TABLES:
        split = load(law, seed)
        return torch.tensor(split.train, dtype=torch.float32), torch.tensor(split.test)
    drawn = cloud(law)  # type: ignore[arg-type]  # checked by the registry
    return drawn.sample(count, generator(seed, TRAINING)), drawn.sample(count, generator(0, HELD_OUT), torch.float64)


def cells(name: str) -> list[Cell]:
    """Return the cells: all arms with their first seeds, then with the next ones."""
    preset = PRESETS[name]
    return [
        Cell(
            {
                "law": law,
                "recipe": recipe,
                "start": start,
                "learning_rate": rate,
                "blocks": blocks,
                "first_seed": first,
            },
            fit_flows,
            {
                "settings": {
                    "hidden": list(preset.hidden),
                    "seeds": together,
                    "steps": preset.table_steps if law in TABLES else preset.steps,
                    "batch": preset.batch,
                    "points": preset.points,
                    "given": {"given": recipe, **make_recipe(recipe).config()},
                },
                "version": VERSION,
            },
        )
        for first in range(preset.seeds)
        for law, recipe, start, rate, blocks in preset.arms
        for together, last in [(1, TABLE_SEEDS) if law in TABLES else (preset.together, preset.seeds)]
        if first < last and first % together == 0
    ]


def main(argv: Sequence[str] | None = None) -> None:
    def extend(parser: Any) -> None:
        parser.add_argument(
            "--render", action="store_true", help="put tables of the rows into the page, draw the figure, run nothing"
        )

    given = options("flows", "Fit convex potential flows.", argv, presets=tuple(PRESETS), extend=extend)
    rows = read_table(given.out) if given.others.render else given.run(cells(given.preset)).rows
    if rows and not given.status:
        text = summary(rows)
        print(text)
        if given.others.render:
            PAGE.write(text)
            least = {"eight_gaussians": entropy_of_eight_gaussians(), "two_spirals": None}
            laws = {law: least[law] for law in CLOUDS if any(row["law"] == law for row in rows)}
            print(plot_seeds(rows, laws, given.out.with_name(f"{given.out.stem}_seeds.png")))
