"""Faces, their corruption, and candidates for the restored image.

Source: Olivetti faces, AT&T Laboratories Cambridge, 400 images of 64 x 64. They are read from `olivettifaces.mat` in
the folder `olivetti` of SOCICNN_DATA, where that is set, and by scikit-learn's loader otherwise.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.ndimage import convolve

from socicnn._arrays import Array

BLUR, NOISE, KEPT = 0.7, 0.1, 0.80  # standard deviations of blur (pixels) and noise, probability that a pixel is seen
HOLES, SIDES = (2, 4), (8, 12)  # number of rectangular holes, and their sides in pixels
CANDIDATES = 16


def kernel() -> Array:
    """Return the blur, a 5 x 5 Gaussian of sum 1."""
    line = np.exp(-((np.arange(5) - 2) ** 2) / (2 * BLUR**2))
    square = np.outer(line, line)
    return np.asarray(square / square.sum())


def blurred(images: Array) -> Array:
    """Return images `(..., side, side)` blurred, zeros around them."""
    flat = images.reshape(-1, *images.shape[-2:])
    return np.stack([convolve(image, kernel(), mode="constant") for image in flat]).reshape(images.shape)


def faces(side: int) -> Array:
    """Return the faces in [0, 1], shape `(400, side, side)`; `side` divides 64 and means are taken."""
    folder = os.environ.get("SOCICNN_DATA")
    if folder:
        columns = loadmat(Path(folder) / "olivetti" / "olivettifaces.mat")["faces"]
        images = columns.T.reshape(-1, 64, 64).transpose(0, 2, 1) / 255.0  # each column is an image by columns
    else:
        from sklearn.datasets import fetch_olivetti_faces

        images = fetch_olivetti_faces().images.astype(np.float64)
    size = 64 // side
    return np.asarray(images.reshape(-1, side, size, side, size).mean(axis=(2, 4)))


def corrupted(clean: Array, draw: np.random.Generator) -> tuple[Array, Array]:
    """Return observations M (H * X + noise) and masks M of images `(count, side, side)`; holes shrink with the side."""
    side = clean.shape[-1]
    mask = draw.random(clean.shape) < KEPT
    for image in mask:
        for _ in range(draw.integers(HOLES[0], HOLES[1] + 1)):
            height, width = (max(1, size * side // 64) for size in draw.integers(SIDES[0], SIDES[1] + 1, 2))
            top, left = draw.integers(0, side - height + 1), draw.integers(0, side - width + 1)
            image[top : top + height, left : left + width] = False
    observed = blurred(clean) + NOISE * draw.standard_normal(clean.shape)
    return observed * mask, mask.astype(np.float64)


def candidates(clean: Array, observed: Array, mask: Array, draw: np.random.Generator) -> Array:
    """Return 16 candidates of each image, in [0, 1], shape `(count, 16, side, side)`.

    The observation, with its gaps and with the mean grey in them, blurred; the clean image, blurred once and twice, and
    noisy; uniform noise; mixtures of these.
    """
    mean = observed.sum(axis=(1, 2), keepdims=True) / mask.sum(axis=(1, 2), keepdims=True)
    filled = observed + (1 - mask) * mean
    soft = blurred(clean)
    random = draw.random(clean.shape)
    noisy = [clean + deviation * draw.standard_normal(clean.shape) for deviation in (0.02, 0.05, 0.15)]
    plain = [observed, filled, blurred(filled), blurred(blurred(filled)), clean, soft, blurred(soft), *noisy, random]
    pairs = [(clean, filled), (soft, blurred(filled)), (clean, random), (filled, random), (soft, observed)]
    shares = draw.random((len(pairs), len(clean), 1, 1))
    mixed = [share * a + (1 - share) * b for share, (a, b) in zip(shares, pairs, strict=True)]
    return np.clip(np.stack([*plain, *mixed], axis=1), 0, 1)
