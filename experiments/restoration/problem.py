"""The restoration energy of an image X, given an observation Y and a mask M.

E(X; Y, M) = 1/2 mean (M (H * X - Y))^2 + 0.035/2 mean (Lap X)^2 + 0.055 mean sqrt(dx^2 + dy^2 + 1e-4),   X in [0, 1]

All means are over pixels. H is the 5 x 5 blur with zeros around the image. Differences are taken inside the image only:
dx and dy are forward differences, zero in the last column and row, and Lap X is a pixel's differences to those of its
four neighbours that exist, summed (the paper, Liu and Hu, 2026, appendix C.9, leaves the borders open).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from experiments.energies.problem import Problem, Split, Steps
from experiments.restoration.faces import CANDIDATES, candidates, corrupted, faces, kernel
from socicnn._arrays import Array
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic, Squares
from socicnn.nn import Conv, ConvSOCICNN

LAPLACE, VARIATION, ROUNDING = 0.035, 0.055, 1e-4
SEED = 0
PART = 10  # images whose candidates are labelled together: convolutions in float64 take much memory


@final
class Restoration(Problem):
    """Restoration of faces.

    Args:
        side: of the images in pixels, a divisor of 64.
        sizes: number of training, validation and test images.
    """

    lower, upper = 0.0, 1.0
    steps = Steps(rate=0.035, steps=350, restarts=3, dtype=torch.float32)
    together = 10

    def __init__(self, side: int, sizes: tuple[int, int, int]) -> None:
        self.side, self.sizes = side, sizes
        self.shape, self.context_shape = (1, side, side), (2, side, side)
        self.batch = 280 // CANDIDATES
        # without an exact program for what a large network leaves open
        self.method = "auto" if side < 32 else "projected_gradient"
        self.micro_batch = max(1, 2 * 64**2 // side**2)  # keeps what is computed together in the processor's caches

    def splits(self) -> tuple[Split, Split, Split]:
        """Return training, validation and test images, none of them twice."""
        draw = np.random.default_rng(SEED)
        images = faces(self.side)
        order = draw.permutation(len(images))
        cuts = np.cumsum([0, *self.sizes])
        train, validation, test = (self._split(images[order[a:b]], draw) for a, b in pairwise(cuts))
        return train, validation, test

    def _split(self, clean: Array, draw: np.random.Generator) -> Split:
        observed, mask = corrupted(clean, draw)
        x = torch.from_numpy(candidates(clean, observed, mask, draw))[:, :, None]
        theta = torch.from_numpy(np.stack([observed, mask], axis=1))
        parts = zip(x.split(PART), theta.split(PART), strict=True)
        y = torch.cat([self.energy(some, context[:, None]) for some, context in parts])
        return Split(x, theta, y, torch.from_numpy(clean))

    def energy(self, x: Tensor, theta: Tensor) -> Tensor:
        """Return E."""
        image, observed, mask = x[..., 0, :, :], theta[..., 0, :, :], theta[..., 1, :, :]
        flat = image.reshape(-1, 1, self.side, self.side)
        soft = torch.nn.functional.conv2d(flat, torch.from_numpy(kernel())[None, None].to(x), padding=2)
        fidelity = (mask * soft.reshape(image.shape) - observed).square().mean(dim=(-1, -2)) / 2
        down, right = torch.zeros_like(image), torch.zeros_like(image)
        down[..., :-1, :], right[..., :-1] = image.diff(dim=-2), image.diff(dim=-1)
        laplace = down + right
        laplace[..., 1:, :] -= down[..., :-1, :]
        laplace[..., 1:] -= right[..., :-1]
        length = (down.square() + right.square() + ROUNDING).sqrt()
        return fidelity + LAPLACE / 2 * laplace.square().mean(dim=(-1, -2)) + VARIATION * length.mean(dim=(-1, -2))

    def matrices(self) -> tuple[sparse.csr_array, sparse.csr_array, sparse.csr_array]:
        """Return blur, forward differences down and to the right as matrices on the flattened image."""
        side, eye = self.side, sparse.eye_array(self.side)
        last = np.ones(side)
        last[-1] = 0
        difference = sparse.diags_array([-last, np.ones(side - 1)], offsets=[0, 1])
        blur = sparse.csr_array((side**2, side**2))
        for row, weights in enumerate(kernel()):
            shift = sparse.diags_array(np.ones(side - abs(row - 2)), offsets=row - 2, shape=(side, side))
            line = sparse.diags_array(
                [np.full(side - abs(k - 2), weight) for k, weight in enumerate(weights)],
                offsets=range(-2, 3),
                shape=(side, side),
            )
            blur = blur + sparse.kron(shift, line)
        down, right = sparse.kron(difference, eye), sparse.kron(eye, difference)
        return sparse.csr_array(blur), sparse.csr_array(down), sparse.csr_array(right)

    def program(self) -> tuple[Any, Any, Any]:
        """Return the exact second-order cone program."""
        import cvxpy as cp

        n, (H, D1, D2) = self.n, self.matrices()
        x, observed, mask = cp.Variable(n), cp.Parameter(n), cp.Parameter(n)
        lengths = cp.norm(cp.vstack([D1 @ x, D2 @ x, np.full(n, np.sqrt(ROUNDING))]), 2, axis=0)
        laplace = D1.T @ D1 + D2.T @ D2
        cost = cp.sum_squares(cp.multiply(mask, H @ x) - observed) / (2 * n)
        cost += LAPLACE / (2 * n) * cp.sum_squares(laplace @ x) + VARIATION / n * cp.sum(lengths)

        def set_context(theta: Array) -> None:
            observed.value, mask.value = theta.reshape(2, n)

        return cp.Problem(cp.Minimize(cost), [x >= self.lower, x <= self.upper]), x, set_context

    def by_hand(self, theta: Array) -> FrozenNet:
        """Return the energy as squares in a layer, which the mask weighs, a quadratic, and norms of three."""
        n, (H, D1, D2) = self.n, self.matrices()
        observed, mask = theta.reshape(2, n)
        squares = Squares(np.ones(n), H, -observed)
        layer = Layer(None, sparse.csr_array((n, n)), np.zeros(n), squares)
        rows = [sparse.kron(D, np.eye(3)[:, [i]]) for i, D in enumerate((D1, D2))]
        offset = np.tile([0.0, 0.0, np.sqrt(ROUNDING)], n)
        norm = Norm(VARIATION / n, sparse.csr_array(rows[0] + rows[1]), offset, 3)
        quadratic = Quadratic(LAPLACE / (2 * n), sparse.csr_array(D1.T @ D1 + D2.T @ D2))
        return FrozenNet([layer], Output(mask / (2 * n), np.zeros(n), 0.0), [quadratic], [norm], self.shape)

    @property
    def branches(self) -> tuple[Conv, Conv]:
        """16 channels of 5 x 5, and 8 groups of 2."""
        return Conv(16, 5), Conv(16, 5, group=2)

    def network(self, quadratic: tuple[Conv, ...], norm: tuple[Conv, ...], **settings: Any) -> ConvSOCICNN:
        """Return a convolutional network of three layers with 10 channels."""
        return ConvSOCICNN(self.shape, (10, 10, 10), quadratic, norm, context_channels=2, **settings)

    def shaped(self, draw: torch.Generator) -> ConvSOCICNN:
        """Return a network whose squares have weights per position, as the mask asks, and whose norms take three rows.

        Its norms take two differences and a constant together; like its other squares they lie inside the image. It
        has one channel of units. Its kernels start near the usual operators: a pixel's distance to the observation,
        differences, and the Laplacian; what they weigh, the blur, and what the mask does is left to training.
        """
        quadratic = Conv(4, 5, per_position=True), Conv(8, 3, padding=0)
        norm = Conv(12, 2, group=3, padding=0)
        settings: dict[str, Any] = {"context_channels": 2, "context": "partial", "generator": draw}
        model = ConvSOCICNN(self.shape, (1,), quadratic, (norm,), **settings)
        skips = _skips(model)
        with torch.no_grad():
            distances, curvatures, lengths = *model.A, model.C[0]
            for kernel_, share in ((distances, 0.1), (skips["e1"], 0.1), (lengths, 0.1), (curvatures, 0.3)):
                kernel_.mul_(share)
            distances[:, 0, 2, 2] += 0.3
            skips["e1"][:, 0, 1, 1] -= 0.4  # the observation has about four thirds of the deviation of x
            skips["beta1"][:, 1, 1, 1] += 0.3
            lengths[0::3, 0] += 0.7 * torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
            lengths[1::3, 0] += 0.7 * torch.tensor([[-1.0, 1.0], [0.0, 0.0]])
            curvatures[0::2, 0] += 0.3 * torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
        return model

    def module_by_hand(self) -> ConvSOCICNN:
        """Return the module that equals the energy for every context, without a hidden layer.

        The mask is the weight per position of the fidelity, the observation its offset. A Laplacian has one kernel
        wherever a pixel has the same neighbours, and a norm wherever it has the same differences: each such kernel is a
        branch, whose weight per position is one there and zero elsewhere.
        """
        side = self.side
        ends = [(row, column) for row in range(3) for column in range(3)]  # first, inner or last
        corners = [(row, column) for row in range(2) for column in range(2)]  # inner or last
        quadratic = [Conv(1, 5, per_position=True), *[Conv(1, 3, per_position=True) for _ in ends]]
        norm = [Conv(3, 2, group=3, per_position=True) for _ in corners]
        settings: dict[str, Any] = {"readout": "relu", "dtype": torch.float64}
        model = ConvSOCICNN(self.shape, (), quadratic, norm, context_channels=2, **settings)
        place = np.minimum(np.arange(side), 1) + (np.arange(side) == side - 1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            fields: Any = model.vectors
            starts = dict(zip(fields.names, fields.start.split(fields.rows), strict=True))
            skips = _skips(model)
            model.A[0].copy_(torch.from_numpy(kernel())[None, None])
            skips["e1"][0, 0, 1, 1] = -1.0
            skips["beta1"][0, 1, 1, 1] = 0.5
            for m, (row, column) in enumerate(ends, start=1):
                A = model.A[m][0, 0]
                A[0, 1], A[2, 1], A[1, 0], A[1, 2] = (
                    -1.0 * (row > 0),
                    -1.0 * (row < 2),
                    -1.0 * (column > 0),
                    -1.0 * (column < 2),
                )
                A[1, 1] = -A.sum()
                here = np.outer(place == row, place == column)
                fields.placed[f"beta{m + 1}"].copy_(torch.from_numpy(LAPLACE / 2 * here)[None])
            for r, (row, column) in enumerate(corners):
                C = model.C[r][:, 0]
                C[0, 1, 0], C[0, 0, 0] = 1.0 - row, row - 1.0
                C[1, 0, 1], C[1, 0, 0] = 1.0 - column, column - 1.0
                starts[f"d{r + 1}"][2] = np.sqrt(ROUNDING)
                here = np.outer((place == 2) == row, (place == 2) == column)
                fields.placed[f"gamma{r + 1}"].copy_(torch.from_numpy(VARIATION * here)[None])
        return model

    def quality(self, x: Array, clean: Tensor) -> dict[str, float]:
        """Return peak signal-to-noise ratio in dB, and structural similarity (scikit-image)."""
        from skimage import metrics

        pairs = list(zip(clean.numpy(), x.reshape(-1, self.side, self.side), strict=True))
        return {
            "psnr": float(np.mean([metrics.peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs])),
            "ssim": float(np.mean([metrics.structural_similarity(a, b, data_range=1) for a, b in pairs])),
        }

    def classical(self, theta: Tensor) -> dict[str, Array]:
        """Return the observations, and scikit-image's total variation after its inpainting of the gaps."""
        from skimage import restoration

        observed, mask = theta.double().numpy().transpose(1, 0, 2, 3)
        filled = [restoration.inpaint_biharmonic(y, m == 0) for y, m in zip(observed, mask, strict=True)]
        smooth = [restoration.denoise_tv_chambolle(image, weight=0.1) for image in filled]
        count = len(observed)
        variation = np.clip(np.array(smooth).reshape(count, -1), self.lower, self.upper)
        return {"observed": np.clip(observed.reshape(count, -1), self.lower, self.upper), "total variation": variation}


def _skips(model: ConvSOCICNN) -> dict[str, Tensor]:
    """Return the kernels by which the context enters each vector of a network."""
    fields: Any = model.vectors
    return dict(zip(fields.names, fields.skip.split(fields.rows), strict=True))
