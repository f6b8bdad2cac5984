"""The autoencoder learns and is kept, the tiny run finishes, and the page holds what is kept."""

import math
from pathlib import Path

import numpy as np
import torch

from experiments.engine.options import RESULTS
from experiments.engine.tables import read_table
from experiments.latents import cells as experiment
from experiments.latents.autoencoder import latents
from experiments.latents.tables import section

SMALL = {"features": 4, "channels": 2}


def test_the_autoencoder_learns_and_is_kept(tmp_path: Path) -> None:
    images, labels = experiment.bars(0)
    blank = latents(images, labels, 0, epochs=0, kept=tmp_path / "blank.pt", **SMALL)
    space = latents(images, labels, 0, epochs=100, kept=tmp_path / "kept.pt", **SMALL)
    again = latents(images, labels, 0, epochs=100, kept=tmp_path / "kept.pt", **SMALL)
    assert space.error < 0.9 * blank.error
    np.testing.assert_array_equal(space.test, again.test)
    assert len(space.train) == 320
    assert len(space.test_labels) == 80
    np.testing.assert_allclose(space.train.std(axis=0, ddof=1), 1, rtol=1e-4)
    assert space.decode(torch.from_numpy(space.test[:3])).shape == (3, 28, 28)


def test_the_tiny_run_finishes_and_is_drawn(tmp_path: Path) -> None:
    out = tmp_path / "latents.csv"
    experiment.main(["--preset", "tiny", "--out", str(out)])
    rows = read_table(out)
    assert len({(row["digit"], row["model"]) for row in rows}) == len(rows) == 30
    images = np.load(tmp_path / "latents.models" / "draws-3-0.npz")["images"]
    assert images.shape == (3, 2, 28, 28)
    assert images.std() > 0
    assert all(math.isfinite(float(str(row["nll"]))) for row in rows)
    assert "| lift |" in section(rows, 1)
    assert experiment.draw(tmp_path / "latents.models", tmp_path / "latents.png")
    assert (tmp_path / "latents.png").stat().st_size > 1000


def test_the_page_holds_the_kept_rows() -> None:
    text = experiment.PAGE.path.read_text(encoding="utf-8")
    assert text == experiment.PAGE.filled(text, experiment.page())
    assert (RESULTS / "latents.png").is_file()
