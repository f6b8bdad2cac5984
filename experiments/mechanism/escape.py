"""The bias-channel equation against its exact law: dw = sigma_Jac dW passes from -16 to -13.82 as a Brownian motion.

Its first-passage time has the law of Levy with scale c = a^2 / sigma^2, a the distance, so that within a time T

    P(tau <= T) = erfc(sqrt(c / (2 T))),
    E[tau; tau <= T] = sqrt(2 c T / pi) exp(-c / (2 T)) - c erfc(sqrt(c / (2 T))).

E[tau] itself is infinite: a mean over those that escaped is a property of T. For large sigma it goes as sigma^-1. A
walk of steps sigma overshoots by 0.5826 sigma in the mean, which the distance is longer by.
"""

from __future__ import annotations

import math

import numpy as np

from experiments.engine.tables import Row
from experiments.mechanism.numbers import rounded
from socicnn.positivity.diagnostics import simulate_escape

DISTANCE = 16 - 13.82
OVERSHOOT = 0.5826  # -zeta(1/2) / sqrt(2 pi), Chernoff (1965)


def exact(sigma: float, time: float) -> tuple[float, float]:
    """Return the escape rate within a time, and the mean time of those that escape.

    >>> rate, mean = exact(0.1, 20_000)
    >>> round(rate, 3), round(mean)
    (0.873, 2105)
    """
    c = ((DISTANCE + OVERSHOOT * sigma) / sigma) ** 2
    rate = math.erfc(math.sqrt(c / (2 * time)))
    total = math.sqrt(2 * c * time / math.pi) * math.exp(-c / (2 * time)) - c * rate
    return rate, total / rate if rate > 0 else math.nan


def escapes(
    law: str, start_from: str, arm: str, *, noises: list[float], seeds: int, steps: int, version: int
) -> list[Row]:
    """Return one row per noise and seed: rate and mean time, simulated and exact.

    Args:
        law: `none`: the equation knows no target.
        start_from: `none`.
        arm: `equation`.
        noises: values of sigma_Jac.
        seeds: runs of 256 replicates.
        steps: steps of each.
        version: goes up when this function changes.
    """
    rows: list[Row] = []
    for seed in range(seeds):
        escape = simulate_escape(noises, np.random.default_rng(seed), steps=steps)
        for sigma, rate, mean, envelope in zip(noises, escape.rate, escape.mean_time, escape.envelope, strict=True):
            wanted = exact(sigma, steps) if sigma else (0.0, math.nan)
            rows.append(
                {
                    "study": "escape",
                    "seed": seed,
                    "sigma": sigma,
                    **rounded(
                        rate=float(rate),
                        time=float(mean),
                        exact_rate=wanted[0],
                        exact_time=wanted[1],
                        envelope=float(envelope) if sigma else math.nan,
                    ),
                }
            )
    return rows
