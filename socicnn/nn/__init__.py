"""Networks that are convex in x: dense, convolutional and recurrent, with or without a context."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from socicnn.nn.convolutional import ConvSOCICNN as ConvSOCICNN
    from socicnn.nn.feedforward import ICNN as ICNN
    from socicnn.nn.feedforward import SOCICNN as SOCICNN
    from socicnn.nn.geometry import AveragePool as AveragePool
    from socicnn.nn.geometry import Conv as Conv
    from socicnn.nn.network import Network as Network
    from socicnn.nn.recurrent import RecurrentSOCICNN as RecurrentSOCICNN
    from socicnn.nn.storage import load as load
    from socicnn.nn.storage import load_metadata as load_metadata
    from socicnn.nn.storage import save as save
    from socicnn.positivity.initial import DyingUnits as DyingUnits

# class name, as files store it -> module, imported once a file asks for it; one line a network
NETWORKS: dict[str, str] = {
    "ConvSOCICNN": "socicnn.nn.convolutional",
    "ICNN": "socicnn.nn.feedforward",
    "RecurrentSOCICNN": "socicnn.nn.recurrent",
    "SOCICNN": "socicnn.nn.feedforward",
    "StructuredDCP": "decision.baselines.structured.dcp",
    "StructuredPCF": "decision.baselines.structured.pcf",
}

_HOMES = {
    **{name: home for name, home in NETWORKS.items() if home.startswith("socicnn.")},
    "AveragePool": "socicnn.nn.geometry",
    "Conv": "socicnn.nn.geometry",
    "DyingUnits": "socicnn.positivity.initial",
    "Network": "socicnn.nn.network",
    "load": "socicnn.nn.storage",
    "load_metadata": "socicnn.nn.storage",
    "save": "socicnn.nn.storage",
}

__all__ = sorted([*_HOMES, "NETWORKS"])


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'socicnn.nn' has no attribute '{name}'")


def __dir__() -> list[str]:
    return list(__all__)
