"""Networks that are convex in x: dense, convolutional and recurrent, with or without a context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

if TYPE_CHECKING:
    from socicnn.nn._convolutional import ConvSOCICNN as ConvSOCICNN
    from socicnn.nn._feedforward import ICNN as ICNN
    from socicnn.nn._feedforward import SOCICNN as SOCICNN
    from socicnn.nn._geometry import AveragePool as AveragePool
    from socicnn.nn._geometry import Conv as Conv
    from socicnn.nn._kinds import NETWORKS as NETWORKS
    from socicnn.nn._network import Network as Network
    from socicnn.nn._onnx_export import to_onnx as to_onnx
    from socicnn.nn._options import NetOptions as NetOptions
    from socicnn.nn._recurrent import RecurrentSOCICNN as RecurrentSOCICNN
    from socicnn.nn._storage import load as load
    from socicnn.nn._storage import load_metadata as load_metadata
    from socicnn.nn._storage import save as save
    from socicnn.positivity._initial import DyingUnits as DyingUnits

__all__ = face(
    __name__,
    {
        "NETWORKS": "socicnn.nn._kinds",
        "AveragePool": "socicnn.nn._geometry",
        "Conv": "socicnn.nn._geometry",
        "ConvSOCICNN": "socicnn.nn._convolutional",
        "DyingUnits": "socicnn.positivity._initial",
        "ICNN": "socicnn.nn._feedforward",
        "NetOptions": "socicnn.nn._options",
        "Network": "socicnn.nn._network",
        "RecurrentSOCICNN": "socicnn.nn._recurrent",
        "SOCICNN": "socicnn.nn._feedforward",
        "load": "socicnn.nn._storage",
        "load_metadata": "socicnn.nn._storage",
        "save": "socicnn.nn._storage",
        "to_onnx": "socicnn.nn._onnx_export",
    },
)
