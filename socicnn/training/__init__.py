"""Fit a network to values: losses, mini-batches, validation, checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socicnn._faces import face

if TYPE_CHECKING:
    from socicnn.training._data import Samples as Samples
    from socicnn.training._fitting import fit as fit
    from socicnn.training._history import History as History
    from socicnn.training._losses import LOSSES as LOSSES
    from socicnn.training._losses import MSE as MSE
    from socicnn.training._losses import HuberLoss as HuberLoss
    from socicnn.training._losses import Loss as Loss
    from socicnn.training._losses import Quantile as Quantile
    from socicnn.training._losses import SmoothL1 as SmoothL1
    from socicnn.training._losses import WithinContext as WithinContext
    from socicnn.training._options import FitOptions as FitOptions
    from socicnn.training._sizing import network_for as network_for
    from socicnn.training._stacked import fit_stacked as fit_stacked

__all__ = face(
    __name__,
    {
        "FitOptions": "socicnn.training._options",
        "History": "socicnn.training._history",
        "HuberLoss": "socicnn.training._losses",
        "LOSSES": "socicnn.training._losses",
        "Loss": "socicnn.training._losses",
        "MSE": "socicnn.training._losses",
        "Quantile": "socicnn.training._losses",
        "Samples": "socicnn.training._data",
        "SmoothL1": "socicnn.training._losses",
        "WithinContext": "socicnn.training._losses",
        "fit": "socicnn.training._fitting",
        "fit_stacked": "socicnn.training._stacked",
        "network_for": "socicnn.training._sizing",
    },
)
