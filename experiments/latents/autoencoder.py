"""A convolutional autoencoder of 28 x 28 digits, and the latents of a split of them."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from socicnn._arrays import Array

SIDE, CLASSES = 28, 10
BATCH, LEARNING_RATE = 64, 2e-3
HELD_OUT = 0.2  # share of the digits that neither autoencoder nor energy sees


@dataclass(frozen=True, eq=False)
class Latents:
    """Latents of the digits, standardised by their training rows, and the decoder that reads them.

    Args:
        train: shape `(rows, latents)`.
        train_labels: shape `(rows,)`.
        test: held-out latents.
        test_labels: their digits.
        decode: from standardised latents to images of shape `(count, 28, 28)`, values in [0, 1].
        error: root mean square of what the held-out images differ by after the autoencoder.
    """

    train: Array
    train_labels: Array
    test: Array
    test_labels: Array
    decode: Decoder
    error: float


@dataclass(frozen=True, eq=False)
class Decoder:
    """The decoder behind the scales of its latents.

    Args:
        model: the autoencoder.
        mean: of the training latents.
        deviation: of the training latents, per coordinate.
    """

    model: Autoencoder
    mean: Tensor
    deviation: Tensor

    @torch.no_grad()
    def __call__(self, z: Tensor) -> Array:
        """Return images, shape `(count, 28, 28)`."""
        images: Array = self.model.decoder(self.mean + self.deviation * z.float()).reshape(-1, SIDE, SIDE).numpy()
        return images


class Autoencoder(nn.Module):
    """Two strided convolutions each way around a linear map to the latents.

    Args:
        latents: number of latents.
        channels: of the first convolution; the second has twice as many.
    """

    def __init__(self, latents: int, channels: int) -> None:
        super().__init__()
        a, b, small = channels, 2 * channels, SIDE // 4
        self.encoder = nn.Sequential(
            nn.Conv2d(1, a, 3, stride=2, padding=1), nn.SiLU(), nn.Conv2d(a, b, 3, stride=2, padding=1), nn.SiLU(),
            nn.Flatten(), nn.Linear(b * small * small, latents),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(latents, b * small * small), nn.SiLU(), nn.Unflatten(1, (b, small, small)),
            nn.ConvTranspose2d(b, a, 4, stride=2, padding=1), nn.SiLU(),
            nn.ConvTranspose2d(a, 1, 4, stride=2, padding=1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Return the images after both ways, shape `(count, 1, 28, 28)`."""
        restored: Tensor = self.decoder(self.encoder(images))
        return restored


def digits() -> tuple[Array, Array]:
    """Return 15,000 images of shape `(count, 28, 28)` with values in [0, 1], and their digits.

    Raises:
        FileNotFoundError: the images are not in the folder that SOCICNN_DATA names.
    """
    folder = Path(os.environ.get("SOCICNN_DATA", "")) / "mnist"
    if not folder.is_dir():
        raise FileNotFoundError(f"the digits are not at {folder}; set SOCICNN_DATA to the folder above it")
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        first = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, SIDE, SIDE)
    with gzip.open(folder / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    more = np.loadtxt(folder / "mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)  # the last column is the digit
    images = np.concatenate([first, more[:, :-1].reshape(-1, SIDE, SIDE)]) / 255.0
    return images, np.concatenate([labels, more[:, -1]]).astype(np.int64)


def latents(
    images: Array, labels: Array, seed: int, *, features: int, channels: int, epochs: int, kept: Path
) -> Latents:
    """Train an autoencoder on four fifths of the images and return the latents of all.

    Args:
        images: shape `(count, 28, 28)`.
        labels: their digits.
        seed: of split, weights and batches.
        features: number of latents.
        channels: of the first convolution.
        epochs: passes over the training images, by Adam with a step size that falls linearly.
        kept: file of the autoencoder's weights, read if it is there and made if not.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    held, own = np.split(order, [int(HELD_OUT * len(order))])
    x = torch.tensor(images, dtype=torch.float32)[:, None]
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = Autoencoder(features, channels)
        if kept.is_file():
            model.load_state_dict(torch.load(kept, weights_only=True))
        else:
            _train(model, x[own], epochs)
            kept.parent.mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), kept)
    with torch.no_grad():
        codes = torch.cat([model.encoder(part) for part in x.split(1000)])
        error = float((model(x[held]) - x[held]).square().mean().sqrt())
    mean, deviation = codes[own].mean(dim=0), codes[own].std(dim=0)
    z = ((codes - mean) / deviation).double().numpy()
    return Latents(z[own], labels[own], z[held], labels[held], Decoder(model, mean, deviation), error)


def _train(model: Autoencoder, x: Tensor, epochs: int) -> None:
    """Minimise the mean squared difference."""
    steps = epochs * (len(x) // BATCH)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, max(steps, 1))
    for _ in range(epochs):
        for rows in torch.randperm(len(x))[: len(x) // BATCH * BATCH].split(BATCH):
            optimiser.zero_grad(set_to_none=True)
            (model(x[rows]) - x[rows]).square().mean().backward()
            optimiser.step()
            schedule.step()
