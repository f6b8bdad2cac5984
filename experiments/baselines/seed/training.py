"""Training as the benchmark's authors do it, for the rows that are decided their way: `fit_as_seed`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from decision.tasks import Data
from socicnn import training
from socicnn._integers import as_seed
from socicnn.nn._network import Network
from socicnn.positivity._initial import XavierSoftplus as XavierSoftplus
from socicnn.training._history import History
from socicnn.training._losses import Loss, LossName
from socicnn.training._options import FitOptions

# arguments of a network that make it start as the authors' do
SEED_START: dict[str, Any] = {"positivity": "softplus", "initialiser": XavierSoftplus()}


@dataclass(frozen=True)
class SeedTraining:
    """The authors' settings: Adam on shuffled (x, theta, y), early stopping on 10 % of the contexts.

    Args:
        loss: what is minimised, on standardised y.
        learning_rate: step size, constant.
        patience: epochs without a better validation loss before stopping.
        epochs: passes over the data at most.
        batch_size: points (not contexts) a step.
        weight_decay: added to the gradient, as Adam does it.
        held_out: share of the contexts to validate on.
    """

    loss: Loss | LossName = "smooth_l1"
    learning_rate: float = 2e-3
    patience: int = 5
    epochs: int = 120
    batch_size: int = 1024
    weight_decay: float = 1e-6
    held_out: float = 0.1


NETWORKS = SeedTraining()
STRUCTURED = SeedTraining(loss="mse", learning_rate=1e-3, patience=20)


def fit_as_seed(
    model: Network, data: Data, *, settings: SeedTraining = NETWORKS, seed: int = 0, progress: bool = True
) -> History:
    """Train a network in place as the benchmark's authors do; its best weights are kept.

    theta and y are standardised, x is not: it lies in [0, 1] already.

    Args:
        model: a network with a context, made with `**SEED_START`.
        data: labelled candidates.
        settings: `NETWORKS` or, for the structured models, `STRUCTURED`.
        seed: seed of the split and of the batches.
        progress: whether to show a progress bar.

    >>> from decision import surrogates, tasks
    >>> data = tasks.make("box_socp", features=3, seed=0).sample(contexts=20, candidates=4, seed=1)
    >>> model = surrogates.make("relu-joint", 3, hidden_features=(4, 4), **SEED_START)
    >>> fit_as_seed(model, data, settings=SeedTraining(epochs=2), progress=False).epochs
    2
    """
    draw = torch.Generator().manual_seed(as_seed("seed", seed))
    order = torch.randperm(len(data), generator=draw)
    held = round(settings.held_out * len(data))
    train, validation = data[order[held:]], data[order[:held]]
    model.standardise(
        context_mean=train.context.mean(dim=0),
        context_scale=train.context.std(dim=0),
        y_mean=train.y.mean(),
        y_scale=train.y.std(unbiased=False),
    )
    return training.fit(
        model,
        _flat(train),
        loss=settings.loss,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        validation=_flat(validation) if held else 0.0,
        seed=draw,
        progress=progress,
        options=FitOptions(
            schedule="constant",
            weight_decay=settings.weight_decay,
            patience=settings.patience,
            standardise=False,
            description="train as the seed",
        ),
    )


def _flat(data: Data) -> tuple[Tensor, Tensor, Tensor]:
    """Return (x, context, y) with one row per candidate."""
    candidates = data.x.shape[1]
    return data.x.flatten(0, 1), data.context.repeat_interleave(candidates, dim=0), data.y.flatten()
