"""What a recipe does to training: cross-covariance, shoulder statistics, escape from the shoulder, landscape slices."""

from socicnn._faces import face

__all__ = face(__name__)
