"""Trajectories of T steps with p coordinates, their energy, and smoothers to compare with.

E(u; r) = 1/2 mean (u - r)^2 + 0.20/2 mean (u_{t+1} - 2 u_t + u_{t-1})^2
          + 0.18 mean_t sqrt(||u_t - u_{t-1}||^2 + 1e-5) + 0.02/2 mean u^2,   u in [-1, 1]^(T x p)

Means are over what there is: T p entries, (T - 2) p second differences, T - 1 steps. The reference r is sinusoids, a
slow drift and steps (Liu and Hu, 2026, appendix D.6); here with noise of standard deviation 0.05 on it, so that there
is something to smooth.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, final

import numpy as np
import torch
from scipy import sparse
from scipy.linalg import solveh_banded
from torch import Tensor

from experiments.energies.problem import Problem, Split, Steps
from socicnn._arrays import Array
from socicnn.frozen import FrozenNet, Norm, Output, Quadratic
from socicnn.nn import Conv, RecurrentSOCICNN

CURVATURE, SWITCHING, MAGNITUDE, ROUNDING = 0.20, 0.18, 0.02, 1e-5
NOISE = 0.05
CANDIDATES = 14
DENSE = 600
UNITS, PATIENCE = 1, 4  # of `shaped`, by the choice in choice.py
SEED = 0


def trajectories(count: int, T: int, p: int, draw: np.random.Generator) -> Array:
    """Return clean trajectories `(count, T, p)`: two sinusoids, a drift and up to three steps, kept in [-1, 1]."""
    time = np.linspace(0, 1, T)[:, None]
    shape = (count, 1, p)
    r = np.zeros((count, T, p))
    for periods in ((0.5, 2.0), (2.0, 5.0)):
        frequency, phase = draw.uniform(*periods, shape), draw.uniform(0, 2 * np.pi, shape)
        r += draw.uniform(0.1, 0.4, shape) * np.sin(2 * np.pi * frequency * time + phase)
    r += draw.uniform(-0.4, 0.4, shape) * (time - 0.5)
    for _ in range(3):
        start, height = draw.uniform(0.1, 0.9, shape), draw.normal(0, 0.2, shape)
        r += height * (time > start) * (draw.random(shape) < 0.6)
    return np.clip(r, -1, 1)


def averaged(r: Array, width: int) -> Array:
    """Return moving averages over time, `width` steps, the ends repeated."""
    padded = np.pad(r, ((0, 0), (width // 2, width // 2), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, width, axis=1).mean(axis=-1)


def candidates(r: Array, draw: np.random.Generator) -> Array:
    """Return 14 candidates of each reference: itself, zero, averages, noisy and random ones, and mixtures."""
    noisy = [r + deviation * draw.standard_normal(r.shape) for deviation in (0.05, 0.15, 0.4)]
    smooth = [averaged(r, width) for width in (3, 5, 9)]
    random = [draw.uniform(-1, 1, r.shape) for _ in range(2)]
    shares = draw.random((4, len(r), 1, 1))
    mixed = [
        shares[0] * r + (1 - shares[0]) * smooth[1],
        shares[1] * smooth[0] + (1 - shares[1]) * smooth[2],
        shares[2] * r + (1 - shares[2]) * random[0],
        shares[3] * smooth[1] + (1 - shares[3]) * noisy[2],
    ]
    every = [r, np.zeros_like(r), *smooth, *noisy, *random, *mixed]
    return np.clip(np.stack(every, axis=1), -1, 1)


@final
class Smoothing(Problem):
    """Smoothing of trajectories.

    Args:
        T: steps.
        sizes: number of training, validation and test references.
        units: hidden units of `shaped`.
    """

    p = 4
    lower, upper = -1.0, 1.0
    steps = Steps(rate=0.04, steps=400, restarts=4)
    together = 50
    # over 40 layers of ReLU units alone the interior-point method stops short, and its iterations are lost
    methods = MappingProxyType({"relu": "exact"})
    patience = PATIENCE

    def __init__(self, T: int, sizes: tuple[int, int, int], units: int = UNITS) -> None:
        self.T, self.sizes, self.units = T, sizes, units
        self.shape = self.context_shape = (T, self.p)
        self.batch = max(1, 1200 // CANDIDATES)
        if self.n > DENSE:  # a solver of sparse programs then, as Newton's method here has dense systems
            self.method = "exact"

    def splits(self) -> tuple[Split, Split, Split]:
        """Return training, validation and test data."""
        train, validation, test = (self._split(count, (SEED, place)) for place, count in enumerate(self.sizes))
        return train, validation, test

    def _split(self, count: int, seed: tuple[int, int]) -> Split:
        draw = np.random.default_rng(seed)
        clean = trajectories(count, self.T, self.p, draw)
        r = np.clip(clean + NOISE * draw.standard_normal(clean.shape), -1, 1)
        x, theta = torch.from_numpy(candidates(r, draw)), torch.from_numpy(r)
        return Split(x, theta, self.energy(x, theta[:, None]), torch.from_numpy(clean))

    def energy(self, x: Tensor, theta: Tensor) -> Tensor:
        """Return E."""
        u, steps = x, x.diff(dim=-2)
        value = (u - theta).square().mean(dim=(-1, -2)) / 2 + MAGNITUDE / 2 * u.square().mean(dim=(-1, -2))
        value = value + CURVATURE / 2 * steps.diff(dim=-2).square().mean(dim=(-1, -2))
        return value + SWITCHING * (steps.square().sum(dim=-1) + ROUNDING).sqrt().mean(dim=-1)

    def _differences(self) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Return first and second differences as matrices on the flattened trajectory."""
        T, eye = self.T, sparse.eye_array(self.p)
        first = sparse.diags_array([-np.ones(T - 1), np.ones(T - 1)], offsets=[0, 1], shape=(T - 1, T))
        second = sparse.diags_array(
            [np.ones(T - 2), -2 * np.ones(T - 2), np.ones(T - 2)], offsets=[0, 1, 2], shape=(T - 2, T)
        )
        return sparse.csr_array(sparse.kron(first, eye)), sparse.csr_array(sparse.kron(second, eye))

    def program(self) -> tuple[Any, Any, Any]:
        """Return the exact second-order cone program."""
        import cvxpy as cp

        n, D1, D2 = self.n, *self._differences()
        x, r = cp.Variable(n), cp.Parameter(n)
        steps = cp.reshape(D1 @ x, (self.T - 1, self.p), order="C")
        lengths = cp.norm(cp.hstack([steps, np.full((self.T - 1, 1), np.sqrt(ROUNDING))]), 2, axis=1)
        cost = (cp.sum_squares(x - r) + MAGNITUDE * cp.sum_squares(x)) / (2 * n)
        cost += CURVATURE / (2 * D2.shape[0]) * cp.sum_squares(D2 @ x) + SWITCHING / (self.T - 1) * cp.sum(lengths)

        def set_context(theta: Array) -> None:
            r.value = theta.ravel()

        return cp.Problem(cp.Minimize(cost), [x >= self.lower, x <= self.upper]), x, set_context

    def by_hand(self, theta: Array) -> FrozenNet:
        """Return the energy at reference `theta` as three quadratics and the norms of T - 1 groups."""
        n, D1, D2 = self.n, *self._differences()
        rows = sparse.kron(
            sparse.eye_array(self.T - 1), sparse.eye_array(self.p + 1, self.p)
        )  # a row more in each group
        offset = np.zeros((self.T - 1, self.p + 1))
        offset[:, -1] = np.sqrt(ROUNDING)
        eye = sparse.eye_array(n, format="csr")
        quadratics = [
            Quadratic(1 / (2 * n), eye, -np.ravel(theta)),
            Quadratic(MAGNITUDE / (2 * n), eye),
            Quadratic(CURVATURE / (2 * D2.shape[0]), D2),
        ]
        norms = [Norm(SWITCHING / (self.T - 1), sparse.csr_array(rows @ D1), offset.ravel(), self.p + 1)]
        return FrozenNet([], Output(np.zeros(0), np.zeros(n), 0.0), quadratics, norms, self.shape)

    @property
    def branches(self) -> tuple[Conv, Conv]:
        """24 temporal channels of 5, and 12 groups of 2."""
        return Conv(24, 5), Conv(24, 5, group=2)

    def network(self, quadratic: tuple[Conv, ...], norm: tuple[Conv, ...], **settings: Any) -> RecurrentSOCICNN:
        """Return a recurrent network of 20 hidden units."""
        return RecurrentSOCICNN(self.shape, 20, quadratic, norm, context_channels=self.p, **settings)

    def shaped(self, draw: torch.Generator) -> RecurrentSOCICNN:
        """Return a network of few units whose norms take the p differences of a step and a constant together."""
        branches = (Conv(24, 5),), (Conv(4 * (self.p + 1), 3, group=self.p + 1),)
        return RecurrentSOCICNN(
            self.shape, self.units, *branches, context_channels=self.p, context="joint", generator=draw
        )

    def module_by_hand(self) -> RecurrentSOCICNN:
        """Return the module that equals the energy for every context; its recurrence is switched off."""
        p, T = self.p, self.T
        quadratic, norm = (Conv(p, 1), Conv(p, 1), Conv(p, 3, padding=0)), (Conv(p + 1, 2, padding=0, group=p + 1),)
        settings: dict[str, Any] = {"context": "joint", "positivity": "projected", "dtype": torch.float64}
        model = RecurrentSOCICNN((T, p), 1, quadratic, norm, context_channels=p, **settings)
        vectors: Any = model.vectors
        eye, weights = torch.eye(p, dtype=torch.float64), (0.5, MAGNITUDE / 2, CURVATURE / 2)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            distance, size, curvature = (branch.kernel for branch in model.quadratics)
            for kernel, taps in ((distance, (1.0,)), (size, (1.0,)), (curvature, (1.0, -2.0, 1.0))):
                kernel.copy_(eye[..., None] * torch.tensor(taps, dtype=torch.float64))
            vectors.Theta["e1"].copy_(-eye[..., None])
            step = model.norms[0].kernel
            step[:p] = eye[..., None] * torch.tensor((-1.0, 1.0), dtype=torch.float64)
            vectors.plain.free["d1"][p] = np.sqrt(ROUNDING)
            vectors.plain.positive["beta"].theta.copy_(torch.tensor(weights, dtype=torch.float64))
            vectors.plain.positive["gamma"].theta.fill_(SWITCHING)
        return model

    def quality(self, x: Array, clean: Tensor) -> dict[str, float]:
        """Return the peak signal-to-noise ratio in dB; the range of the signal is 2."""
        errors = ((x - clean.reshape(len(x), -1).numpy()) ** 2).mean(axis=1)
        return {"psnr": float((10 * np.log10(4 / errors)).mean())}

    def classical(self, theta: Tensor) -> dict[str, Array]:
        """Return the references as they are, and Kalman-smoothed ones, clipped to the box.

        The smoother of a doubly integrated random walk, its noises matched to the weights of the energy, minimises the
        energy without its norms (Rauch, Tung, Striebel, 1965): one banded solve.
        """
        n, second = self.n, self._differences()[1]
        H = (sparse.eye_array(n) * (1 + MAGNITUDE) / n + CURVATURE / second.shape[0] * (second.T @ second)).todense()
        width = 2 * self.p
        bands = np.zeros((width + 1, n))
        for k in range(width + 1):
            bands[k, : n - k] = np.diagonal(H, -k)
        observed = theta.double().reshape(-1, n).numpy()
        smoothed = solveh_banded(bands, observed.T / n, lower=True).T
        return {"observed": observed, "kalman": np.clip(smoothed, self.lower, self.upper)}
