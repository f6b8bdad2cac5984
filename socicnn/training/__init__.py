"""Fit a network to values: losses, mini-batches, validation, checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

if TYPE_CHECKING:
    from socicnn.training.data import Samples as Samples
    from socicnn.training.fitting import fit as fit
    from socicnn.training.history import History as History
    from socicnn.training.losses import LOSSES as LOSSES
    from socicnn.training.losses import MSE as MSE
    from socicnn.training.losses import Loss as Loss
    from socicnn.training.losses import SmoothL1 as SmoothL1
    from socicnn.training.losses import WithinContext as WithinContext
    from socicnn.training.options import FitOptions as FitOptions
    from socicnn.training.stacked import fit_stacked as fit_stacked

__all__ = face(
    __name__,
    {
        "FitOptions": "socicnn.training.options",
        "History": "socicnn.training.history",
        "LOSSES": "socicnn.training.losses",
        "Loss": "socicnn.training.losses",
        "MSE": "socicnn.training.losses",
        "Samples": "socicnn.training.data",
        "SmoothL1": "socicnn.training.losses",
        "WithinContext": "socicnn.training.losses",
        "fit": "socicnn.training.fitting",
        "fit_stacked": "socicnn.training.stacked",
    },
)
