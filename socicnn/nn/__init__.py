"""Networks that are convex in x: dense, convolutional, recurrent, with or without a context, and Kolmogorov-Arnold."""

from socicnn._faces import face

_MOVED = {"DyingUnits": "socicnn.errors:DyingUnits", "NETWORKS": "socicnn.nn._kinds:NETWORKS"}
__all__ = face(__name__)
