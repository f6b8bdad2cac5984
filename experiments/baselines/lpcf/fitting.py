"""Fits by lpcf: standardised data go to a process of its environment, weights come back as `LPCF`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from decision.tasks import Data
from experiments.baselines.lpcf.function import LPCF, LPCFSettings
from experiments.baselines.lpcf.process import call
from socicnn._arrays import Array, as_float64
from socicnn.errors import ModelError


@final
@dataclass(frozen=True)
class Fit:
    """One fit to be made.

    Args:
        data: labelled candidates.
        settings: how.
        seed: of lpcf's random weights.
        share_matrices: with one context, whether its matrices are emitted once rather than for every point: the same
            fit but for rounding, in about a tenth of the time, which is then not lpcf's own.

    Raises:
        ModelError: shared matrices with several contexts.
    """

    data: Data
    settings: LPCFSettings
    seed: int = 0
    share_matrices: bool = False

    def __post_init__(self) -> None:
        if self.share_matrices and self.data.x.shape[0] != 1:
            raise ModelError(f"matrices are the same in one context only; received {self.data.x.shape[0]} contexts")


def fit_each(
    fits: Sequence[Fit], *, python: str | os.PathLike[str] | None = None, timeout: float | None = None
) -> list[LPCF]:
    """Make several fits in one process of lpcf's environment; choose among them on validation data.

    x, theta and y are standardised first; y by its deviation within contexts where that is what the loss sees.

    Args:
        fits: what is to be fitted.
        python: Python of lpcf's environment, as `lpcf_process.interpreter` finds it.
        timeout: seconds for all of them.

    Raises:
        MissingExtra: lpcf's environment is missing.
        SolverError: lpcf failed.
    """
    arrays: dict[str, Array] = {}
    asked, units = [], []
    for f, fit in enumerate(fits):
        scales, points = _standardised(fit)
        units.append(scales)
        arrays |= {f"{f}_{name}": values for name, values in points.items()}
        options = {"adam_epochs": fit.settings.adam_epochs, "lbfgs_epochs": fit.settings.lbfgs_epochs}
        asked.append(
            {
                "shape": fit.settings.shape(),
                "seed": fit.seed,
                "within_context": fit.settings.loss == "within_context",
                "share_matrices": fit.share_matrices,
                "candidates": fit.data.x.shape[1],
                "argmin_penalty": fit.settings.argmin_penalty,
                "options": {**options, "rho_th": fit.settings.rho},
            }
        )
    outputs = call("fit", arrays, {"fits": asked}, python=python, timeout=timeout)
    return [
        LPCF(fit.settings, [outputs[f"{f}_{w}"] for w in range(fit.settings.arrays)], units[f], outputs[f"{f}_seconds"])
        for f, fit in enumerate(fits)
    ]


def fit_lpcf(
    data: Data,
    settings: LPCFSettings | None = None,
    *,
    seed: int = 0,
    share_matrices: bool = False,
    python: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
) -> LPCF:
    """Fit lpcf to labelled candidates: `fit_each` for one fit."""
    return fit_each([Fit(data, settings or LPCFSettings(), seed, share_matrices)], python=python, timeout=timeout)[0]


def _standardised(fit: Fit) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return means and scales, and the points that lpcf sees, one row a labelled point."""
    contexts, candidates, n = fit.data.x.shape
    x, theta, y = (as_float64(part) for part in (fit.data.x.reshape(-1, n), fit.data.context, fit.data.y))
    within = fit.settings.loss == "within_context"
    spread = (y - y.mean(axis=1, keepdims=True)).std() if within else y.std()
    units = {**_units("x", x), **_units("theta", theta), "y_mean": y.mean(), "y_scale": spread if spread > 0 else 1.0}
    x, theta = (x - units["x_mean"]) / units["x_scale"], (theta - units["theta_mean"]) / units["theta_scale"]
    best = x.reshape(contexts, candidates, n)[np.arange(contexts), y.argmin(axis=1)]
    return units, {
        "x": x,
        "theta": np.repeat(theta, candidates, axis=0),
        "y": ((y - units["y_mean"]) / units["y_scale"]).reshape(-1),
        "best": np.repeat(best, candidates, axis=0),
    }


def _units(name: str, rows: Array) -> dict[str, Array]:
    scale = rows.std(axis=0)
    return {f"{name}_mean": rows.mean(axis=0), f"{name}_scale": np.where(scale > 0, scale, 1.0)}
