"""Regression on tables: the scikit-learn estimator, its trainer, the max-affine baseline and prediction bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

if TYPE_CHECKING:
    from socicnn.regression._band import Band as Band
    from socicnn.regression._max_affine import MaxAffine as MaxAffine
    from socicnn.regression._regressor import ConvexRegressor as ConvexRegressor
    from socicnn.regression._trainer import Trainer as Trainer

__all__ = face(
    __name__,
    {
        "Band": "socicnn.regression._band",
        "ConvexRegressor": "socicnn.regression._regressor",
        "MaxAffine": "socicnn.regression._max_affine",
        "Trainer": "socicnn.regression._trainer",
    },
)
