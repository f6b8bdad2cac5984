"""From what a user lists to the maps of a convolutional network: sizes layer by layer, pools, passthrough, branches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from socicnn._integers import is_integer
from socicnn.errors import ModelError
from socicnn.nn._geometry import AveragePool, Chain, Conv, Convolution, ImageMap, Pooling, Resizing, specified


def layer_spec(entry: Any, argument: str, *, pools: bool = False) -> Conv | AveragePool:
    """Return the spec of an entry; a number of channels is a convolution of kernel 3."""
    return specified(Conv(int(entry)) if is_integer(entry) else entry, argument, pools=pools)


def check_group(spec: Conv, argument: str) -> None:
    """Raise a ModelError where the group of a branch does not divide its channels, or is not for it."""
    grouped = argument in ("norm", "logsumexp")
    if spec.group is not None and (not grouped or spec.group < 1 or spec.channels % spec.group):
        what = f"divide its {spec.channels} channels" if grouped else "be left out: it is for norms"
        raise ModelError(f"group of a {argument} branch must {what}; received {spec.group}")
    if spec.per_position and (argument not in ("quadratic", "norm") or (argument == "norm" and spec.group is None)):
        what = "needs a group: one norm has no positions" if argument == "norm" else "must be left out"
        raise ModelError(f"per_position of a {argument} branch {what}; received {spec}")


def branch_specs(listed: Sequence[Any] | None, argument: str, default: Conv | None = None) -> tuple[Conv, ...]:
    """Return the specs of the branches, the default alone if omitted."""
    if is_integer(listed) or isinstance(listed, Conv):
        raise ModelError(f"{argument} lists the branches, one entry each; received {listed!r}: write ({listed!r},)")
    own = (default,) if default is not None else ()
    specs = own if listed is None else tuple(cast(Conv, layer_spec(entry, argument)) for entry in listed)
    for spec in specs:
        check_group(spec, argument)
    return specs


def stages(
    specs: Sequence[Conv | AveragePool], channels: int, size: tuple[int, ...]
) -> tuple[list[Chain], list[Chain], Chain]:
    """Return the maps of U_1 .. U_L, those of W_2 .. W_L, and the pools that are left for the read-out."""
    U_maps: list[Chain] = []
    W_maps: list[Chain] = []
    pending: list[ImageMap] = []
    start = at = (channels, size)
    for spec in specs:
        width, extent = at
        if isinstance(spec, AveragePool):
            pool = Pooling(spec, width, extent)
            pending.append(pool)
            at = (width, pool.out_size)
            continue
        if spec.group is not None:
            raise ModelError("group of a hidden layer must be left out: it is for norms")
        if spec.per_position:
            raise ModelError("per_position of a hidden layer must be left out: it is for quadratics and norms")
        conv = Convolution(spec, width, extent)
        chain = Chain([*pending, conv], *start)
        if U_maps:
            W_maps.append(chain)
            passed = Convolution(Conv(spec.channels, spec.kernel), channels, conv.out_size)
            chain = Chain([Resizing(channels, size, conv.out_size), passed], channels, size)
        U_maps.append(chain)
        pending, start = [], (conv.out_channels, conv.out_size)
        at = start
    if not U_maps and pending:
        raise ModelError("hidden_features has pools but no layer; leave them out")
    return U_maps, W_maps, Chain(pending, *start)


def with_channels(map_: Chain | Convolution, channels: int) -> Chain | Convolution:
    """Return the same map for images of other channels (those of a context)."""
    if isinstance(map_, Convolution):
        return Convolution(map_.spec, channels, map_.size)
    parts: list[ImageMap] = []
    for part in map_.maps:
        if isinstance(part, Convolution):
            parts.append(Convolution(part.spec, channels, part.size))
        elif isinstance(part, Resizing):
            parts.append(Resizing(channels, part.size, part.out_size))
        else:
            parts.append(Pooling(cast(Pooling, part).spec, channels, part.size))
    return Chain(parts, channels, map_.size)


def repeated(map_: Chain, times: int) -> Chain:
    """Return the same map with several kernels of its own, their output channels one after the other."""
    if times == 1:
        return map_
    parts = [
        Convolution(replace(part.spec, channels=times * part.spec.channels), part.in_channels, part.size)
        if isinstance(part, Convolution)
        else part
        for part in map_.maps
    ]
    return Chain(parts, map_.in_channels, map_.size)


def kernel_shape(map_: Chain | Convolution) -> tuple[int, ...]:
    """Return the shape of the one kernel in a map."""
    return (map_ if isinstance(map_, Convolution) else map_.convolution).kernel_shape


def rows_of_norm(map_: Convolution) -> int:
    """Return how many rows one norm takes together."""
    return map_.spec.group or map_.out_channels * int(np.prod(map_.out_size))
