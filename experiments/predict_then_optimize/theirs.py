"""The losses of PyEPO by name, and its metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader

Step = Callable[[Tensor, tuple[Tensor, Tensor, Tensor]], Tensor]  # predicted; coefficients, best x, best value

NAMES = ("two-stage", "SPO+", "PFY", "NCE", "CMAP")
SAMPLES, FRESH = 3, 0.05  # perturbations of each row; share of the batches whose solutions join the pool


@dataclass(frozen=True)
class Split:
    """PyEPO's data sets of training, validation and test rows."""

    train: Any
    valid: Any
    test: Any


def loss_of(method: str, split: Split, seed: int) -> Step:
    """Return a method's loss: mean squares, SPO+, perturbed Fenchel-Young, or one of the contrastive ones."""
    import pyepo

    model = split.train.model
    if method == "two-stage":
        return lambda c, label: nn.functional.mse_loss(c, label[0])
    if method == "SPO+":
        spo = pyepo.func.SPOPlus(model, processes=1)
        return lambda c, label: spo(c, *label)
    if method == "PFY":
        young = pyepo.func.perturbedFenchelYoung(model, n_samples=SAMPLES, sigma=1.0, processes=1, seed=seed)
        return lambda c, label: young(c, label[1])
    kind = {"NCE": pyepo.func.noiseContrastiveEstimation, "CMAP": pyepo.func.contrastiveMAP}[method]
    contrast = kind(model, processes=1, solve_ratio=FRESH, dataset=split.train)
    return lambda c, label: contrast(c, label[1])


def regret(predictor: nn.Module, data: Any) -> float:
    """Return PyEPO's normalised regret of a predictor on a data set."""
    import pyepo

    return float(pyepo.metric.regret(predictor, data.model, DataLoader(data, batch_size=len(data))))
