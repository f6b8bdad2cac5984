"""Networks that are convex in x: dense, convolutional and recurrent, with or without a context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

if TYPE_CHECKING:
    from socicnn.nn.convolutional import ConvSOCICNN as ConvSOCICNN
    from socicnn.nn.feedforward import ICNN as ICNN
    from socicnn.nn.feedforward import SOCICNN as SOCICNN
    from socicnn.nn.geometry import AveragePool as AveragePool
    from socicnn.nn.geometry import Conv as Conv
    from socicnn.nn.kinds import NETWORKS as NETWORKS
    from socicnn.nn.network import Network as Network
    from socicnn.nn.options import NetOptions as NetOptions
    from socicnn.nn.recurrent import RecurrentSOCICNN as RecurrentSOCICNN
    from socicnn.nn.storage import load as load
    from socicnn.nn.storage import load_metadata as load_metadata
    from socicnn.nn.storage import save as save
    from socicnn.positivity.initial import DyingUnits as DyingUnits

__all__ = face(
    __name__,
    {
        "NETWORKS": "socicnn.nn.kinds",
        "AveragePool": "socicnn.nn.geometry",
        "Conv": "socicnn.nn.geometry",
        "ConvSOCICNN": "socicnn.nn.convolutional",
        "DyingUnits": "socicnn.positivity.initial",
        "ICNN": "socicnn.nn.feedforward",
        "NetOptions": "socicnn.nn.options",
        "Network": "socicnn.nn.network",
        "RecurrentSOCICNN": "socicnn.nn.recurrent",
        "SOCICNN": "socicnn.nn.feedforward",
        "load": "socicnn.nn.storage",
        "load_metadata": "socicnn.nn.storage",
        "save": "socicnn.nn.storage",
    },
)
