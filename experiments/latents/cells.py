"""Energies of images: an autoencoder of digits to 32 numbers, and one energy per digit in their space.

python -m experiments.latents --preset tiny|short|paper [--only digit=3 seed=0] [--status] [--render]

A cell is a digit and a seed, which draws the split, the autoencoder, the weights and the batches; its rows are the
models. The digits are read from the folder `mnist` in the one that SOCICNN_DATA names; `tiny` draws blurred bars in
their place. The autoencoder of a seed is trained by its first
cell and lies, with draws decoded to images, beside the table in `latents.models/`. `--render` puts the kept rows into
the page of results and draws the figure, if the draws are there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.engine.options import RESULTS, options
from experiments.engine.pages import Page
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row, read_table
from experiments.latents.autoencoder import CLASSES, SIDE, Latents, digits, latents
from experiments.latents.energies import COMPONENTS, MODELS, Settings, fit_digit
from experiments.latents.figure import draw
from experiments.latents.tables import section
from socicnn._arrays import Array
from socicnn._files import replacing

VERSION = 1  # goes up when what is run changes
PAGE = Page("latents.md", "python -m experiments.latents --render")


@dataclass(frozen=True)
class Preset:
    """What is run.

    Args:
        images: `digits`, or `bars`, which need no data.
        models: recipes of energies, and `Gaussian`.
        seeds: number of seeds.
        latents: length of a latent.
        channels: of the autoencoder's first convolution.
        epochs: of the autoencoder.
        settings: of the energies.
    """

    images: str
    models: tuple[str, ...]
    seeds: int
    latents: int
    channels: int
    epochs: int
    settings: Settings


PRESETS = {
    "tiny": Preset(
        "bars", ("lift", COMPONENTS, "Gaussian"), 1, 4, 2, 2,
        Settings((8,), 5e-3, steps=20, batch=32, nodes=64, judged=100, temperatures=4, shown=2),
    ),
    "short": Preset(
        "digits", MODELS, 1, 32, 8, 10,
        Settings((32, 32), 5e-3, steps=100, batch=128, nodes=128, judged=200, temperatures=10, shown=8),
    ),
    "paper": Preset(
        "digits", MODELS, 3, 32, 16, 12,
        Settings((64, 64), 5e-3, steps=300, batch=128, nodes=256, judged=500, temperatures=20, shown=8),
    ),
}  # fmt: skip


def fit_rows(
    *,
    digit: int,
    seed: int,
    images: str,
    latent: int,
    channels: int,
    epochs: int,
    fitted: Sequence[str],
    settings: dict[str, Any],
    models: str,
    version: int,
) -> list[Row]:
    """Fit all models to the latents of one digit and return a row per model.

    Args:
        digit: which of the ten.
        seed: of everything random.
        images: `digits` or `bars`.
        latent: length of a latent.
        channels: of the autoencoder's first convolution.
        epochs: of the autoencoder.
        fitted: names of the models.
        settings: those of the energies.
        models: folder of the autoencoder and of the draws.
        version: of this function.
    """
    space = _space(images, seed, latent, channels, epochs, Path(models) / f"autoencoder-{seed}.pt")
    train, test = space.train[space.train_labels == digit], space.test[space.test_labels == digit]
    results = fit_digit(train, test, fitted, seed, Settings(**{**settings, "hidden": tuple(settings["hidden"])}))
    shown = np.stack([space.decode(torch.from_numpy(draws)) for _, draws in results])
    with replacing(Path(models) / f"draws-{digit}-{seed}.npz") as draft, draft.open("wb") as file:
        np.savez_compressed(file, images=(255 * shown).astype(np.uint8), models=np.array(fitted))
    counts = {"rows": len(train), "held_out": len(test), "restored": space.error}
    return [{"model": model, **row, **counts} for model, (row, _) in zip(fitted, results, strict=True)]


@cache
def _space(images: str, seed: int, latent: int, channels: int, epochs: int, kept: Path) -> Latents:
    pictures, labels = digits() if images == "digits" else bars(seed)
    return latents(pictures, labels, seed, features=latent, channels=channels, epochs=epochs, kept=kept)


def bars(seed: int) -> tuple[Array, Array]:
    """Return 400 images of ten kinds of noisy bars, and their kinds."""
    rng = np.random.default_rng(seed)
    labels = np.arange(400) % CLASSES
    place, level = 2 * labels[:, None] + rng.uniform(0, 8, (400, 1)), rng.uniform(0.5, 1.0, (400, 1))
    profile = level * np.exp(-(((np.arange(SIDE) - place) / rng.uniform(1, 3, (400, 1))) ** 2))
    images = profile[:, :, None] * rng.uniform(0.6, 1.0, (400, 1, SIDE))
    return images, labels


def cells(name: str, models: Path) -> list[Cell]:
    """Return one cell per digit and seed."""
    preset = PRESETS[name]
    settings = {
        "images": preset.images,
        "latent": preset.latents,
        "channels": preset.channels,
        "epochs": preset.epochs,
        "fitted": list(preset.models),
        "settings": {**asdict(preset.settings), "hidden": list(preset.settings.hidden)},
        "version": VERSION,
    }
    places = {"models": os.path.relpath(models)}
    return [
        Cell({"digit": digit, "seed": seed}, fit_rows, settings, places)
        for seed in range(preset.seeds)
        for digit in range(CLASSES)
    ]


def page() -> str:
    """Return the tables of what is kept."""
    parts = []
    for name, path in (("paper", RESULTS / "latents.csv"), ("short", RESULTS / "latents_short.csv")):
        if path.is_file():
            own = PRESETS[name]
            widths = " x ".join(map(str, own.settings.hidden))
            parts.append(f"## Preset `{name}`: layers {widths}, {own.settings.steps} steps")
            parts.append(section(read_table(path), own.seeds))
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> None:
    def extend(parser: Any) -> None:
        parser.add_argument("--render", action="store_true", help="make page and figure of what is kept; run nothing")

    about = "Fit energies to the latents of images; held-out likelihoods and decoded draws."
    chosen = options("latents", about, argv, presets=tuple(PRESETS), extend=extend)
    models = chosen.out.with_suffix(".models")
    if chosen.others.render:
        PAGE.write(page())
        draw((RESULTS / "latents.csv").with_suffix(".models"), RESULTS / "latents.png")
        return
    rows = chosen.run(cells(chosen.preset, models)).rows
    if not chosen.status:
        print(section(rows, PRESETS[chosen.preset].seeds))
