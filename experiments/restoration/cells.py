"""Restoration of faces: five convolutional surrogates of an energy, trained and minimised in two ways each.

python -m experiments.restoration --preset tiny|paper [--only name=soc way=within] [--status] [--render]

`paper` has the settings of the SOC-ICNN paper (Liu and Hu, 2026, appendix C.9). `way` is how a network is trained: as
in the paper, within contexts, or with the energy's slopes besides; `shape` has branches that can equal the energy's.
Seconds are processor time, one thread. It needs `pip install 'socicnn[experiments,images]'`, and the faces: in the
folder that SOCICNN_DATA names, or through scikit-learn's loader.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.energies import cells as energies
from experiments.energies import networks
from experiments.energies.tables import summary
from experiments.engine.options import options
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row
from experiments.restoration.problem import Restoration
from socicnn.errors import MissingExtra

SLOPED = ("shape",)  # surrogates that are trained with slopes, too
TRAINED, VERSION = 2, 3  # go up when training, and when a job changes
RTOL = 1e-4


@dataclass(frozen=True)
class Preset:
    """What is run: sides, surrogates, seeds, sizes of training, validation and test data, epochs.

    Epochs are those of the paper's training, of training within contexts, and with slopes.
    """

    sides: tuple[int, ...]
    names: tuple[str, ...]
    seeds: int
    sizes: tuple[int, int, int]
    epochs: tuple[int, int, int]


PRESETS = {
    "tiny": Preset((8,), ("soc", "shape"), 1, (20, 6, 3), (2, 2, 2)),
    "paper": Preset((64,), networks.NAMES, 3, (280, 60, 60), (50, 12, 8)),
}


@cache
def prepared(side: int, sizes: tuple[int, int, int]) -> energies.Prepared:
    """Return the problem with its data and exact decisions."""
    if find_spec("skimage") is None:  # before hours of training, not after
        raise MissingExtra("restoration needs the package scikit-image: pip install 'socicnn[experiments,images]'")
    return energies.Prepared.of(Restoration(side, sizes))


def judge(*, name: str, way: str, seed: int, side: int, folder: str, means: str, **settings: Any) -> list[Row]:
    """Judge one surrogate; see `experiments.energies.cells.judged`."""
    a, b, c = settings["sizes"]
    data = prepared(side, (a, b, c))
    if name == energies.EXACT:
        return energies.without_learning(data)
    made: Any = energies.Made(name, way, seed, settings["epochs"], Path(folder))  # type: ignore[arg-type]  # names of the cells
    return energies.judged(data, made, settings["rtol"], (means,))


def cells(preset: str) -> list[Cell]:
    """Return the cells of a preset; the side is in their keys."""
    chosen = PRESETS[preset]
    settings = {"sizes": list(chosen.sizes), "epochs": list(chosen.epochs), "rtol": RTOL, "version": VERSION}
    shared: Any = {"sloped": SLOPED, "decided": energies.DECIDED, "trained": TRAINED}
    return [
        cell
        for side in chosen.sides
        for cell in energies.cells(judge, chosen.names, chosen.seeds, settings, {"side": side}, **shared)
    ]


def main(argv: Sequence[str] | None = None) -> None:
    def extend(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--render", action="store_true", help="also write the page's table and the figure")

    what = "Restore faces by convolutional surrogates."
    given = options("restoration", what, argv, presets=tuple(PRESETS), extend=extend)
    rows = given.run(cells(given.preset)).rows
    print(summary(rows, "side"))
    if given.others.render:
        from experiments.restoration import page

        chosen = PRESETS[given.preset]
        page.render(rows, prepared(chosen.sides[0], chosen.sizes), chosen.epochs, energies.folder(TRAINED), RTOL)
