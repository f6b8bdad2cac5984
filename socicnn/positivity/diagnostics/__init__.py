"""What a recipe does to training: cross-covariance, shoulder statistics, escape from the shoulder, landscape slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

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

__all__ = face(
    __name__,
    {
        "CrossCovariance": "socicnn.positivity.diagnostics.covariance",
        "Escape": "socicnn.positivity.diagnostics.escape",
        "Plane": "socicnn.positivity.diagnostics.landscape",
        "Reading": "socicnn.positivity.diagnostics.covariance",
        "ShoulderStatistics": "socicnn.positivity.diagnostics.shoulder",
        "Slice": "socicnn.positivity.diagnostics.landscape",
        "cross_covariance": "socicnn.positivity.diagnostics.covariance",
        "probe": "socicnn.positivity.diagnostics.covariance",
        "simulate_escape": "socicnn.positivity.diagnostics.escape",
        "snapshot": "socicnn.positivity.diagnostics.landscape",
    },
)
