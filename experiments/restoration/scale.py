"""How the certified decision of one image grows with its pixels: seconds and memory, each size in a fresh process.

python -m experiments.restoration.scale --preset tiny|paper [--render]

The weights of a convolutional network do not depend on the size of the images, so the network that was trained at one
side (`experiments.restoration.proof`) is taken as it is to others. The image is the first test face, resized by
scikit-image and corrupted at its new size, as `experiments.restoration.faces` corrupts; a decision is by projected
gradient, to a relative gap of 1e-4. `start_mb` is the process before the network is made, with PyTorch and SciPy. It
needs Linux.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

import decision
from experiments.energies import cells as energies
from experiments.energies import networks
from experiments.engine.pages import Page
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row
from experiments.restoration import faces, proof
from experiments.restoration.cells import RTOL, TRAINED
from experiments.restoration.problem import SEED, Restoration
from socicnn._arrays import Array

PAGE = Page("architectures.md", "python -m experiments.restoration.scale --preset paper --render")
SCALE = 1  # goes up when the job changes
SIDES = {"tiny": (8,), "paper": (32, 64, 128)}
COLUMNS = {
    "side": ("side", "d"),
    "pixels": ("pixels", "d"),
    "units": ("ReLU units", "d"),
    "gap": ("relative gap", ".2g"),
    "iterations": ("steps", "d"),
    "decide_s": ("decision, s", ".2g"),
    "start_mb": ("at the start, MB", ".0f"),
    "peak_mb": ("peak, MB", ".0f"),
}


def grown(*, side: int, trained_at: int, sizes: Sequence[int], epochs: Sequence[int], **settings: Any) -> list[Row]:
    """Decide one image of a side in a process of its own."""
    model, problem, _ = proof.trained("soc", "paper", 0, trained_at, sizes, epochs, settings["folder"])
    face = problem.splits()[2].clean[0].numpy()
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(decided, side, face, weights, settings["rtol"]).result()


def context(face: Array, side: int) -> Tensor:
    """Return observation and mask of a face that is resized to a side, shape `(1, 2, side, side)`."""
    from skimage.transform import resize

    image = np.clip(resize(face, (side, side), anti_aliasing=True), 0, 1)
    observed, mask = faces.corrupted(image[None], np.random.default_rng(SEED))
    return torch.from_numpy(np.stack([observed, mask], axis=1))


def decided(side: int, face: Array, weights: dict[str, Array], rtol: float) -> list[Row]:
    """Decide one image, and return what it took."""
    torch.set_num_threads(1)
    problem, theta = Restoration(side, (0, 0, 0)), context(face, side).to(energies.TYPE)
    before = proof.most_memory()
    model: Any = networks.make(problem, "soc", 0)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    started = time.process_time()
    decider = decision.Decider(model, problem.box, rtol=rtol, method="projected_gradient")
    answer = decider(theta)
    return [
        {
            "pixels": problem.n,
            "units": 30 * problem.n,  # three layers of ten channels
            "gap": float(answer.relative_gap.max()),
            "iterations": int(answer.iterations.max()),
            "value": float(answer.value),
            "decide_s": time.process_time() - started,
            "start_mb": before,
            "peak_mb": proof.most_memory(),
        }
    ]


def cells(preset: str) -> list[Cell]:
    """Return one cell per side."""
    chosen = proof.PRESETS[preset]
    settings = {
        "trained_at": chosen.side,
        "sizes": list(chosen.sizes),
        "epochs": list(chosen.epochs),
        "rtol": RTOL,
        "version": [TRAINED, SCALE],
    }
    places = {"folder": str(energies.folder(TRAINED))}
    return [Cell({"side": side}, grown, settings, places) for side in SIDES[preset]]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cells that are asked for, and print the table."""
    proof.report("restoration_scale", "Decide one image of growing size.", argv, cells, (PAGE, COLUMNS))


if __name__ == "__main__":
    main()
