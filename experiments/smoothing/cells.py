"""Smoothing of trajectories: five recurrent surrogates of an energy, trained and minimised in two ways each.

python -m experiments.smoothing --preset tiny|longer|choice|paper|short [--only name=soc way=within] [--status]

`paper` has the settings of the SOC-ICNN paper (Liu and Hu, 2026, appendix D.6), T = 40; `short`, whose table is kept,
decides 50 test trajectories in place of 200; `longer` shows how time grows with T (`longer.py`); `choice` chooses
the units and epochs of `shape` (`choice.py`). `way` is how a network is trained: as in the paper, or within contexts;
`shape` has branches that can equal the energy's. Seconds are processor time, one thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from experiments.energies import cells as energies
from experiments.energies import networks
from experiments.energies.tables import summary
from experiments.engine.options import options
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row
from experiments.smoothing import choice, longer
from experiments.smoothing.problem import Smoothing

VERSION = 2  # goes up when a job changes
RTOL = 1e-5


@dataclass(frozen=True)
class Preset:
    """What is run: horizons, surrogates, seeds, sizes of training, validation and test data, epochs.

    Epochs are those of the paper's training, and of training within contexts.
    """

    horizons: tuple[int, ...]
    names: tuple[str, ...]
    seeds: int
    sizes: tuple[int, int, int]
    epochs: tuple[int, int]


PRESETS = {
    "tiny": Preset((8,), ("softplus", "shape"), 1, (24, 8, 4), (2, 2)),
    "paper": Preset((40,), networks.NAMES, 3, (1200, 200, 200), (50, 60)),
    "short": Preset((40,), networks.NAMES, 3, (1200, 200, 50), (50, 60)),
}


@cache
def prepared(T: int, sizes: tuple[int, int, int]) -> energies.Prepared:
    """Return the problem with its data and exact decisions."""
    return energies.Prepared.of(Smoothing(T, sizes))


def judge(*, name: str, way: str, seed: int, T: int, folder: str, **settings: Any) -> list[Row]:
    """Judge one surrogate; see `experiments.energies.cells.judged`."""
    a, b, c = settings["sizes"]
    data = prepared(T, (a, b, c))
    if name == energies.EXACT:
        return energies.without_learning(data)
    made: Any = energies.Made(name, way, seed, settings["epochs"], Path(folder))  # type: ignore[arg-type]  # names of the cells
    return energies.judged(data, made, settings["rtol"])


def cells(preset: str) -> list[Cell]:
    """Return the cells of a preset; T is in their keys."""
    chosen = PRESETS[preset]
    return [
        cell
        for T in chosen.horizons
        for cell in energies.cells(
            judge,
            chosen.names,
            chosen.seeds,
            {"sizes": list(chosen.sizes), "epochs": list(chosen.epochs), "rtol": RTOL, "version": VERSION},
            {"T": T},
        )
    ]


def main(argv: Sequence[str] | None = None) -> None:
    def extend(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--render", action="store_true", help="also write the page's table and the figure")

    presets = ("tiny", "longer", "choice", "paper", "short")
    given = options("smoothing", "Smooth trajectories by recurrent surrogates.", argv, presets=presets, extend=extend)
    render = given.others.render
    if given.preset in ("choice", "longer"):
        paper = PRESETS["paper"]
        chosen = choice.cells(paper.horizons[0], paper.sizes, RTOL) if given.preset == "choice" else longer.cells(RTOL)
        others = choice if given.preset == "choice" else longer
        table = others.table(given.run(chosen).rows)
        print(table)
        if render:
            others.PAGE.write(table)
        return
    rows = given.run(cells(given.preset)).rows
    print(summary(rows, "T"))
    if render:
        from experiments.smoothing import page

        chosen = PRESETS[given.preset]
        data = prepared(chosen.horizons[0], chosen.sizes)
        page.render(rows, page.PAGES[given.preset], data, chosen.epochs, energies.folder(VERSION), RTOL)
