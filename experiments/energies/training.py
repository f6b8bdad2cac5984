"""Training: as the paper does (squared errors of single candidates, AdamW, 50 epochs), or within contexts."""

from __future__ import annotations

import time
from typing import Any

from torch import nn

from experiments.energies.networks import Way
from experiments.energies.problem import Problem, Split
from socicnn.training import MSE, FitOptions, WithinContext, fit

RATE, DECAY = 2e-3, 1e-6
LEVEL = 0.1  # weight of the level of a context


def train(model: Any, way: Way, problem: Problem, train: Split, validation: Split, epochs: int, seed: int) -> float:
    """Train in place, keep the weights of the best validation loss, and return the seconds.

    Args:
        model: a network of `networks.make`.
        way: `joint`: AdamW with a constant rate, squared errors; `partial`: Adam with a falling rate and five times the
            rate, squared errors within contexts.
        problem: whose data these are.
        train: training data.
        validation: validation data.
        epochs: passes over the training data.
        seed: of the batches.
    """
    started = time.perf_counter()
    paper = way == "joint"
    network: nn.Module = model.network if paper else model
    network.standardise(  # type: ignore[operator]
        x_mean=train.x.mean(),
        x_scale=train.x.std(),
        context_mean=train.context.mean(),
        context_scale=train.context.std(),
        y_mean=train.y.mean(),
        y_scale=train.y.std(),
    )
    fit(
        model,
        train,
        loss=MSE() if paper else WithinContext(LEVEL),
        epochs=epochs,
        learning_rate=RATE if paper else 5 * RATE,
        batch_size=problem.batch,
        validation=validation,
        seed=seed,
        progress=False,
        options=FitOptions(
            optimiser="adamw" if paper else "adam",
            schedule="constant" if paper else "cosine",
            weight_decay=DECAY if paper else 0.0,
            standardise=False,
        ),
    )
    return time.perf_counter() - started
