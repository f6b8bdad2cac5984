"""What a recipe does to training: cross-covariance, shoulder statistics, escape from the shoulder, landscape slices."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from socicnn.positivity.diagnostics.covariance import CrossCovariance as CrossCovariance
    from socicnn.positivity.diagnostics.covariance import Reading as Reading
    from socicnn.positivity.diagnostics.covariance import cross_covariance as cross_covariance
    from socicnn.positivity.diagnostics.covariance import probe as probe
    from socicnn.positivity.diagnostics.escape import Escape as Escape
    from socicnn.positivity.diagnostics.escape import simulate_escape as simulate_escape
    from socicnn.positivity.diagnostics.landscape import Plane as Plane
    from socicnn.positivity.diagnostics.landscape import Slice as Slice
    from socicnn.positivity.diagnostics.landscape import snapshot as snapshot
    from socicnn.positivity.diagnostics.shoulder import ShoulderStatistics as ShoulderStatistics

_HOMES = {
    "CrossCovariance": "covariance",
    "Escape": "escape",
    "Plane": "landscape",
    "Reading": "covariance",
    "ShoulderStatistics": "shoulder",
    "Slice": "landscape",
    "cross_covariance": "covariance",
    "probe": "covariance",
    "simulate_escape": "escape",
    "snapshot": "landscape",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"socicnn.positivity.diagnostics.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'socicnn.positivity.diagnostics' has no attribute '{name}'")


def __dir__() -> list[str]:
    return list(__all__)
