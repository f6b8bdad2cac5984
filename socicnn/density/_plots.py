"""A density in one or two dimensions as a figure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from socicnn._figures import new_figure
from socicnn._files import replacing
from socicnn._frames import refuse_other_columns
from socicnn.density._base import Density
from socicnn.density._points import as_tensor, box_ends
from socicnn.density._rule import Rule
from socicnn.errors import ModelError

CELLS = {1: 800, 2: 120}  # points per axis
SHOWN = 2000  # points drawn at most
BINS = 60  # of the histogram


@torch.no_grad()
def plot(
    density: Density,
    path: str | os.PathLike[str],
    lower: float | Sequence[float],
    upper: float | Sequence[float],
    *,
    rule: Rule | None = None,
    points: Any = None,
) -> None:
    """Draw p on a box and write the figure: a curve in one dimension, filled contours in two.

    An `UnreliableEstimate` warning is given where the error of log Z cannot be believed.

    Args:
        density: a finalised energy or flow.
        path: the file; its ending names the format, e.g. `.png`, `.pdf`.
        lower: least coordinates of the box; a number in one dimension.
        upper: largest coordinates; the same.
        rule: the rule for log Z; None for a density that needs none.
        points: points to draw over it, e.g. the data, shape `(count, n)`: a histogram in one dimension, whose bars
            have the share of all points as area, the first 2,000 as dots in two.

    Raises:
        ModelError: more than two dimensions, an empty box, or invalid points.
        FileError: the file cannot be written.
        MissingExtra: matplotlib is not installed.
    """
    n = density.features
    if n not in CELLS:
        raise ModelError(f"a plot shows one or two dimensions; the density has {n}")
    low, high = box_ends(lower, upper, n)
    refuse_other_columns(density.ranges, "x", points, "points")
    shown = None if points is None else as_tensor(points, n, dtype=torch.float64, device="cpu").numpy()
    axes = [torch.linspace(a, b, CELLS[n], dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    x = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, n)
    p = _values(density, x, rule).reshape([CELLS[n]] * n).numpy()
    figure = new_figure(5.5, 4.0)
    panel: Any = figure.add_subplot()
    if n == 1:
        if shown is not None:
            # `density=True` would share all the mass among the points on the box
            width = (high[0] - low[0]) / BINS
            each = np.full(len(shown), 1 / (len(shown) * width))
            panel.hist(shown[:, 0], BINS, range=(low[0], high[0]), weights=each, color="0.8", label="points")
        panel.plot(axes[0], p, label="density")
        panel.set(xlabel="x", ylabel="p(x)", xlim=(low[0], high[0]), ylim=(0, None))
        panel.legend()
    else:
        image = panel.contourf(axes[0], axes[1], p.T, levels=30)
        figure.colorbar(image, ax=panel, label="p(x)")
        if shown is not None:
            panel.scatter(*shown[:SHOWN].T, s=2, color="white", alpha=0.5)
        panel.set(xlabel="x1", ylabel="x2", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    with replacing(path) as draft:
        figure.savefig(draft, dpi=150)


def _values(density: Density, x: Tensor, rule: Rule | None) -> Tensor:
    """Return p at points, in float64."""
    network = density.network
    parts: list[Tensor] = []
    for part in x.to(dtype=network.dtype, device=network.device).split(8192):
        values, log_z = density.likelihoods(part, rule)
        if not parts:  # the same for all parts
            log_z.warn()
        parts.append((-values.double() - log_z.value).exp().cpu())
    return torch.cat(parts)
