"""The bias-channel equation: how long a weight takes to leave the shoulder, over the noise of the slack channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from socicnn._arrays import Array
from socicnn.errors import ModelError


@dataclass(frozen=True, eq=False)
class Escape:
    """First passages, one row a noise.

    Args:
        sigma_jac: noise of the slack channel, shape `(noises,)`.
        times: first time past the absorbing point, inf if the run ended before, shape `(noises, replicates)`.
        start: where every replicate starts.
        absorbing: the absorbing point.
    """

    sigma_jac: Array
    times: Array
    start: float
    absorbing: float

    @property
    def rate(self) -> Array:
        """Share of the replicates that escaped, shape `(noises,)`."""
        return np.isfinite(self.times).mean(axis=1)

    @property
    def mean_time(self) -> Array:
        """Mean first-passage time of those that escaped, NaN if none did, shape `(noises,)`."""
        out = np.isfinite(self.times)
        total = np.where(out, self.times, 0.0).sum(axis=1)
        return np.divide(total, out.sum(axis=1), out=np.full(len(total), np.nan), where=out.any(axis=1))

    @property
    def envelope(self) -> Array:
        """(w_s - w_0)^2 / sigma_jac^2, the idealised diffusive time."""
        with np.errstate(divide="ignore"):
            return (self.absorbing - self.start) ** 2 / self.sigma_jac**2


def simulate_escape(
    sigma_jac: Sequence[float] | Array,
    generator: np.random.Generator,
    *,
    sigma_obj: float = 1.0,
    start: float = -16.0,
    absorbing: float = -13.82,
    replicates: int = 256,
    steps: int = 20_000,
    time_step: float = 1.0,
) -> Escape:
    """Simulate dw = -psi'(w) sigma_obj dW1 + sigma_jac dW2 by Euler and Maruyama, all noises and replicates at once.

    psi = softplus, so that psi' is 1e-7 at the start: without the second term nothing moves. The two noises are
    independent, so that their sum is drawn as one normal of variance psi'(w)^2 sigma_obj^2 + sigma_jac^2.

    Args:
        sigma_jac: noises of the slack channel, >= 0; 0 is direct softplus.
        generator: source of the noise.
        sigma_obj: noise of the objective's gradient, >= 0.
        start: w at time 0, below `absorbing`.
        absorbing: the point past which a replicate has escaped.
        replicates: replicates per noise.
        steps: steps of each.
        time_step: time of one step.

    Raises:
        ModelError: a noise is negative or not finite, or the start is not below the absorbing point.

    >>> found = simulate_escape([0.0, 0.1], np.random.default_rng(0), steps=1000)
    >>> found.rate.tolist()[0], bool(found.rate[1] > 0.3)
    (0.0, True)
    """
    sigma = np.asarray(sigma_jac, dtype=np.float64).reshape(-1, 1)
    if not np.isfinite(sigma).all() or (sigma < 0).any() or not 0 <= sigma_obj < np.inf:
        raise ModelError("sigma_jac and sigma_obj must be finite and >= 0")
    if not start < absorbing:
        raise ModelError(f"the start must lie below the absorbing point; received {start} and {absorbing}")
    w = np.full((len(sigma), replicates), start)
    times = np.full(w.shape, np.inf)
    inside = np.ones(w.shape, dtype=bool)
    root = np.sqrt(time_step)
    for step in range(1, steps + 1):
        slope = 1.0 / (
            1.0 + np.exp(-np.minimum(w, 0.0))
        )  # what has escaped is not followed; its w only must not overflow
        w += root * np.sqrt((slope * sigma_obj) ** 2 + sigma**2) * generator.standard_normal(w.shape)
        out = inside & (w >= absorbing)
        times[out] = step * time_step
        inside &= ~out
        if not inside.any():
            break
    return Escape(sigma[:, 0], times, start, absorbing)
