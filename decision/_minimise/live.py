"""The units that f depends on; searches and proofs leave out all others.

A unit that is read out with weight zero in every context adds exactly nothing to f, and neither does a unit that only
such units read. Weights that training cuts at zero leave many: a softplus network of 288 and 288 units kept 184 and 12.
Layers with terms inside are kept whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from torch import Tensor

from decision._minimise.linear_map import Map
from decision._minimise.stack import Stack, StackLayer
from socicnn._arrays import IntArray
from socicnn.frozen import FrozenNet, Layer


@final
@dataclass(frozen=True, eq=False)
class LiveUnits:
    """Units of each layer, and the matrices between them.

    Args:
        places: numbers of the units of each layer; at least one, live or not.
        maps: W and U of each layer.
        kept: what is computed once for these matrices.
    """

    places: tuple[IntArray, ...]
    maps: tuple[tuple[Map | None, Map | None], ...]
    kept: dict[Any, Any]

    @classmethod
    def of(cls, stack: Stack) -> LiveUnits | None:
        """Return the live units of a stack; None if all are."""
        if not stack.layers:
            return None
        read = (stack.w != 0).any(dim=0).cpu().numpy()
        last = stack.kept.get("live")  # one alone, as other contexts may read other units again and again
        if last is None or last[0] != read.tobytes():
            last = stack.kept["live"] = read.tobytes(), cls._of(stack.layers, read)
        known: LiveUnits | None = last[1]
        return known

    @classmethod
    def _of(cls, layers: tuple[StackLayer, ...], read: Any) -> LiveUnits | None:
        places: list[IntArray] = []
        for layer in reversed(layers):
            whole = bool(layer.inner)
            places.insert(0, np.arange(len(read)) if whole else read.nonzero()[0] if read.any() else np.arange(1))
            if layer.W is not None:
                read = layer.W.reads(places[0])
        if all(len(some) == layer.b.shape[1] for some, layer in zip(places, layers, strict=True)):
            return None
        maps = []
        for k, layer in enumerate(layers):
            W = layer.W and layer.W.part(places[k], places[k - 1])
            maps.append((W, layer.U and layer.U.part(places[k])))
        return cls(tuple(places), tuple(maps), {})

    def stack(self, stack: Stack) -> Stack:
        """Return a stack of these units alone."""

        def cut(values: Tensor, some: IntArray) -> Tensor:
            return values if len(some) == values.shape[-1] else values[..., some]

        layers = []
        for layer, some, (W, U) in zip(stack.layers, self.places, self.maps, strict=True):
            tau = layer.smoothing
            tau = cut(tau, some) if isinstance(tau, Tensor) else tau
            layers.append(replace(layer, W=W, U=U, b=cut(layer.b, some), smoothing=tau))
        return replace(stack, layers=tuple(layers), w=cut(stack.w, self.places[-1]), kept=self.kept)

    def net(self, net: FrozenNet) -> FrozenNet:
        """Return frozen networks of these units alone."""
        layers: list[Layer] = []
        below: Any = slice(None)
        for layer, some in zip(net.layers, self.places, strict=True):
            W = layer.W[some][:, below]
            if layer.inner:
                layers.append(layer.changed(W=W))
            else:
                tau = layer.smoothing[some] if layer.smoothing.ndim else layer.smoothing
                layers.append(Layer(W, layer.U[some], layer.b[..., some], smoothing=tau))
            below = some
        return replace(net, layers=layers, output=net.output.changed(w=net.output.w[..., self.places[-1]]))
