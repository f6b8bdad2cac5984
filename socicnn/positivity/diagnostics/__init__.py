"""What a recipe does to training: cross-covariance, shoulder statistics, escape from the shoulder, landscape slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

if TYPE_CHECKING:
    from socicnn.positivity.diagnostics._covariance import CrossCovariance as CrossCovariance
    from socicnn.positivity.diagnostics._covariance import Reading as Reading
    from socicnn.positivity.diagnostics._covariance import cross_covariance as cross_covariance
    from socicnn.positivity.diagnostics._covariance import probe as probe
    from socicnn.positivity.diagnostics._escape import Escape as Escape
    from socicnn.positivity.diagnostics._escape import simulate_escape as simulate_escape
    from socicnn.positivity.diagnostics._landscape import Plane as Plane
    from socicnn.positivity.diagnostics._landscape import Slice as Slice
    from socicnn.positivity.diagnostics._landscape import snapshot as snapshot
    from socicnn.positivity.diagnostics._shoulder import ShoulderStatistics as ShoulderStatistics

__all__ = face(
    __name__,
    {
        "CrossCovariance": "socicnn.positivity.diagnostics._covariance",
        "Escape": "socicnn.positivity.diagnostics._escape",
        "Plane": "socicnn.positivity.diagnostics._landscape",
        "Reading": "socicnn.positivity.diagnostics._covariance",
        "ShoulderStatistics": "socicnn.positivity.diagnostics._shoulder",
        "Slice": "socicnn.positivity.diagnostics._landscape",
        "cross_covariance": "socicnn.positivity.diagnostics._covariance",
        "probe": "socicnn.positivity.diagnostics._covariance",
        "simulate_escape": "socicnn.positivity.diagnostics._escape",
        "snapshot": "socicnn.positivity.diagnostics._landscape",
    },
)
