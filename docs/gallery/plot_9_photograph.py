r"""
A photograph restored by a learned score
========================================

A sensor lost three pixels in ten, and the others are noisy. Somebody can tell how good a restoration is, as a number: a
program that is slow, or belongs to somebody else. Here it is a formula, so that we can check ourselves against it. We
see its scores at small patches of other photographs only.

A network that is convex in the picture learns the score. Then restoring is a minimisation without false valleys: the
picture that the network likes best is found, with a proof of how near it is.
"""

# %%
# Photographs, and what the sensor makes of them
# ----------------------------------------------
# scikit-image brings some. Five are for learning; the cameraman is kept for the end.

import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from skimage import color, data, metrics, restoration, transform

from decision import Box, Decider
from socicnn import ConvSOCICNN
from socicnn.nn import Conv
from socicnn.training import Data, FitOptions, WithinContext, fit

draw = np.random.default_rng(0)


def grey(photo):
    """Return a photograph in grey, from 0 to 1, at half its size."""
    return transform.rescale(color.rgb2gray(photo) if photo.ndim == 3 else photo / 255, 0.5, anti_aliasing=True)


def observe(clean):
    """Return what the sensor sees, and a mask of the pixels that it sees."""
    mask = (draw.random(clean.shape) < 0.7).astype(float)
    return (clean + 0.1 * draw.standard_normal(clean.shape)) * mask, mask


photos = [grey(photo()) for photo in (data.astronaut, data.chelsea, data.coffee, data.coins, data.rocket)]
cameraman = grey(data.camera())[20:148, 60:188]

# %%
# The score
# ---------
# A restoration should be near what was seen, and have few edges: the mean square of the differences to the pixels that
# were seen, plus the mean length of the slope. Less is better.


def score(x, observed, mask):
    """Return the score of pictures, shape `(..., height, width)`."""
    down, right = x.diff(dim=-2, append=x[..., -1:, :]), x.diff(dim=-1, append=x[..., -1:])
    return (mask * (x - observed) ** 2 / 2 + 0.06 * (down**2 + right**2 + 1e-4).sqrt()).mean(dim=(-1, -2))


# %%
# What the network learns from
# ----------------------------
# 100 patches of 24 x 24 pixels, each with four attempts at a restoration: somewhere between the clean patch and the
# observed one, blurred and noisy. Of each attempt we know the score, and how it changes with every pixel.

PATCHES, SIDE, ATTEMPTS = 100, 24, 4


def patch():
    """Return a random patch of a random photograph."""
    photo = photos[draw.integers(len(photos))]
    row, column = (draw.integers(size - SIDE) for size in photo.shape)
    return photo[row : row + SIDE, column : column + SIDE]


def attempt(clean, observed, mask):
    """Return something between a clean and an observed patch."""
    filled = observed + (1 - mask) * observed.sum() / mask.sum()
    share, blur, noise = draw.random(), draw.uniform(0, 1.5), draw.choice([0.0, 0.02, 0.1])
    mixed = gaussian_filter(share * clean + (1 - share) * filled, blur)
    return np.clip(mixed + noise * draw.standard_normal(clean.shape), 0, 1)


clean = np.array([patch() for _ in range(PATCHES)])
observed, mask = observe(clean)
several = [[attempt(*parts) for _ in range(ATTEMPTS)] for parts in zip(clean, observed, mask, strict=True)]
x = torch.tensor(np.array(several), dtype=torch.float32, requires_grad=True)
context = torch.tensor(np.stack([observed, mask], axis=1), dtype=torch.float32)
values = score(x, context[:, None, 0], context[:, None, 1])
(slopes,) = torch.autograd.grad(values.sum(), x)
labels = Data(x.detach()[:, :, None], context, values.detach(), slopes[:, :, None])
print(f"{x.shape[0]} patches, {x.shape[1]} attempts each: {values.numel()} scores")

# %%
# A convex network
# ----------------
# It sees a picture, in which it is convex, and as its context what the sensor saw and where. It has two branches: a
# square, which counts at each pixel as much as the context says, and norms of three convolutions at a time.


def network(side):
    """Return an untrained network of pictures of that side."""
    start = torch.Generator().manual_seed(0)
    square, norms = Conv(1, 1, per_position=True), Conv(6, 3, group=3)
    return ConvSOCICNN((1, side, side), (), (square,), (norms,), context_channels=2, generator=start)


model = network(SIDE)
started = time.perf_counter()
options = FitOptions(schedule="cosine", gradient_weight=1e4)  # entries of a gradient are small: each pixel's share
fit(
    model, labels, loss=WithinContext(0.1), epochs=40, batch_size=5, learning_rate=0.01, progress=False, options=options
)
print(f"{sum(p.numel() for p in model.parameters())} weights, trained in {time.perf_counter() - started:.0f} s")

# %%
# From patches to the photograph
# ------------------------------
# Weights of convolutions serve pictures of any size. One parameter has a number per pixel, how much the square counts
# before the context is looked at; its mean will do.

side = len(cameraman)
larger = network(side)
shapes = {name: value.shape for name, value in larger.state_dict().items()}
weights = model.state_dict().items()
larger.load_state_dict({n: w if w.shape == shapes[n] else w.mean().expand(shapes[n]) for n, w in weights})

# %%
# The best picture, with a proof
# ------------------------------
# 16,384 pixels, each from 0 to 1. ``gap`` is proven: of all these pictures none has a score, by the network, that is
# lower by more than this.

seen, where = observe(cameraman)
theta = torch.tensor(np.stack([seen, where]), dtype=torch.float32)
answer = Decider(larger, Box(side**2, 0.0, 1.0), rtol=1e-4)(theta[None])
restored = answer.x.double().numpy().reshape(side, side)
print(answer)
print(f"score {float(answer.value):.5f} by the network, gap {float(answer.gap):.1e}")

# %%
# Beside total variation
# ----------------------
# scikit-image's own way: fill the gaps smoothly, then take noise off and keep edges. Its weight is the best of five at
# a photograph of the training.


def total_variation(seen, where, weight):
    """Return scikit-image's restoration."""
    return restoration.denoise_tv_chambolle(restoration.inpaint_biharmonic(seen, where == 0), weight=weight)


def psnr(picture, clean):
    """Return the peak signal-to-noise ratio in decibels; more is better."""
    return metrics.peak_signal_noise_ratio(clean, np.clip(picture, 0, 1), data_range=1)


other = photos[0][40:168, 80:208]
known = observe(other)
weight = max((0.05, 0.07, 0.09, 0.11, 0.13), key=lambda weight: psnr(total_variation(*known, weight), other))
pictures = {
    "clean": cameraman,
    "observed": seen,
    "restored by the network": restored,
    f"total variation, weight {weight}": total_variation(seen, where, weight),
}
table = pd.DataFrame(index=list(pictures))
table["PSNR, dB"] = [np.inf, *(psnr(picture, cameraman) for picture in list(pictures.values())[1:])]
table["score"] = [float(score(torch.tensor(picture), *theta.double())) for picture in pictures.values()]
table.round(4)

# %%
# By the formula, which the network has never seen, its picture is a little ahead of that of total variation, which is
# made by nearly the same formula once the gaps are filled; in decibels it is a little behind. Both have better scores
# than the clean photograph: a good score makes a good restoration, but the best score is not the truth.

figure, axes = plt.subplots(1, 4, figsize=(14, 4), layout="constrained")
for axis, (name, picture), decibels in zip(axes, pictures.items(), table["PSNR, dB"], strict=True):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set(title=name if name == "clean" else f"{name}: {decibels:.1f} dB", xticks=[], yticks=[])
plt.show()
