"""Networks that are convex in x: dense, convolutional, recurrent and Kolmogorov-Arnold, with or without a context."""

from socicnn._faces import face

_MOVED = {"DyingUnits": "socicnn.errors:DyingUnits", "NETWORKS": "socicnn.nn._kinds:NETWORKS"}
__all__ = face(__name__)
