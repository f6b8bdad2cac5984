"""Whether the deeper units of a fresh network are on anywhere."""

from __future__ import annotations

import warnings

import torch

from socicnn.errors import DyingUnits
from socicnn.nn._network import Network
from socicnn.positivity._initial import normal

PROBES = 256  # standard normal points at which units are counted
LEAST_ACTIVE = 0.1  # share of active (unit, point) pairs in a layer below which its units count as dying


@torch.no_grad()
def warn_if_units_die(model: Network) -> None:
    """Warn where a later layer is active at less than 10 % of standard normal points (at context zero).

    The points come from a generator of their own, so that the network's stays where it is.
    """
    if model.needs_data or model.device.type == "meta":
        return  # no weights yet
    x = normal((PROBES, *model.input_shape), torch.Generator().manual_seed(0)).to(model.device, model.dtype)
    context = None if model.context_shape is None else torch.zeros((1, *model.context_shape)).to(x)
    for k, z in enumerate(model.hidden(x, model.vectors(context))[1:], start=2):
        share = float((z != 0).double().mean())  # leaky and maxout units are on below zero, too
        if share < LEAST_ACTIVE:
            warnings.warn(
                f"layer {k} starts with {share:.0%} of its units active: without passthrough the signal dies out with "
                "depth; set passthrough=True, use fewer layers or another initialiser",
                DyingUnits,
                stacklevel=3,
            )
            return
