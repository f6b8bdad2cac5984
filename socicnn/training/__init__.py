"""Fit a network to values: losses, mini-batches, validation, checkpoints."""

from socicnn._faces import face

_MOVED = {"LOSSES": "socicnn.training._losses:LOSSES", "Samples": "socicnn.training._data:Samples"}
__all__ = face(__name__)
