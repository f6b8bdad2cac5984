"""Fit a network to values: losses, mini-batches, validation, checkpoints."""

from socicnn._faces import face

__all__ = face(__name__)
