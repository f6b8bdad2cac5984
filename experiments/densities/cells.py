"""Energies on tables of 6 to 20 columns: recipes and starts beside other density estimators, in held-out nats.

python -m experiments.densities --preset tiny|short|paper [--only data=magic seed=0] [--status] [--render]

A row is a table, a model, its start and step size, and a seed, which draws noise, split, weights and batches. The
tables are read from the folder that SOCICNN_DATA names; the flows come with `pip install 'socicnn[flows]'`. Rows of
`paper` cost about a minute each on one core; the cells of seed 0 come first. `short` is one seed of small energies. A
cell that lacks its package or data is listed as failed. The page of results has the tables of `paper` and, as far as
it is kept in experiments/results/densities_short.csv, of `short`; `--render` puts them there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from experiments.densities.components import START
from experiments.densities.data import load
from experiments.densities.energies import Settings, fit_energy
from experiments.densities.tables import MEANING, sections, summary
from experiments.densities.yardsticks import LOG_CONCAVE, YARDSTICKS
from experiments.engine.options import RESULTS, options
from experiments.engine.pages import Page
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row, read_table
from experiments.positivity.jobs import SEED_START
from socicnn._files import replacing

VERSION = 1  # goes up when what is run changes
NO_START = "none"  # of a yardstick
KEY = ("data", "model", "start", "learning_rate", "seed")
PAGE = Page("densities.md", "python -m experiments.densities --render")


@dataclass(frozen=True)
class Preset:
    """What is run.

    Args:
        data: names of the tables.
        arms: recipes, starts and step sizes of the energies.
        yardsticks: names of the other estimators.
        seeds: number of seeds.
        settings: of the energies.
        wide: tables that wide networks are fitted to as well.
    """

    data: tuple[str, ...]
    arms: tuple[tuple[str, str, float], ...]
    yardsticks: tuple[str, ...]
    seeds: int
    settings: Settings
    wide: tuple[str, ...] = ()


STARTS = ("principled", SEED_START)
ARMS = (
    *((recipe, START, 5e-3) for recipe in ("lift", "softplus", "projected")),
    *((recipe, law, 5e-3) for law in STARTS for recipe in ("lift", "softplus", "projected")),
    *((recipe, law, 1e-3) for law in STARTS for recipe in ("lift", "softplus", "projected")),
)
VARIED = (
    *((f"admm-{schedule}", "principled", 5e-3) for schedule in ("fixed", "balancing", "doubling")),
    ("softplus-widened", "principled", 5e-3),
    ("softplus-widened", SEED_START, 1e-3),
)
WIDE_ARMS = tuple(("softplus-wide", law, 1e-3) for law in STARTS)  # five layers of 512, as figure 21 has on POWER
PRESETS = {
    "tiny": Preset(
        ("product",),
        (
            ("lift", "principled", 5e-3), ("projected", SEED_START, 5e-3), ("lift", START, 5e-3),
            ("admm-fixed", "principled", 5e-3), ("softplus-widened", SEED_START, 1e-3),
        ),
        ("Gaussian", "log-concave components", "kernel"), 1,
        Settings((8, 8), steps=30, batch=64, nodes=200, judged=500, temperatures=5, proposal="importance"),
    ),
    "short": Preset(
        ("magic", "power", "cardiotocography"), (*ARMS[:9], *VARIED), tuple(LOG_CONCAVE), 1,
        Settings((32, 32), steps=400, batch=128, nodes=256, judged=1000, temperatures=20, proposal="flow"),
        ("power",),
    ),
    "paper": Preset(
        ("magic", "power", "cardiotocography"), (*ARMS, *VARIED), tuple(YARDSTICKS), 3,
        Settings((64, 64, 64), steps=1000, batch=256, nodes=512, judged=2000, temperatures=40, proposal="flow"),
        ("power",),
    ),
}  # fmt: skip


def fit_row(
    *, data: str, model: str, start: str, learning_rate: float, seed: int, settings: dict[str, Any], version: int
) -> list[Row]:
    """Fit one model to one table and return its row.

    Args:
        data: name of the table.
        model: a recipe, or the name of a yardstick.
        start: initialiser of the energy; `none` for a yardstick.
        learning_rate: step size of Adam; 0 for a yardstick.
        seed: of everything random.
        settings: those of the energies; empty for a yardstick.
        version: of this function.
    """
    split = load(data, seed)
    if start != NO_START:
        given = Settings(**{**settings, "hidden": tuple(settings["hidden"])})
        return [fit_energy(split, model, start, learning_rate, seed, given)]
    begun = time.process_time()
    nats = -YARDSTICKS[model](split, seed)
    spent = time.process_time() - begun
    return [{"nll": nats.mean(), "sampling_error": nats.std(ddof=1) / np.sqrt(len(nats)), "seconds": spent}]


def cells(name: str) -> list[Cell]:
    """Return one cell per model, table and seed."""
    preset = PRESETS[name]
    settings = {**asdict(preset.settings), "hidden": list(preset.settings.hidden)}
    others = [(model, NO_START, 0.0, {}) for model in preset.yardsticks]
    ours = [(model, law, rate, settings) for model, law, rate in preset.arms]
    wide = [(*arm, settings) for arm in WIDE_ARMS]
    return [
        Cell(
            {"data": data, "model": model, "start": law, "learning_rate": rate, "seed": seed},
            fit_row,
            {"settings": given, "version": VERSION},
        )
        for seed in range(preset.seeds)
        for data in preset.data
        for model, law, rate, given in [*others, *ours, *(wide if data in preset.wide else [])]
    ]


def page() -> str:
    """Return the tables of what is kept."""
    parts = [MEANING]
    for name, path in (("paper", RESULTS / "densities.csv"), ("short", RESULTS / "densities_short.csv")):
        if path.is_file():
            given, rows = PRESETS[name].settings, read_table(path)
            done, seeds = len({tuple(row[c] for c in KEY) for row in rows}), PRESETS[name].seeds
            parts.append(
                f"## Preset `{name}`: layers {' x '.join(map(str, given.hidden))}, {given.steps} steps\n\n"
                f"{done} of {len(cells(name))} cells have been run; {seeds} {'seeds' if seeds > 1 else 'seed'} in all."
            )
            parts.append(sections(rows, "###"))
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> None:
    def extend(parser: Any) -> None:
        parser.add_argument("--render", action="store_true", help="put the kept tables into the page, and run nothing")

    about = "Fit energies and other densities to tables; held-out likelihoods."
    given = options("densities", about, argv, presets=tuple(PRESETS), extend=extend)
    if given.others.render:
        PAGE.write(page())
        return
    text = summary(given.run(cells(given.preset)).rows)
    if given.status:
        return
    with replacing(given.out.with_suffix(".md")) as draft:
        draft.write_text(text, encoding="utf-8")
    print(text)
