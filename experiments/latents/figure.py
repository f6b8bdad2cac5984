"""Draws of the energies of all digits, decoded to images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.latents.autoencoder import CLASSES
from socicnn._files import replacing


def draw(models: Path, path: Path, columns: int = 6) -> bool:
    """Draw a block per model, a row per digit; return whether there were draws of seed 0 to show.

    Args:
        models: folder of the draws.
        path: file to write.
        columns: draws per digit at most.
    """
    from matplotlib.figure import Figure

    files = [file for digit in range(CLASSES) if (file := models / f"draws-{digit}-0.npz").is_file()]
    if not files:
        return False
    kept = [np.load(file) for file in files]
    names = [str(name) for name in kept[0]["models"]]
    images = np.stack([draws["images"][:, :columns] for draws in kept], axis=1)  # per model and digit
    figure = Figure(figsize=(2.6 * len(names), 4.6), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, model, block in zip(panels, names, images, strict=True):
        tiles = np.pad(block, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=96)
        digits, count, height, width = tiles.shape
        panel.imshow(tiles.transpose(0, 2, 1, 3).reshape(digits * height, count * width), cmap="gray")
        panel.set_title(model)
        panel.set_axis_off()
    with replacing(path) as draft:
        figure.savefig(draft, dpi=110, format="png")
    return True
