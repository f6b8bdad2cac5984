"""Networks that are convex in x: dense, convolutional and recurrent, with or without a context."""

from socicnn._faces import face

__all__ = face(__name__)
