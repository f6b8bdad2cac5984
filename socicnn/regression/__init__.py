"""Regression on tables: the scikit-learn estimator, its trainer, the max-affine baseline and prediction bands."""

from socicnn._faces import face

__all__ = face(__name__)
