"""The diagnostics as figures: each function draws one and writes it to a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from socicnn._arrays import Array
from socicnn._figures import new_figure
from socicnn._files import replacing
from socicnn.positivity.diagnostics._escape import Escape
from socicnn.positivity.diagnostics._landscape import Slice
from socicnn.positivity.diagnostics._shoulder import ShoulderStatistics


def draw_slice(landscape: Slice, path: str | os.PathLike[str], trajectories: Mapping[str, Array] | None = None) -> None:
    """Draw the loss on a plane, the centre as a star, and trajectories of shape `(points, 2)` by label."""
    figure = new_figure(5.5, 4.5)
    axes = figure.add_subplot()
    least = np.nanmin(landscape.loss) if np.isfinite(landscape.loss).any() else np.nan
    height = np.ma.masked_invalid(np.log10(landscape.loss - least + 1e-3))
    image = axes.contourf(landscape.alphas, landscape.betas, height.T, levels=30)
    figure.colorbar(image, ax=axes, label="log10(loss - least + 0.001)")
    for label, points in (trajectories or {}).items():
        axes.plot(points[:, 0], points[:, 1], marker="o", markersize=3, linewidth=1, label=label)
    axes.plot([0], [0], marker="*", markersize=14, color="gold", markeredgecolor="black", linestyle="none")
    axes.set(xlabel="alpha", ylabel="beta", xlim=_ends(landscape.alphas), ylim=_ends(landscape.betas))
    if trajectories:
        figure.legend(loc="outside lower center", ncols=len(trajectories))  # inside it would hide a path
    _write(figure, path)


def draw_shoulder(runs: Mapping[str, ShoulderStatistics], path: str | os.PathLike[str]) -> None:
    """Draw occupancy and leave rate over the steps, one line per label, the dwell fraction in the label."""
    figure = new_figure(9, 3.5)
    left, right = figure.subplots(1, 2)
    for label, statistics in runs.items():
        left.plot(statistics.steps, statistics.occupancy, label=f"{label} (dwell {statistics.dwell:.2f})")
        right.plot(statistics.steps, statistics.leave, label=label)
    left.set(xlabel="step", ylabel="share in the shoulder")
    right.set(xlabel="step", ylabel="leave rate between snapshots")
    left.legend()
    _write(figure, path)


def draw_escape(escape: Escape, path: str | os.PathLike[str]) -> None:
    """Draw escape rate and mean first-passage time over the noise, with the diffusive envelope."""
    figure = new_figure(9, 3.5)
    left, right = figure.subplots(1, 2)
    left.semilogx(escape.sigma_jac, escape.rate, marker="o")
    left.set(xlabel="sigma_Jac", ylabel="escape rate")
    right.loglog(escape.sigma_jac, escape.mean_time, marker="o", label="escaped replicates")
    right.loglog(escape.sigma_jac, escape.envelope, linestyle="--", color="gray", label="(w_s - w_0)^2 / sigma_Jac^2")
    right.set(xlabel="sigma_Jac", ylabel="mean first-passage time")
    right.legend()
    _write(figure, path)


def _ends(grid: Array) -> tuple[float, float]:
    return float(grid.min()), float(grid.max())


def _write(figure: Any, path: str | os.PathLike[str]) -> None:
    with replacing(path) as draft:
        figure.savefig(draft, dpi=150)
