"""A network and a maximum of planes, weighted by the rows held out: f = share * network + (1 - share) * planes.

Both are convex, so f is; both increase where they are told to, so f does. The share is least squares on the rows held
out, drawn towards one half, since few rows say little.

Source: Breiman, Stacked regressions, 1996.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from socicnn._arrays import Array
from socicnn.nn import SOCICNN
from socicnn.regression._planes import StandardRows, planes_along
from socicnn.regression._with_planes import with_planes
from socicnn.training import Data

COUNTS = (1, 2, 3, 5, 8, 12)  # numbers of planes tried
RIDGES = (0.3, 0.1, 0.03, 1e-3)  # in units of the error of the network on the rows held out
RESTARTS, FINAL_RESTARTS = 2, 8  # where planes are tried, and where they are kept
FULLEST = 0.8  # numbers in the planes, per row, at most
DRAWN = 0.1  # weight of the share one half, in units of the error there
ALONE = 0.05  # a share nearer to 0 or 1 is 0 or 1


@final
@dataclass(frozen=True, eq=False)
class HeldOut:
    """A network trained without some rows.

    Args:
        train: its rows.
        held: the rows held out.
        values: of the network there.
    """

    train: StandardRows
    held: StandardRows
    values: Array


@torch.no_grad()
def held_out(model: SOCICNN, train: Data, held: Data) -> HeldOut:
    """Return what a trained network comes to on the rows held out, in its standardised units."""
    out = standard_rows(model, held)
    return HeldOut(standard_rows(model, train), out, model.standard_value(torch.from_numpy(out.x)).numpy())


def stacked(model: SOCICNN, trials: Sequence[HeldOut], rows: StandardRows, seed: int) -> SOCICNN:
    """Return a network of all rows together with a maximum of planes, as one network.

    The number of planes, their penalty and the share are those of the least errors on the rows held out. A network or
    planes with a share below 0.05 are left out.

    Args:
        model: the network, trained on all rows.
        trials: networks trained on some of the rows.
        rows: all rows in the standardised units of the network.
        seed: of the partitions that planes start from.
    """
    draw = np.random.RandomState(seed)
    signs = model.signs.signs or (0,) * model.in_features
    counts = [k for k in COUNTS if k * (rows.x.shape[1] + 1) <= FULLEST * min(len(t.train.y) for t in trials)]
    if not counts:
        return model
    level = min(1.0, float(np.mean([entry.held.error(entry.values) for entry in trials])))
    ridges = [strength * level for strength in RIDGES]
    tried = [_tried(entry, counts, ridges, signs, draw) for entry in trials]
    count, ridge = min(tried[0], key=lambda key: sum(t.held.error(v[key]) for t, v in zip(trials, tried, strict=True)))
    share = network_share(trials, [values[count, ridge] for values in tried])
    if share == 1:
        return model
    path = [strength for strength in ridges if strength >= ridge][-2:]
    planes = planes_along(rows, count, path, signs, FINAL_RESTARTS, draw)[-1]
    return with_planes(model, share, planes)


def network_share(trials: Sequence[HeldOut], planes: Sequence[Array]) -> float:
    """Return the share of the network: least squares on the rows held out, drawn towards one half, from 0 to 1."""
    network, other, y, weight = (
        np.concatenate(parts)
        for parts in ([t.values for t in trials], planes, [t.held.y for t in trials], [t.held.weight for t in trials])
    )
    apart = network - other
    prior = DRAWN * float(weight @ (y - (network + other) / 2) ** 2)
    spread = float(weight @ apart**2) + prior
    share = 0.5 if spread <= 0 else (float(weight @ ((y - other) * apart)) + prior / 2) / spread
    return float(np.clip(share, 0, 1)) if ALONE < share < 1 - ALONE else float(share >= 0.5)


def standard_rows(model: SOCICNN, samples: Data) -> StandardRows:
    """Return rows in the standardised units of a network."""
    units = model.standardisation
    y = (samples.y - units.exact_mean("y")) / units.y_scale.double()
    weight = np.ones(len(samples)) if samples.weight is None else samples.weight.numpy()
    return StandardRows(units.exact("x", samples.x).numpy(), y.numpy(), weight / weight.sum())


def _tried(
    entry: HeldOut, counts: Sequence[int], ridges: Sequence[float], signs: Sequence[int], draw: np.random.RandomState
) -> dict[tuple[int, float], Array]:
    """Return the values on the rows held out, for each number of planes and each penalty."""
    return {
        (count, ridge): planes.values(entry.held.x)
        for count in counts
        for ridge, planes in zip(ridges, planes_along(entry.train, count, ridges, signs, RESTARTS, draw), strict=True)
    }
